//! A call that has begun.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::attempt::{Attempt, Outcome, Span};
use super::super::breaker::Permit;
use super::super::estimate;
use crate::provider::{self, Usage};
use crate::routing::Target;

/// What the caller of a target has to know.
#[derive(Debug, Clone)]
pub(in crate::dispatch) struct Leg {
    /// Among those of its course.
    pub(in crate::dispatch) number: u32,
    pub(in crate::dispatch) target: Arc<Target>,
    pub(in crate::dispatch) began: Instant,
    /// When it has to have brought its answer or, of a stream, its first text.
    pub(in crate::dispatch) until: Instant,
}

/// A leg under way, with what is kept of it.
pub(super) struct Flight {
    pub(super) leg: Leg,
    /// Of its candidate.
    pub(super) position: usize,
    pub(super) permit: Permit,
    pub(super) is_hedge: bool,
    pub(super) first_text: Option<Duration>,
    /// Whether its target was told how it went, before its end.
    pub(super) judged: bool,
    pub(super) committed: bool,
    pub(super) delivered_bytes: u64,
    pub(super) delivered_chars: u64,
}

/// How a flight ended.
pub(super) enum Landing<'a> {
    Answered(Option<Usage>),
    Failed(&'a provider::Error),
    Cancelled,
}

impl Flight {
    pub(super) fn new(leg: Leg, position: usize, permit: Permit, is_hedge: bool) -> Self {
        Self {
            leg,
            position,
            permit,
            is_hedge,
            first_text: None,
            committed: false,
            judged: false,
            delivered_bytes: 0,
            delivered_chars: 0,
        }
    }

    /// `began`: of the course; `input_tokens`: of the request, as estimated.
    pub(super) fn land(&self, landing: &Landing<'_>, began: Instant, input_tokens: u64, now: Instant) -> Attempt {
        let leg = &self.leg;
        let span = Span {
            started: leg.began.saturating_duration_since(began),
            duration: now.saturating_duration_since(leg.began),
        };
        let outcome = match landing {
            Landing::Answered(_) => Outcome::Ok,
            Landing::Failed(error) => Outcome::failed(error),
            Landing::Cancelled => Outcome::Cancelled,
        };
        let mut attempt = Attempt {
            is_hedge: self.is_hedge,
            is_probe: self.permit.is_probe,
            first_text: self.first_text,
            committed: self.committed,
            ..Attempt::new(&leg.target, span, outcome)
        };
        match landing {
            Landing::Answered(usage) => attempt.charge(&leg.target, *usage, false),
            Landing::Failed(error) => {
                (attempt.status, attempt.retry_after) = (error.status(), error.retry_after());
                if self.delivered_bytes > 0 || may_have_cost(error) {
                    let usage = estimate::usage(input_tokens, self.delivered_bytes);
                    attempt.charge(&leg.target, Some(usage), true);
                }
            }
            Landing::Cancelled => {
                let usage = estimate::usage(input_tokens, self.delivered_bytes);
                attempt.charge(&leg.target, Some(usage), true);
            }
        }
        attempt
    }
}

/// Whether the provider may have read the prompt: what it refused, or never got, it does not charge for.
fn may_have_cost(error: &provider::Error) -> bool {
    use provider::Error;
    matches!(
        error,
        Error::Broken { .. }
            | Error::Timeout { .. }
            | Error::Malformed { .. }
            | Error::Truncated
            | Error::TooLarge { .. }
    )
}
