//! Carries plans out. Waits for providers; what follows from their answers is the course's to decide.

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;

use super::account::{Account, Observer};
use super::attempt::{Attempt, Passed};
use super::breaker::BreakerState;
use super::config::DispatchConfig;
use super::course::{Bounds, Course, Hedge, Leg};
use super::error::Error;
use super::estimate;
use super::health::{Health, Manner};
use super::pursuit::{Opening, dice, now, pursue};
use super::span::attempted;
use super::stream::{self, DispatchStream};
use crate::provider::{self, ChatRequest, Completion, CompletionStream, Provider, Providers, StreamItem};
use crate::routing::{Plan, Target};

/// Sends requests to the targets of plans. A cheap handle.
///
/// How the time is divided: the deadline bounds everything. An attempt that has other targets after it gets at most
/// half of the time left, so that a target that hangs leaves as much for the rest; the last one gets all. A failure
/// before that leaves its time to those after it. Of a target whose answers are known to be quick an attempt that takes
/// ten times as long as 99 % of them, and at least 2 s, is given up as well. The configured timeouts shorten an
/// attempt, they never lengthen it. Of a stream this holds up to the first text; from there on only silence and the
/// deadline end it.
///
/// A target whose breaker is half open is tried by few requests, its probes. Such a request asks another target beside
/// it as soon as the probe takes twice as long as 95 % of the target's answers did, and at least a tenth of a second;
/// whoever answers first wins, as with a hedge.
///
/// How targets follow each other: in the plan's order, those whose breaker is open behind the others. After all of them
/// the ones that failed in passing are tried again, with pauses, as far as `max_attempts`, the retry budget and the
/// deadline allow. A target outside of the plan is never called.
#[derive(Clone)]
pub struct Dispatcher(Arc<Parts>);

pub(super) struct Parts {
    providers: Providers,
    pub(super) config: DispatchConfig,
    retry: Arc<super::budget::RetryConfig>,
    health: Health,
    observers: Arc<[Observer]>,
}

/// What a request asks of its dispatch.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub deadline: Instant,
    /// Can only lower the configured limit; 0 counts as 1, which is one attempt and no more: such a request does not
    /// try whether a target has come back, if another one is well; unless nobody has tried for 10 s.
    pub max_attempts: Option<u32>,
    pub hedge: Option<Hedge>,
    /// Whether it may try a target that might have come back though another one is well, and call that beside it.
    pub may_probe: bool,
}

impl Limits {
    /// With the configured limit of attempts, and no hedge.
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, max_attempts: None, hedge: None, may_probe: true }
    }
}

/// An answer and how it was come by.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatched {
    pub completion: Completion,
    pub target: Arc<Target>,
    /// All attempts in the order of their ends; the last one brought the answer.
    pub attempts: Vec<Attempt>,
    /// Targets that come before it in the plan and were not called.
    pub passed: Vec<Passed>,
}

impl Dispatcher {
    pub fn new(providers: Providers, config: DispatchConfig) -> Self {
        let health = Health::new(config.breaker.clone(), &config.retry, now());
        let retry = Arc::new(config.retry.clone());
        Self(Arc::new(Parts { providers, config, retry, health, observers: Arc::new([]) }))
    }

    /// The same with one more observer, for what is begun with it. Health and budget are shared.
    #[must_use]
    pub fn observed_by(&self, observer: Observer) -> Self {
        let parts = &self.0;
        Self(Arc::new(Parts {
            providers: parts.providers.clone(),
            config: parts.config.clone(),
            retry: parts.retry.clone(),
            health: parts.health.clone(),
            observers: parts.observers.iter().cloned().chain([observer]).collect(),
        }))
    }

    /// Of all targets that were called, and of those that were [`Self::expect`]ed.
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    /// Makes targets known before they are called, so that they are shown.
    pub fn expect(&self, targets: &[Arc<Target>]) {
        targets.iter().for_each(|target| drop(self.0.health.of(target, now())));
    }

