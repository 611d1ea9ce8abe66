//! What was decided, by whom and why.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::budget::Cap;
use super::evidence::{Evidence, Judged};
use super::judge::Doubt;
use super::knn::RouteScore;
use super::llm::LlmChoice;
use crate::reference::{Neighbour, Route, RouteIndex, Snapshot};

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Embedding,
    Llm,
    BestGuess,
    DefaultRoute,
    Abstained,
}

impl Stage {
    pub const ALL: [Self; 5] = [Self::Embedding, Self::Llm, Self::BestGuess, Self::DefaultRoute, Self::Abstained];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Llm => "llm",
            Self::BestGuess => "best_guess",
            Self::DefaultRoute => "default_route",
            Self::Abstained => "abstained",
        }
    }
}

/// What became of the LLM stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LlmOutcome {
    NotNeeded,
    NotConfigured,
    NotAllowed,
    Verdict,
    NoneApplies,
    Timeout,
    Error,
    NoVerdict,
    /// Its share of the decisions was used up.
    OverShare,
    /// Its calls a second were used up.
    OverRate,
    /// As many calls as are allowed were under way.
    OverConcurrency,
    /// What it may spend a day was spent or reserved.
    OverSpend,
    /// A data policy does not let the prompt go there.
    NotPermitted,
}

impl LlmOutcome {
    pub const ALL: [Self; 13] = [
        Self::NotNeeded,
        Self::NotConfigured,
        Self::NotAllowed,
        Self::Verdict,
        Self::NoneApplies,
        Self::Timeout,
        Self::Error,
        Self::NoVerdict,
        Self::OverShare,
        Self::OverRate,
        Self::OverConcurrency,
        Self::OverSpend,
        Self::NotPermitted,
    ];

    /// The cap of the budget that kept the stage from being asked.
    pub(super) fn over(cap: Cap) -> Self {
        match cap {
            Cap::Share => Self::OverShare,
            Cap::Rate => Self::OverRate,
            Cap::Concurrency => Self::OverConcurrency,
            Cap::Spend => Self::OverSpend,
        }
    }

    /// Whether a question was put, or an equal one had been answered before.
    pub fn was_asked(self) -> bool {
        match self {
            Self::Verdict | Self::NoneApplies | Self::Timeout | Self::Error | Self::NoVerdict => true,
            Self::NotNeeded
            | Self::NotConfigured
            | Self::NotAllowed
            | Self::OverShare
            | Self::OverRate
            | Self::OverConcurrency
            | Self::OverSpend
            | Self::NotPermitted => false,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotNeeded => "not_needed",
            Self::NotConfigured => "not_configured",
            Self::NotAllowed => "not_allowed",
            Self::Verdict => "verdict",
            Self::NoneApplies => "none_applies",
            Self::Timeout => "timeout",
            Self::Error => "error",
            Self::NoVerdict => "no_verdict",
            Self::OverShare => "over_share",
            Self::OverRate => "over_rate",
            Self::OverConcurrency => "over_concurrency",
            Self::OverSpend => "over_spend",
            Self::NotPermitted => "not_permitted",
        }
    }
}

/// Where the time went; a step that was not taken has none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timings {
    /// Waiting for a worker, or for another request with the same prompt.
    pub queue: Option<Duration>,
    pub embed: Option<Duration>,
    pub search: Option<Duration>,
    pub llm: Option<Duration>,
    pub total: Duration,
}

#[derive(Debug, Clone)]
pub struct Decision {
    pub id: Uuid,
    /// The version that it rests on; indices below point into it.
    pub snapshot: Arc<Snapshot>,
    /// `None`: no route applies.
    pub route: Option<RouteIndex>,
    pub stage: Stage,
    pub llm: LlmOutcome,
    /// What the LLM stage chose, if it did.
    pub verdict: Option<LlmChoice>,
    /// What it rests on.
    pub evidence: Arc<Evidence>,
    /// Least confidence with which the first stage decides alone; `None`: the bounds on the vote were asked.
    pub threshold: Option<f32>,
    /// What spoke against trusting the first stage.
    pub doubts: Box<[Doubt]>,
    /// What the answer is without the LLM stage.
    pub without_llm: (Stage, Option<RouteIndex>),
    /// Neighbours that the request asked to see.
    pub shown: usize,
    /// Nothing was computed for it: the evidence, and the LLM's verdict if one was needed, were those of an equal
    /// prompt before.
    pub cached: bool,
    pub timings: Timings,
}

