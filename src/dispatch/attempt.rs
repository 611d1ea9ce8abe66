//! The record of one call to one target, as it is answered to callers and audited.

use std::time::Duration;

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
    /// By the target's prices; `None` if these or the usage are not known.
    pub cost: Option<Money>,
    /// Whether it was begun beside another one that was slow.
    pub is_hedge: bool,
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
}

/// When an attempt ran, counted from the begin of the dispatch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) started: Duration,
    pub(super) duration: Duration,
}

impl Attempt {
    pub(super) fn succeeded(target: &Target, span: Span) -> Self {
        Self::new(target, span, Outcome::Ok, true)
    }

    pub(super) fn failed(target: &Target, span: Span, error: &provider::Error, committed: bool) -> Self {
        let outcome = Outcome::Failed { kind: error.kind(), message: error.to_string() };
        let (status, retry_after) = (error.status(), error.retry_after());
        Self { status, retry_after, ..Self::new(target, span, outcome, committed) }
    }

    fn new(target: &Target, span: Span, outcome: Outcome, committed: bool) -> Self {
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
            cost: None,
            is_hedge: false,
            first_text: None,
            committed,
        }
    }
}
