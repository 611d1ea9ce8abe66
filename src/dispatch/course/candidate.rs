//! A target of the plan, as one request sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::attempt::{PassReason, Passed};
use super::super::breaker::BreakerState;
use super::super::health::TargetHealth;
use crate::routing::Target;

pub(super) struct Candidate {
    pub(super) target: Arc<Target>,
    pub(super) health: Arc<TargetHealth>,
    /// Calls that this request has made to it.
    pub(super) tries: u32,
    /// Its provider failed a moment ago and is left alone until then.
    pub(super) not_before: Instant,
    /// Whether and why this request does not call it any more.
    pub(super) ruled_out: Option<RuledOut>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuledOut {
    /// What it answered, it would answer again.
    ByItself,
    /// Another target of its model found fault with the request.
    BySameModel,
}

impl Candidate {
    pub(super) fn new(target: Arc<Target>, health: Arc<TargetHealth>, now: Instant) -> Self {
        Self { target, health, tries: 0, not_before: now, ruled_out: None }
    }

    pub(super) fn is_possible(&self) -> bool {
        self.ruled_out.is_none()
    }

    /// Whether it may well be called after another one.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.is_possible() && self.tries == 0 && !self.health.is_open(now)
    }

    /// Whether it is as good a choice as any.
    pub(super) fn is_well(&self, now: Instant) -> bool {
        let closed = self.health.reading(now).state == BreakerState::Closed;
        closed && self.is_possible() && self.tries == 0 && self.not_before <= now
    }

    /// Why it was not called, if it was not.
    pub(super) fn passed(&self, no_budget: bool, now: Instant) -> Option<Passed> {
        if self.tries > 0 {
            return None;
        }
        let reading = self.health.reading(now);
        let reason = match (self.ruled_out, reading.state, reading.cause) {
            (Some(RuledOut::ByItself), ..) => return None,
            (Some(RuledOut::BySameModel), ..) => PassReason::SameModel,
            (None, BreakerState::Open, Some(cause)) => {
                PassReason::BreakerOpen { cause, left: reading.until.unwrap_or(Duration::ZERO) }
            }
            (None, BreakerState::HalfOpen, _) => PassReason::Probing,
            (None, ..) if no_budget => PassReason::RetryBudget,
            (None, ..) => return None,
        };
        Some(Passed { target: self.target.name.clone(), reason })
    }
}
