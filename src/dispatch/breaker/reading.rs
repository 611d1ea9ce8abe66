//! The words for what a breaker is in, and why.

use std::time::Duration;

/// Why a target is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    Failing,
    Slow,
    /// The provider asked for it.
    RateLimited,
    /// The provider refuses the key.
    Authentication,
    /// The provider does not know the model.
    UnknownModel,
}

impl Cause {
    /// A word that does not change between versions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Slow => "slow",
            Self::RateLimited => "rate_limited",
            Self::Authentication => "authentication",
            Self::UnknownModel => "unknown_model",
        }
    }

    /// Whether trying early may help.
    pub(super) fn may_have_passed(self) -> bool {
        matches!(self, Self::Failing | Self::Slow)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    HalfOpen,
    Open,
}

impl BreakerState {
    /// A word that does not change between versions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// A breaker as it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    pub state: BreakerState,
    /// Why it is not closed.
    pub cause: Option<Cause>,
    /// How long it has been in this state.
    pub since: Duration,
    /// How long it stays open.
    pub until: Option<Duration>,
    /// Calls that it judges by: those of the window while it is closed, and those that opened it.
    pub calls: usize,
    pub error_ratio: f64,
    pub slow_ratio: f64,
    /// Times that it has opened since the start.
    pub openings: u64,
}
