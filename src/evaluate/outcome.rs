//! One prompt of the evaluation data, with what was expected and what came out.

use std::time::Duration;

use serde::Serialize;

/// What became of one labelled prompt: all that the metrics are computed from.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub text: String,
    /// `None`: out of scope, no route is right.
    pub expected: Option<String>,
    /// What kind of prompt it is, where the data says so. Separation from prompts in scope is told kind by kind.
    pub kind: Option<String>,
    /// What was answered. `None`: no route was chosen.
    pub predicted: Option<String>,
    /// The likeliest answer, whether or not the set's policy trusted it; `None`: likeliest is that no route applies.
    pub winner: Option<String>,
    /// Likeliest first, with probabilities that add up to at most 1. Routes that are not listed have none.
    pub ranking: Vec<Ranked>,
    /// Probability that the winner is right, in [0, 1].
    pub confidence: f32,
    /// Distance of the winner's probability from the second's.
    pub margin: f32,
    /// Cosine similarity of the winner's nearest reference prompt.
    pub similarity: f32,
    /// Confidence that any route applies, higher is surer.
    pub in_scope_score: f32,
    /// What decided.
    pub stage: &'static str,
    /// Whether the embedding stage decided by the set's own threshold, without the LLM stage and without a fallback.
    pub decided_alone: bool,
    /// From the prompt's arrival to the decision.
    pub latency: Duration,
    pub steps: Steps,
    /// Tokens of the whole prompt as the embedding model counts them; estimated where it read a part only.
    pub tokens: u64,
}

/// A route with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    pub route: String,
    /// In [0, 1].
    pub probability: f32,
}

/// Where the time of a decision went; `None`: the step was not taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps {
    pub queue: Option<Duration>,
    pub embed: Option<Duration>,
    pub search: Option<Duration>,
}

impl Outcome {
    /// Whether the answer is right. Right is also to choose no route where none applies.
    pub fn is_right(&self) -> bool {
        self.expected == self.predicted
    }

    /// Whether the likeliest answer is right, trusted or not: what a threshold on the confidence chooses from.
    pub fn winner_is_right(&self) -> bool {
        self.expected == self.winner
    }

    pub fn in_scope(&self) -> bool {
        self.expected.is_some()
    }

    /// Position of the expected route in the ranking, from 0.
    pub(super) fn rank(&self) -> Option<usize> {
        let expected = self.expected.as_deref()?;
        self.ranking.iter().position(|ranked| ranked.route == expected)
    }
}

/// A number of an outcome by which prompts in scope may be told from others; higher is surer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    InScope,
    Confidence,
    Margin,
    Similarity,
}

impl Signal {
    pub const ALL: [Self; 4] = [Self::InScope, Self::Confidence, Self::Margin, Self::Similarity];

    pub fn of(self, outcome: &Outcome) -> f32 {
        match self {
            Self::InScope => outcome.in_scope_score,
            Self::Confidence => outcome.confidence,
            Self::Margin => outcome.margin,
            Self::Similarity => outcome.similarity,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::InScope => "in-scope score",
            Self::Confidence => "confidence",
            Self::Margin => "margin",
            Self::Similarity => "similarity",
        }
    }
}

/// Outcomes for the tests of the metrics.
#[cfg(test)]
pub(super) mod samples {
    use proptest::prelude::*;

    use super::*;

    /// An outcome decided alone in one millisecond; `""` stands for no route.
    pub(in crate::evaluate) fn outcome(expected: &str, predicted: &str, confidence: f32) -> Outcome {
        let route = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let ranked = |route: String| Ranked { route, probability: confidence };
        Outcome {
            text: format!("{expected} taken for {predicted}"),
            expected: route(expected),
            kind: None,
            predicted: route(predicted),
            winner: route(predicted),
            ranking: route(predicted).map(ranked).into_iter().collect(),
            confidence,
            margin: confidence / 2.0,
            similarity: confidence,
            in_scope_score: confidence,
            stage: "embedding",
            decided_alone: true,
            latency: Duration::from_millis(1),
            steps: Steps { embed: Some(Duration::from_micros(900)), ..Steps::default() },
            tokens: 10,
        }
    }

    /// Few routes and few scores, so that ties, confusions and missing classes are common.
    pub(in crate::evaluate) fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
        let route = || prop::sample::select(vec!["", "a", "b", "c"]);
        let confidence = prop_oneof![8 => (0u8..6).prop_map(|step| f32::from(step) / 5.0), 1 => Just(f32::NAN)];
        let kind = prop::sample::select(vec![None, Some("near"), Some("far")]);
        let row = (route(), route(), confidence, any::<bool>(), 0u64..5_000, kind).prop_map(
            |(expected, predicted, confidence, decided_alone, micros, kind)| Outcome {
                decided_alone,
                latency: Duration::from_micros(micros),
                kind: kind.map(str::to_owned),
                ..outcome(expected, predicted, confidence)
            },
        );
        prop::collection::vec(row, 0..60)
    }
}
