//! One prompt of the evaluation data, with what was expected and what came out.

use std::time::Duration;

use serde::Serialize;

/// What became of one labelled prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub text: String,
    /// `None`: out of scope, no route is right.
    pub expected: Option<String>,
    /// `None`: no route was chosen.
    pub predicted: Option<String>,
    /// Whether the embedding stage decided, without the LLM stage and without a fallback.
    pub decided_alone: bool,
    /// Confidence in the prediction, higher is surer.
    pub score: f32,
    /// Distance of the winner's score from the second's.
    pub margin: f32,
    /// Cosine similarity of the winner's nearest reference prompt.
    pub similarity: f32,
    /// From the prompt's arrival to the decision.
    pub latency: Duration,
}

impl Outcome {
    /// Right is also to choose no route where none applies.
    pub fn is_right(&self) -> bool {
        self.expected == self.predicted
    }

    pub fn in_scope(&self) -> bool {
        self.expected.is_some()
    }
}

/// A number of an outcome by which sure decisions may be told from unsure ones; higher is surer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    Score,
    Margin,
    Similarity,
}

impl Signal {
    pub const ALL: [Self; 3] = [Self::Score, Self::Margin, Self::Similarity];

    pub fn of(self, outcome: &Outcome) -> f32 {
        match self {
            Self::Score => outcome.score,
            Self::Margin => outcome.margin,
            Self::Similarity => outcome.similarity,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Score => "score",
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
    pub(in crate::evaluate) fn outcome(expected: &str, predicted: &str, score: f32) -> Outcome {
        let route = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Outcome {
            text: format!("{expected} taken for {predicted}"),
            expected: route(expected),
            predicted: route(predicted),
            decided_alone: true,
            score,
            margin: score / 2.0,
            similarity: score,
            latency: Duration::from_millis(1),
        }
    }

    /// Few routes and few scores, so that ties, confusions and missing classes are common.
    pub(in crate::evaluate) fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
        let route = || prop::sample::select(vec!["", "a", "b", "c"]);
        let score = prop_oneof![8 => (0u8..6).prop_map(|step| f32::from(step) / 5.0), 1 => Just(f32::NAN)];
        let row = (route(), route(), score, any::<bool>(), 0u64..5_000).prop_map(
            |(expected, predicted, score, decided_alone, micros)| Outcome {
                decided_alone,
                latency: Duration::from_micros(micros),
                ..outcome(expected, predicted, score)
            },
        );
        prop::collection::vec(row, 0..60)
    }
}
