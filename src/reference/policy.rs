//! When a set decides by itself, and what it answers when nobody is sure.

use serde::{Deserialize, Serialize};

use super::name::RouteName;
use super::types::NO_ROUTE;

/// What the answer is when neither the neighbours nor the LLM stage are sure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// The likeliest route, marked as a guess.
    #[default]
    BestGuess,
    /// A named route.
    DefaultRoute(RouteName),
    /// No route.
    Abstain,
}

/// When a set is trusted to decide without the LLM stage.
///
/// With a `target_accuracy` or a `cost`, and with a version of enough prompts to prove one, a calibrated confidence
/// decides; else the bounds on the neighbours' vote do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SetPolicy {
    /// Accuracy wanted of what is decided without the LLM stage, in [0, 1]; 0: the bounds on the vote decide.
    pub target_accuracy: f32,
    /// What mistakes and calls of the LLM stage cost: if given, this decides and not the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostPolicy>,
    /// Least probability that any of the set's routes applies, in [0, 1]; goes with a confidence.
    pub min_in_scope: f32,
    /// Least share of the vote that the winner needs, in [0, 1].
    pub min_score: f32,
    /// Least distance between the shares of the winner and the second, in [0, 1].
    pub min_margin: f32,
    /// Least cosine similarity of the winner's nearest reference prompt, in [-1, 1].
    pub min_similarity: f32,
    pub fallback: Fallback,
}

/// Costs in one unit, whichever it is: only their ratios matter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostPolicy {
    /// Of a prompt that goes to a wrong route.
    pub wrong_route_cost: f64,
    /// Of a call of the LLM stage.
    pub llm_cost: f64,
    /// Of the time that such a call takes.
    #[serde(default)]
    pub llm_latency_cost: f64,
    /// Share of the LLM stage's verdicts that are right, in [0, 1].
    #[serde(default = "CostPolicy::default_llm_accuracy")]
    pub llm_accuracy: f64,
}

impl Default for SetPolicy {
    fn default() -> Self {
        Self {
            target_accuracy: 0.95,
            cost: None,
            min_in_scope: 0.5,
            min_score: 0.5,
            min_margin: 0.1,
            min_similarity: 0.3,
            fallback: Fallback::BestGuess,
        }
    }
}

impl SetPolicy {
    /// What is wrong: the name of each faulty field with what it must be. Empty if the policy is valid.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        faults.extend(outside("target_accuracy", self.target_accuracy, 0.0, 1.0));
        faults.extend(self.cost.and_then(|cost| cost.fault()).map(|fault| ("cost", fault)));
        faults.extend(outside("min_in_scope", self.min_in_scope, 0.0, 1.0));
        faults.extend(outside("min_score", self.min_score, 0.0, 1.0));
        faults.extend(outside("min_margin", self.min_margin, 0.0, 1.0));
        faults.extend(outside("min_similarity", self.min_similarity, -1.0, 1.0));
        if let Fallback::DefaultRoute(route) = &self.fallback {
            faults.extend(reserved(route));
        }
        faults
    }
}

impl CostPolicy {
    /// A guess: nobody knows it before it was measured.
    pub fn default_llm_accuracy() -> f64 {
        0.9
    }

    fn fault(self) -> Option<String> {
        let costs = [
            ("wrong_route_cost", self.wrong_route_cost),
            ("llm_cost", self.llm_cost),
            ("llm_latency_cost", self.llm_latency_cost),
        ];
        if let Some((field, value)) = costs.into_iter().find(|(_, cost)| !(cost.is_finite() && *cost >= 0.0)) {
            return Some(format!("{field} must be a number from 0, not {value}"));
        }
        let share = (0.0..=1.0).contains(&self.llm_accuracy);
        (!share).then(|| format!("llm_accuracy must be between 0 and 1, not {}", self.llm_accuracy))
    }
}

/// NaN is outside of every range.
pub(super) fn outside(field: &'static str, value: f32, least: f32, most: f32) -> Option<(&'static str, String)> {
    let inside = (least..=most).contains(&value);
    (!inside).then(|| (field, format!("must be between {least} and {most}, not {value}")))
}

fn reserved(route: &RouteName) -> Option<(&'static str, String)> {
    (route.as_str() == NO_ROUTE).then(|| ("fallback", format!("must not be the reserved route name {NO_ROUTE}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(faults: Vec<(&'static str, String)>) -> Vec<&'static str> {
        faults.into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn policies_are_checked() {
        let good = SetPolicy::default();
        let none = RouteName::new(NO_ROUTE).unwrap();
        let cost =
            |llm_cost| Some(CostPolicy { wrong_route_cost: 10.0, llm_cost, llm_latency_cost: 0.0, llm_accuracy: 0.9 });
        let cases = [
            (good.clone(), vec![]),
            (SetPolicy { min_score: 0.0, min_margin: 1.0, min_similarity: -1.0, ..good.clone() }, vec![]),
            (SetPolicy { min_score: f32::NAN, min_margin: -0.1, ..good.clone() }, vec!["min_score", "min_margin"]),
            (SetPolicy { min_similarity: f32::INFINITY, ..good.clone() }, vec!["min_similarity"]),
            (SetPolicy { target_accuracy: 1.0, min_in_scope: 0.0, ..good.clone() }, vec![]),
            (SetPolicy { target_accuracy: -0.1, ..good.clone() }, vec!["target_accuracy"]),
            (
                SetPolicy { target_accuracy: f32::NAN, min_in_scope: 1.5, ..good.clone() },
                vec!["target_accuracy", "min_in_scope"],
            ),
            (SetPolicy { cost: cost(1.0), ..good.clone() }, vec![]),
            (SetPolicy { cost: cost(-1.0), ..good.clone() }, vec!["cost"]),
            (SetPolicy { cost: cost(f64::INFINITY), ..good.clone() }, vec!["cost"]),
            (SetPolicy { fallback: Fallback::DefaultRoute(none), ..good }, vec!["fallback"]),
        ];
        for (policy, expected) in cases {
            assert_eq!(fields(policy.faults()), expected, "{policy:?}");
        }
    }
}
