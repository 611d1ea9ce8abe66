//! Decisions as messages.

use super::super::pb;
use super::span;
use crate::classify::{Decision, Doubt, LlmOutcome, Stage, Timings};

/// Longest text of a neighbour in an answer.
const MAX_SHOWN_BYTES: usize = 1_024;

impl pb::Decision {
    /// `explain`: with the neighbours' texts.
    pub(crate) fn of(decision: &Decision, explain: bool) -> Self {
        let snapshot = &decision.snapshot;
        let route_name = |index| snapshot.route(index).map(|route| route.name.to_string()).unwrap_or_default();
        let neighbours = decision.neighbours().iter().filter_map(|neighbour| {
            let reference = snapshot.reference(neighbour)?;
            Some(pb::Neighbour {
                id: reference.id.to_string(),
                route: route_name(neighbour.route),
                similarity: neighbour.similarity,
                text: if explain { shown(&reference.text) } else { String::new() },
            })
        });
        let alternatives = decision.scores().iter().map(|score| pb::RouteScore {
            route: route_name(score.route),
            score: score.score,
            similarity: score.similarity,
            probability: score.probability,
        });
        let (stage_without, route_without) = decision.without_llm;
        Self {
            decision_id: decision.id.to_string(),
            route: decision.route.map(route_name).unwrap_or_default(),
            score: decision.score(),
            margin: decision.margin(),
            stage: pb::Stage::from(decision.stage).into(),
            llm: pb::LlmOutcome::from(decision.llm).into(),
            reason: decision.reason(),
            doubts: decision.doubts().iter().map(Into::into).collect(),
            alternatives: alternatives.collect(),
            neighbours: neighbours.collect(),
            versions: Some(pb::Versions {
                reference_set: snapshot.set.to_string(),
                set_version: snapshot.version,
                model: snapshot.model.to_string(),
            }),
            input_seen: decision.evidence.input_seen,
            input_tokens: decision.evidence.input_tokens as u32,
            mended_words: decision.evidence.mended_words as u32,
            timings: Some(decision.timings.into()),
            cached: decision.cached,
            confidence: decision.judged().map(|judged| judged.confidence),
            in_scope: decision.judged().map(|judged| judged.in_scope),
            threshold: decision.threshold,
            without_llm: Some(pb::StageAnswer {
                route: route_without.map(route_name).unwrap_or_default(),
                stage: pb::Stage::from(stage_without).into(),
            }),
        }
    }
}

/// The beginning of a text: a hundred long references must not make an answer that no client takes.
fn shown(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_SHOWN_BYTES)].to_owned()
}

impl From<Stage> for pb::Stage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Embedding => Self::Embedding,
            Stage::Llm => Self::Llm,
            Stage::BestGuess => Self::BestGuess,
            Stage::DefaultRoute => Self::DefaultRoute,
            Stage::Abstained => Self::Abstained,
        }
    }
}

impl From<LlmOutcome> for pb::LlmOutcome {
    fn from(outcome: LlmOutcome) -> Self {
        match outcome {
            LlmOutcome::NotNeeded => Self::NotNeeded,
            LlmOutcome::NotConfigured => Self::NotConfigured,
            LlmOutcome::NotAllowed => Self::NotAllowed,
            LlmOutcome::Verdict => Self::Verdict,
            LlmOutcome::NoneApplies => Self::NoneApplies,
            LlmOutcome::Timeout => Self::Timeout,
            LlmOutcome::Error => Self::Error,
            LlmOutcome::NoVerdict => Self::NoVerdict,
            LlmOutcome::OverShare => Self::OverShare,
            LlmOutcome::OverRate => Self::OverRate,
            LlmOutcome::OverConcurrency => Self::OverConcurrency,
            LlmOutcome::OverSpend => Self::OverSpend,
            LlmOutcome::NotPermitted => Self::NotPermitted,
        }
    }
}

impl From<&Doubt> for pb::Doubt {
    fn from(doubt: &Doubt) -> Self {
        Self { measure: doubt.measure.as_str().to_owned(), value: doubt.value, bound: doubt.bound }
    }
}

impl From<Timings> for pb::Timings {
    fn from(timings: Timings) -> Self {
        Self {
            queue: timings.queue.map(span),
            embed: timings.embed.map(span),
            search: timings.search.map(span),
            llm: timings.llm.map(span),
            total: Some(span(timings.total)),
        }
    }
}
