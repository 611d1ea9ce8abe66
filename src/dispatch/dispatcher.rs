//! Carries plans out. Waits for providers; what follows from their answers is the course's to decide.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::config::DispatchConfig;
use super::course::{Bounds, Course, Leg};
use super::error::Error;
use super::span::attempted;
use super::stream::{self, DispatchStream};
use crate::provider::{self, ChatRequest, Completion, Provider, Providers};
use crate::routing::{Plan, Target};

/// Sends requests to the targets of plans. A cheap handle.
///
/// How the time is divided: the deadline bounds everything. An attempt that has other targets after it gets at most half
/// of the time left, so that a target that hangs leaves as much for the rest; the last one gets all. A failure before
/// that leaves its time to those after it. The configured timeouts shorten an attempt, they never lengthen it. Of a
/// stream this holds up to the first text; from there on only silence and the deadline end it.
#[derive(Debug, Clone)]
pub struct Dispatcher(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    providers: Providers,
    config: DispatchConfig,
}

/// An answer and how it was come by.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatched {
    pub completion: Completion,
    pub target: Arc<Target>,
    /// All attempts in order; the last one brought the answer.
    pub attempts: Vec<Attempt>,
}

impl Dispatcher {
    pub fn new(providers: Providers, config: DispatchConfig) -> Self {
        Self(Arc::new(Parts { providers, config }))
    }

    /// Tries the targets in order until one answers. Dropping the future closes the call under way.
    ///
    /// `max_attempts` can only lower the configured limit; 0 counts as 1.
    pub async fn complete(
        &self,
        plan: &Plan,
        request: &ChatRequest,
        deadline: Instant,
        max_attempts: Option<u32>,
    ) -> Result<Dispatched, Error> {
        let bounds = self.bounds(deadline, self.config().attempt_timeout, max_attempts);
        let mut course = Course::new(plan, bounds, Instant::now());
        loop {
            let leg = course.next(Instant::now())?;
            let call = async { self.provider(&leg.target)?.complete(&leg.target.model, request).await };
            match attempted(&leg.target, within(&leg, call)).await {
                Ok(completion) => {
                    let attempts = course.succeed(&leg, Instant::now());
                    return Ok(Dispatched { completion, target: leg.target, attempts });
                }
                Err(error) => {
                    log(&leg, &error);
                    course.fail(&leg, &error, Instant::now());
                }
            }
        }
    }

    /// Like [`Self::complete`], piece by piece: nothing is called before the first event is asked for, nothing is read
    /// ahead of what is asked for, and dropping the stream closes the call under way.
    pub fn stream(
        &self,
        plan: &Plan,
        request: Arc<ChatRequest>,
        deadline: Instant,
        max_attempts: Option<u32>,
    ) -> DispatchStream {
        let bounds = self.bounds(deadline, Some(self.config().first_token_timeout), max_attempts);
        stream::run(self.clone(), request, Course::new(plan, bounds, Instant::now()))
    }

    pub(super) fn config(&self) -> &DispatchConfig {
        &self.0.config
    }

    pub(super) fn provider(&self, target: &Target) -> Result<&Arc<dyn Provider>, provider::Error> {
        let name = &target.provider;
        self.0.providers.get(name).ok_or_else(|| provider::Error::Unconfigured { provider: name.clone() })
    }

    fn bounds(&self, deadline: Instant, attempt_timeout: Option<Duration>, max_attempts: Option<u32>) -> Bounds {
        let most = self.config().max_attempts.get();
        let max_attempts = max_attempts.map_or(most, |asked| asked.min(most));
        Bounds { deadline, attempt_timeout, max_attempts }
    }
}

/// Limits a call to its leg's time.
pub(super) async fn within<T>(
    leg: &Leg,
    call: impl Future<Output = Result<T, provider::Error>>,
) -> Result<T, provider::Error> {
    match tokio::time::timeout_at(leg.until.into(), call).await {
        Ok(result) => result,
        Err(_) => Err(provider::Error::Timeout { after: leg.until.saturating_duration_since(leg.began) }),
    }
}

pub(super) fn log(leg: &Leg, error: &provider::Error) {
    let (name, provider) = (&leg.target.name, &leg.target.provider);
    tracing::info!(name: "attempt_failed", to = %name, provider, kind = error.kind(), %error, "an attempt failed");
}
