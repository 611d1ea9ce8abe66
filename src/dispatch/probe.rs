//! Active probes: targets that nobody has called for a while are asked for one token, so that one that has gone or come
//! back is known before a request depends on it.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::breaker::Verdict;
use super::dispatcher::Dispatcher;
use super::health::TargetHealth;
use super::pursuit::{dice, now};
use crate::prompt::Message;
use crate::provider::{self, ChatRequest, ErrorClass};

/// `[dispatch.probe]`: off unless it is there, since each probe costs a few tokens. They hold nothing of any request,
/// and count neither for the budget for retries nor among the attempts.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeConfig {
    /// A target that was not called for so long is probed, 100 ms to a day. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Time for an answer, 10 ms to 10 min. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), timeout: Duration::from_secs(10) }
    }
}

impl ProbeConfig {
    /// Everything that is wrong: field and fault.
    pub fn faults(&self) -> Vec<(String, String)> {
        let (ms, second) = (Duration::from_millis(1), Duration::from_secs(1));
        let fields = [
            ("interval", self.interval, ms * 100..=second * 86_400),
            ("timeout", self.timeout, ms * 10..=second * 600),
        ];
        let wrong = fields.into_iter().filter(|(_, time, range)| !range.contains(time));
        let what = |time: Duration, least: Duration, most: Duration| {
            let [time, least, most] = [time, least, most].map(|it| it.as_secs_f64());
            format!("is {time} s, must be from {least} to {most} s")
        };
        wrong.map(|(field, time, range)| (field.to_owned(), what(time, *range.start(), *range.end()))).collect()
    }
}

impl Dispatcher {
    /// Probes until `stop`: one target after the other, so that a call that hangs holds up no more than the next ones.
    pub async fn probe(self, config: ProbeConfig, stop: CancellationToken) {
        let looking = async {
            loop {
                tokio::time::sleep(config.interval / 4).await;
                for target in self.health().all() {
                    if target.idle(now()) >= config.interval {
                        self.probe_one(&target, config.timeout).await;
                    }
                }
            }
        };
        tokio::select! {
            () = looking => {}
            () = stop.cancelled() => {}
        }
    }

    async fn probe_one(&self, health: &Arc<TargetHealth>, timeout: Duration) {
        let Ok(permit) = health.admit_as_last_resort(now()) else { return };
        let target = health.target();
        let messages = vec![Message::user("ping")];
        let request = Arc::new(ChatRequest { messages, max_output_tokens: Some(1), ..ChatRequest::default() });
        let call = async { self.provider(target)?.complete(&target.model, &request).await };
        let result = tokio::time::timeout(timeout, call).await;
        let result = result.unwrap_or(Err(provider::Error::Timeout { after: timeout }));
        // A model that thinks before it speaks may refuse one token: that is an answer too.
        let verdict = match result.as_ref().err().map(provider::Error::class) {
            None | Some(ErrorClass::Invalid | ErrorClass::ContentRefused | ErrorClass::TooLong) => Verdict::Good,
            Some(ErrorClass::Transient) => Verdict::Bad,
            Some(ErrorClass::RateLimited | ErrorClass::Authentication | ErrorClass::UnknownModel) => Verdict::Void,
        };
        health.settle(permit, verdict, now(), dice());
        if let Err(error) = &result {
            tracing::debug!(to = %target.name, kind = error.kind(), "a probe failed");
            self.health().blame(health, error, now(), dice());
        }
    }
}
