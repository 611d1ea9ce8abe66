//! The record of one call to one target, as it is answered to callers and audited, and of targets that were not called.

use std::time::Duration;

use super::breaker::Cause;
use crate::money::Money;
use crate::provider::{self, Usage};
use crate::reference::TargetName;
use crate::routing::Target;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub target: TargetName,
    pub provider: String,
    pub model: String,
    pub region: Option<String>,
    pub outcome: Outcome,
    /// HTTP status of a refusal.
    pub status: Option<u16>,
    /// How long the provider asked us to stay away.
    pub retry_after: Option<Duration>,
    /// Begin, counted from the begin of the dispatch.
    pub started: Duration,
    pub duration: Duration,
    /// What the call took, as far as it is known: of a call that failed or was cancelled perhaps an estimate.
    pub usage: Option<Usage>,
    /// Whether `usage` is ours, since the provider did not say.
    pub usage_is_estimated: bool,
    /// By the target's prices; `None` if these or the usage are not known.
    pub cost: Option<Money>,
    /// Whether it was begun beside another one that was slow.
    pub is_hedge: bool,
    /// Whether it was to show if the target, whose breaker was half open, has come back.
    pub is_probe: bool,
    /// From the begin of the attempt to its first text.
    pub first_text: Option<Duration>,
    /// Whether any of its answer was handed over. At most one attempt of a dispatch is committed, and it is the last.
    pub committed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// `kind` is a word that does not change between versions, `message` holds neither prompt nor key.
    Failed {
        kind: &'static str,
        message: String,
    },
    /// We ended it: another one was faster, or the caller has gone.
    Cancelled,
}

impl Outcome {
    /// A word for metrics and answers that does not change between versions.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed { kind, .. } => kind,
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn failed(error: &provider::Error) -> Self {
        Self::Failed { kind: error.kind(), message: error.to_string() }
    }
}

/// When an attempt ran, counted from the begin of the dispatch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) started: Duration,
    pub(super) duration: Duration,
}

impl Attempt {
    pub(super) fn new(target: &Target, span: Span, outcome: Outcome) -> Self {
        Self {
            target: target.name.clone(),
            provider: target.provider.clone(),
            model: target.model.clone(),
            region: target.region.clone(),
            outcome,
            status: None,
            retry_after: None,
            started: span.started,
            duration: span.duration,
            usage: None,
            usage_is_estimated: false,
            cost: None,
            is_hedge: false,
            is_probe: false,
            first_text: None,
            committed: false,
        }
    }

    /// Sets the usage and what it costs.
    pub(super) fn charge(&mut self, target: &Target, usage: Option<Usage>, is_estimated: bool) {
        self.usage = usage;
        self.usage_is_estimated = is_estimated && usage.is_some();
        self.cost = target.prices.zip(usage).map(|(prices, usage)| prices.cost(usage));
    }
}

/// A target of the plan that was not called, though no rule forbids it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{target}: not called: {reason}")]
pub struct Passed {
    pub target: TargetName,
    pub reason: PassReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassReason {
    #[error("its breaker is open ({}), for another {} ms", cause.as_str(), left.as_millis())]
    BreakerOpen { cause: Cause, left: Duration },
    #[error("its breaker is half open, and others are trying it")]
    Probing,
    #[error("another target of the same model refused the request")]
    SameModel,
    #[error("the retry budget is spent")]
    RetryBudget,
}

impl PassReason {
    /// A word that does not change between versions.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Probing => "probing",
            Self::SameModel => "same_model",
            Self::RetryBudget => "retry_budget",
        }
    }

    /// After what time it may be called again, where that is known.
    pub fn left(&self) -> Option<Duration> {
        match self {
            Self::BreakerOpen { left, .. } => Some(*left),
            Self::Probing | Self::SameModel | Self::RetryBudget => None,
        }
    }
}
