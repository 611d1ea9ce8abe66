//! From which confidence on a decision stands without the LLM: for a target accuracy, or for the least cost.

use serde::Serialize;

use crate::binomial::{is_at_least, lower_bound};
use crate::metrics::Outcome;

/// Confidence with which a target accuracy is to be met.
pub const LEVEL: f64 = 0.9;

/// Thresholds that are tried: quantiles of the held-out confidences, at most so many.
const STEPS: usize = 50;

/// What decisions shall achieve. Money is in any one currency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Target {
    /// Share of prompts decided alone that are to be right, in (0, 1].
    Accuracy(f64),
    /// The least expected cost a prompt.
    Cost(Costs),
}

/// What decisions cost, a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Costs {
    /// Of sending a prompt down a wrong route.
    pub wrong_route: f64,
    /// Of asking the LLM.
    pub llm: f64,
    /// Of the time that asking the LLM takes.
    pub llm_latency: f64,
    /// Share of the LLM's answers that are right.
    pub llm_accuracy: f64,
}

/// A threshold and what is to be expected of it, from held-out prompts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Threshold {
    /// Decisions of this confidence or more stand; above 1 where none does.
    pub confidence: f32,
    pub expected: Expected,
    /// Whether the target is met. `false`: everything goes to the LLM.
    pub reached: bool,
}

/// What is to be expected under a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Expected {
    /// Held-out prompts behind these figures.
    pub prompts: usize,
    /// Share of prompts decided alone; the others go to the LLM.
    pub alone: f64,
    /// Share of them that are right; 0 of none.
    pub accuracy_alone: f64,
    /// Its lower confidence bound, one-sided, 90 %.
    pub accuracy_alone_at_least: f64,
    /// Cost of 1,000 prompts, for [`Target::Cost`].
    pub cost_per_1000: Option<f64>,
}

/// A target that is none.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum TargetError {
    #[error("a target accuracy of {0}; it is above 0 and at most 1")]
    Accuracy(f64),
    #[error("costs are 0 or more and finite, and the LLM's accuracy is between 0 and 1")]
    Costs,
}

/// Picks the threshold for `target`.
///
/// For an accuracy it is the lowest of 50 whose lower confidence bound meets it. The level is that of each bound: to
/// pick one of several makes a miss likelier, by less than their number suggests, as they are nested. Held-out
/// accuracy errs on the other side, having been reached with fewer prompts. Testing in a fixed order, which would
/// keep the level (Learn then Test, Angelopoulos et al. 2021), gave up at the first mislabelled prompt: with 10 prompts
/// a route of BANKING77 it decided nothing alone.
pub fn choose(outcomes: &[Outcome], target: Target) -> Result<Threshold, TargetError> {
    check(target)?;
    let mut sorted = outcomes.to_vec();
    sorted.sort_unstable_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let candidates = candidates(&sorted);
    Ok(match target {
        Target::Accuracy(accuracy) => by_accuracy(&sorted, &candidates, accuracy),
        Target::Cost(costs) => by_cost(&sorted, &candidates, &costs),
    })
}

/// What is to be expected under a threshold that somebody chose.
pub fn expect(outcomes: &[Outcome], confidence: f32, costs: Option<&Costs>) -> Expected {
    let alone = outcomes.iter().filter(|outcome| outcome.confidence >= confidence);
    let (count, right) = alone.fold((0, 0), |(count, right), outcome| (count + 1, right + usize::from(outcome.right)));
    expected(Counts { prompts: outcomes.len(), alone: count, right }, costs)
}