    /// Nothing is called yet: see [`Dispatch::complete`] and [`Dispatch::stream`].
    pub fn begin(&self, plan: &Plan, request: Arc<ChatRequest>, limits: Limits) -> Dispatch {
        let max_attempts = self.attempts(&limits);
        let bounds = Bounds {
            deadline: limits.deadline,
            attempt_timeout: None,
            max_attempts,
            may_probe: limits.may_probe && limits.max_attempts.is_none_or(|asked| asked > 1),
            hedge: limits.hedge,
            retry: self.0.retry.clone(),
            input_tokens: estimate::input_tokens(&request),
        };
        let course = Course::new(plan, bounds, self.0.health.clone(), now());
        let account = Account::new(course, self.0.observers.clone());
        Dispatch { parts: self.0.clone(), request, account }
    }

    /// Whether such a request might try a target of the plan that might have come back, and call another one beside it.
    pub fn may_probe(&self, plan: &Plan, limits: &Limits) -> bool {
        let (targets, now) = (plan.targets(), now());
        let half_open =
            |target: &Arc<Target>| self.0.health.of(target, now).reading(now).state == BreakerState::HalfOpen;
        limits.may_probe && self.attempts(limits) > 1 && targets.len() > 1 && targets.iter().any(half_open)
    }

    /// Most attempts of such a request.
    fn attempts(&self, limits: &Limits) -> u32 {
        let most = self.config().max_attempts.get();
        limits.max_attempts.map_or(most, |asked| asked.clamp(1, most))
    }

    fn config(&self) -> &DispatchConfig {
        &self.0.config
    }

    pub(super) fn provider(&self, target: &Target) -> Result<Arc<dyn Provider>, provider::Error> {
        self.0.provider(target)
    }
}

impl Parts {
    fn provider(&self, target: &Target) -> Result<Arc<dyn Provider>, provider::Error> {
        let name = &target.provider;
        let provider = self.providers.get(name).cloned();
        provider.ok_or_else(|| provider::Error::Unconfigured { provider: name.clone() })
    }
}

/// A plan that is carried out. Dropped, it closes the calls under way, which the account then has as cancelled.
pub struct Dispatch {
    pub(super) parts: Arc<Parts>,
    request: Arc<ChatRequest>,
    pub(super) account: Account,
}

impl Dispatch {
    /// Outlives the dispatch.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Tries the targets until one answers. Dropping the future closes the calls under way.
    pub async fn complete(self) -> Result<Dispatched, Error> {
        let timeout = self.parts.config.attempt_timeout;
        self.account.with(|course| course.wants(Manner::Whole, timeout));
        let (leg, completion) = pursue(&self.account, |leg| self.ask(leg)).await?;
        let (attempts, passed) = self.account.with(|course| {
            course.succeed(&leg, completion.usage, now(), dice());
            (course.attempts().to_vec(), course.passed_before(&leg.target, now()))
        });
        Ok(Dispatched { completion, target: leg.target, attempts, passed })
    }

    /// Waits for the whole answer.
    fn ask(&self, leg: &Leg) -> Opening<Completion> {
        let (provider, target) = (self.parts.provider(&leg.target), leg.target.clone());
        let request = self.request.clone();
        Box::pin(async move { attempted(&target, async { provider?.complete(&target.model, &request).await }).await })
    }

    /// Waits for the first item.
    pub(super) fn open(&self, leg: &Leg) -> Opening<(StreamItem, CompletionStream)> {
        let (provider, target) = (self.parts.provider(&leg.target), leg.target.clone());
        let request = self.request.clone();
        Box::pin(async move {
            let opening = async {
                let mut items = provider?.stream(&target.model, &request).await?;
                let first = items.next().await.unwrap_or(Err(provider::Error::Truncated))?;
                Ok((first, items))
            };
            attempted(&target, opening).await
        })
    }

    /// Like [`Self::complete`], piece by piece: nothing is called before the first event is asked for, nothing is read
    /// ahead of what is asked for, and dropping the stream closes the call under way.
    pub fn stream(self) -> DispatchStream {
        let timeout = Some(self.parts.config.first_token_timeout);
        self.account.with(|course| course.wants(Manner::Streamed, timeout));
        stream::run(self)
    }
}

impl Drop for Dispatch {
    fn drop(&mut self) {
        self.account.with(|course| course.abandon(now()));
    }
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("providers", &self.0.providers).finish_non_exhaustive()
    }
}