impl Decision {
    pub fn route(&self) -> Option<&Route> {
        self.route.and_then(|index| self.snapshot.route(index))
    }

    /// Likeliest first.
    pub fn scores(&self) -> &[RouteScore] {
        &self.evidence.scores
    }

    pub fn doubts(&self) -> &[Doubt] {
        &self.doubts
    }

    /// What the decision model says of the likeliest route.
    pub fn judged(&self) -> Option<Judged> {
        self.evidence.judged
    }

    /// Nearest first, as many as the request asked for.
    pub fn neighbours(&self) -> &[Neighbour] {
        let neighbours = &self.evidence.neighbours;
        neighbours.get(..self.shown).unwrap_or(neighbours)
    }

    /// The chosen route's share of the vote, in [0, 1]; 0 if it got none.
    pub fn score(&self) -> f32 {
        let chosen = self.scores().iter().find(|score| Some(score.route) == self.route);
        chosen.map_or(0.0, |score| score.score)
    }

    /// What the likeliest route has more than the second: of the probabilities of the decision model, or of the
    /// shares of the vote without one. In [0, 1].
    pub fn margin(&self) -> f32 {
        let weight = |score: &RouteScore| score.probability.unwrap_or(score.score);
        match self.scores() {
            [] => 0.0,
            [only] => weight(only),
            // One that has no probability is less likely than any that has one.
            [first, second, ..] if first.probability.is_some() => weight(first) - second.probability.unwrap_or(0.0),
            [first, second, ..] => weight(first) - weight(second),
        }
    }

    /// Why this stage decided, in plain words.
    pub fn reason(&self) -> String {
        let doubts: Vec<String> = self.doubts().iter().map(Doubt::in_words).collect();
        let llm = match self.llm {
            // There was nobody to doubt.
            LlmOutcome::NotNeeded if self.stage == Stage::Abstained => return "the set has no routes".to_owned(),
            LlmOutcome::NotNeeded => {
                let sure = |(judged, threshold): (Judged, f32)| {
                    format!("confidence {:.3} is at least {threshold:.3}", judged.confidence)
                };
                let judged = self.judged().zip(self.threshold);
                return judged.map_or_else(|| "the neighbours agree".to_owned(), sure);
            }
            LlmOutcome::NotConfigured => "no LLM stage is configured",
            LlmOutcome::NotAllowed => "the request does not allow the LLM stage",
            LlmOutcome::Verdict => "the LLM stage chose the route",
            LlmOutcome::NoneApplies => "the LLM stage says that no route applies",
            LlmOutcome::Timeout => "the LLM stage did not answer in time",
            LlmOutcome::Error => "the LLM stage's call failed",
            LlmOutcome::NoVerdict => "the LLM stage's answer named no route",
            LlmOutcome::OverShare => "the LLM stage is over its budget: its share of the decisions is used up",
            LlmOutcome::OverRate => "the LLM stage is over its budget: its calls a second are used up",
            LlmOutcome::OverConcurrency => "the LLM stage is over its budget: too many calls are under way",
            LlmOutcome::OverSpend => "the LLM stage is over its budget: what it may spend a day is spent",
            LlmOutcome::NotPermitted => "a data policy keeps the prompt from the LLM stage",
        };
        let outcome = match self.stage {
            Stage::Embedding | Stage::Llm => String::new(),
            Stage::BestGuess => "; the set's policy takes the best guess".to_owned(),
            Stage::DefaultRoute => "; the set's policy takes its default route".to_owned(),
            Stage::Abstained => "; the set's policy gives no route".to_owned(),
        };
        format!("{}; {llm}{outcome}", doubts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_the_order_of_their_values() {
        assert!(Stage::ALL.into_iter().enumerate().all(|(at, stage)| stage as usize == at));
        assert!(LlmOutcome::ALL.into_iter().enumerate().all(|(at, outcome)| outcome as usize == at));
    }
}
