//! What a call to a target brought: an answer, or none.

use std::time::{Duration, Instant};

use futures_util::StreamExt;

use crate::dispatch::{self, Cause, DispatchEvent, DispatchStream, Dispatched, Outcome, PassReason};
use crate::money::Money;
use crate::provider::{FinishReason, Usage};
use crate::routing::Target;

/// Longest streamed answer that is gathered, in bytes. Where no stream is asked for, the provider's client has a limit.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// What a provider that limits us is taken to ask for if it does not say how long.
const UNTOLD_REST: Duration = Duration::from_secs(1);

/// While another call tries whether the rest is over.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub text: String,
    pub finish: FinishReason,
    pub usage: Option<Usage>,
    /// By the target's prices; `None` if these or the usage are not known.
    pub cost: Option<Money>,
    /// From the call to the first text of a stream.
    pub first_text: Option<Duration>,
    /// From the call to the whole answer.
    pub latency: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NoAnswer {
    /// A word that does not change between versions, with the HTTP status where that says more.
    pub kind: String,
    /// Holds neither prompt nor key.
    pub message: String,
    /// What the call took all the same, as far as it is known.
    pub usage: Option<Usage>,
    pub cost: Option<Money>,
    /// How long the provider wants to be left alone, if that is why.
    pub rest: Option<Duration>,
}

impl Answer {
    pub(super) fn whole(dispatched: Dispatched, latency: Duration) -> Self {
        let Dispatched { completion, target, .. } = dispatched;
        let cost = cost(&target, completion.usage);
        let (text, finish, usage) = (completion.text, completion.finish, completion.usage);
        Self { text, finish, usage, cost, first_text: None, latency }
    }

    /// Reads a stream to its end.
    pub(super) async fn gathered(mut events: DispatchStream, begun: Instant) -> Result<Self, NoAnswer> {
        let (mut text, mut first_text) = (String::new(), None);
        while let Some(event) = events.next().await {
            match event? {
                DispatchEvent::Reasoning(_) | DispatchEvent::Refusal(_) | DispatchEvent::ToolCall(_) => {}
                DispatchEvent::Text(piece) if text.len() + piece.len() > MAX_ANSWER_BYTES => {
                    return Err(NoAnswer::new("too_large", format!("the answer exceeds {MAX_ANSWER_BYTES} bytes")));
                }
                DispatchEvent::Text(piece) => {
                    first_text.get_or_insert_with(|| begun.elapsed());
                    text.push_str(&piece);
                }
                DispatchEvent::End { finish, usage, target, .. } => {
                    let (cost, latency) = (cost(&target, usage), begun.elapsed());
                    return Ok(Self { text, finish, usage, cost, first_text, latency });
                }
            }
        }
        Err(NoAnswer::new("truncated", "the stream ended before its end".to_owned()))
    }
}

fn cost(target: &Target, usage: Option<Usage>) -> Option<Money> {
    Some(target.prices?.cost(usage?))
}

impl NoAnswer {
    pub(super) fn new(kind: impl Into<String>, message: String) -> Self {
        Self { kind: kind.into(), message, usage: None, cost: None, rest: None }
    }
}

/// The last attempt says more than the dispatch, which had no other.
impl From<dispatch::Error> for NoAnswer {
    fn from(error: dispatch::Error) -> Self {
        let failed = error.attempts().last().and_then(|attempt| match &attempt.outcome {
            Outcome::Ok | Outcome::Cancelled => None,
            Outcome::Failed { kind, message } => Some((attempt, *kind, message.clone())),
        });
        let Some((attempt, kind, message)) = failed else {
            let rest = error.passed().iter().find_map(|passed| rest(passed.reason));
            return Self { rest, ..Self::new(error.kind(), error.to_string()) };
        };
        let rest = attempt.retry_after.or((kind == "rate_limited").then_some(UNTOLD_REST));
        let kind = match attempt.status {
            Some(status) if kind == "status" => format!("status {status}"),
            _ => kind.to_owned(),
        };
        Self { usage: attempt.usage, cost: attempt.cost, rest, ..Self::new(kind, message) }
    }
}

fn rest(reason: PassReason) -> Option<Duration> {
    match reason {
        PassReason::BreakerOpen { cause: Cause::RateLimited, left } => Some(left),
        PassReason::Probing => Some(LOOK_AGAIN),
        PassReason::BreakerOpen { .. } | PassReason::SameModel | PassReason::RetryBudget => None,
    }
}
