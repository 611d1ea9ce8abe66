//! Deciding as steps of a trace. No word of the prompt is among the attributes.

use std::sync::Arc;

use tracing::{Span, field};
use uuid::Uuid;

use super::cache::Source;
use super::decision::{Decision, LlmOutcome};
use crate::embed::{EmbedError, Embedded};
use crate::reference::Snapshot;
use crate::telemetry::{failed, set, step};

/// Deciding begins: the log lines of the request carry the id from here on.
pub(super) fn deciding(id: Uuid, snapshot: &Snapshot) -> Span {
    Span::current().record("decision_id", field::display(id));
    step!(
        "decide",
        semroute.decision.id = %id,
        semroute.set = snapshot.set.as_str(),
        semroute.version = %snapshot.version,
    )
}

pub(super) fn decided(span: &Span, decided: &Result<Decision, Arc<EmbedError>>) {
    if span.is_disabled() {
        return;
    }
    match decided {
        Ok(decision) => {
            set(span, "semroute.stage", decision.stage.as_str());
            set(span, "semroute.llm", decision.llm.as_str());
            set(span, "semroute.cached", decision.cached);
            if let Some(route) = decision.route() {
                set(span, "semroute.route", route.name.as_str().to_owned());
            }
            if let Some(judged) = decision.judged() {
                set(span, "semroute.confidence", f64::from(judged.confidence));
            }
        }
        Err(_) => failed(span, "embedding"),
    }
}

/// What the exact cache had.
pub(super) fn looked_up(span: &Span, source: &Result<Source, Arc<EmbedError>>) {
    let outcome = match source {
        Ok(Source::Kept(_)) => "hit",
        Ok(Source::Joined(_)) => "joined",
        Ok(Source::Gathered(_)) => "miss",
        Err(_) => return failed(span, "embedding"),
    };
    set(span, "semroute.cache.outcome", outcome);
}

pub(super) fn embedded(span: &Span, embedded: &Result<Embedded, EmbedError>) {
    match embedded {
        Ok(embedded) => set(span, "semroute.embed.queued", embedded.queued.as_secs_f64()),
        Err(_) => failed(span, "embedding"),
    }
}

pub(super) fn asked(span: &Span, outcome: LlmOutcome) {
    set(span, "semroute.llm", outcome.as_str());
    if matches!(outcome, LlmOutcome::Timeout | LlmOutcome::Error | LlmOutcome::NoVerdict) {
        failed(span, outcome.as_str());
    }
}