fn check(target: Target) -> Result<(), TargetError> {
    match target {
        Target::Accuracy(accuracy) if accuracy > 0.0 && accuracy <= 1.0 => Ok(()),
        Target::Accuracy(accuracy) => Err(TargetError::Accuracy(accuracy)),
        Target::Cost(costs) => {
            let amounts = [costs.wrong_route, costs.llm, costs.llm_latency];
            let fine = amounts.iter().all(|amount| *amount >= 0.0 && amount.is_finite())
                && (0.0..=1.0).contains(&costs.llm_accuracy);
            if fine { Ok(()) } else { Err(TargetError::Costs) }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    prompts: usize,
    alone: usize,
    right: usize,
}

fn expected(counts: Counts, costs: Option<&Costs>) -> Expected {
    let Counts { prompts, alone, right } = counts;
    let per = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    Expected {
        prompts,
        alone: per(alone, prompts),
        accuracy_alone: per(right, alone),
        accuracy_alone_at_least: lower_bound(right, alone, LEVEL),
        cost_per_1000: costs.map(|costs| {
            let asked = costs.llm + costs.llm_latency + (1.0 - costs.llm_accuracy) * costs.wrong_route;
            1000.0 * (per(alone - right, prompts) * costs.wrong_route + (1.0 - per(alone, prompts)) * asked)
        }),
    }
}

/// (threshold, counts at and above it), from few decided alone to all.
fn candidates(sorted: &[Outcome]) -> Vec<(f32, Counts)> {
    let mut found = Vec::new();
    let (mut alone, mut right) = (0, 0);
    let step = sorted.len().div_ceil(STEPS).max(1);
    for ties in sorted.chunk_by(|a, b| a.confidence == b.confidence) {
        let steps_before = alone / step;
        alone += ties.len();
        right += ties.iter().filter(|outcome| outcome.right).count();
        if alone / step > steps_before || alone == sorted.len() {
            found.push((ties[0].confidence, Counts { prompts: sorted.len(), alone, right }));
        }
    }
    found
}

fn by_accuracy(sorted: &[Outcome], candidates: &[(f32, Counts)], accuracy: f64) -> Threshold {
    let meets = |counts: &Counts| is_at_least(counts.right, counts.alone, LEVEL, accuracy);
    match candidates.iter().rev().find(|(_, counts)| meets(counts)) {
        Some((confidence, counts)) => {
            Threshold { confidence: *confidence, expected: expected(*counts, None), reached: true }
        }
        None => nothing_alone(sorted.len(), None),
    }
}

fn by_cost(sorted: &[Outcome], candidates: &[(f32, Counts)], costs: &Costs) -> Threshold {
    let none = Threshold { reached: true, ..nothing_alone(sorted.len(), Some(costs)) };
    let cost = |threshold: &Threshold| threshold.expected.cost_per_1000.unwrap_or(f64::INFINITY);
    candidates
        .iter()
        .map(|(confidence, counts)| Threshold {
            confidence: *confidence,
            expected: expected(*counts, Some(costs)),
            reached: true,
        })
        .fold(none, |best, next| if cost(&next) <= cost(&best) { next } else { best })
}

fn nothing_alone(prompts: usize, costs: Option<&Costs>) -> Threshold {
    let counts = Counts { prompts, alone: 0, right: 0 };
    Threshold { confidence: 1.1, expected: expected(counts, costs), reached: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Confidences 1/n to 1, right with probability about the confidence's square root.
    fn outcomes(count: usize) -> Vec<Outcome> {
        (1..=count)
            .map(|index| {
                let confidence = index as f32 / count as f32;
                Outcome { route: 0, confidence, right: (index * 7919 % 1000) as f32 / 1000.0 < confidence.sqrt() }
            })
            .collect()
    }

    #[test]
    fn the_bound_meets_the_target() {
        let outcomes = outcomes(5000);
        let chosen = choose(&outcomes, Target::Accuracy(0.9)).unwrap();
        assert!(chosen.reached && chosen.expected.accuracy_alone_at_least >= 0.9 && chosen.expected.alone > 0.1);
        let again = expect(&outcomes, chosen.confidence, None);
        assert!((again.alone - chosen.expected.alone).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_reached_is_said() {
        for (count, target) in [(5000, 1.0), (10, 0.97), (0, 0.5)] {
            let chosen = choose(&outcomes(count), Target::Accuracy(target)).unwrap();
            assert!(!chosen.reached && chosen.confidence > 1.0 && chosen.expected.alone == 0.0);
        }
    }

    #[test]
    fn cost_weighs_errors_against_questions() {
        let outcomes = outcomes(5000);
        let costs = |wrong_route| Target::Cost(Costs { wrong_route, llm: 0.01, llm_latency: 0.0, llm_accuracy: 0.95 });
        let cheap = choose(&outcomes, costs(0.0)).unwrap();
        let dear = choose(&outcomes, costs(1.0)).unwrap();
        assert_eq!(cheap.expected.alone, 1.0);
        assert!(dear.confidence > cheap.confidence && dear.expected.alone < 0.5);
        assert!(dear.expected.cost_per_1000.unwrap() < 70.0);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(choose(&[], Target::Accuracy(0.0)).is_err());
        assert!(choose(&[], Target::Accuracy(f64::NAN)).is_err());
        let costs = Costs { wrong_route: -1.0, llm: 0.0, llm_latency: 0.0, llm_accuracy: 0.5 };
        assert_eq!(choose(&[], Target::Cost(costs)), Err(TargetError::Costs));
    }
}
