//! From which confidence on a decision stands without the LLM: for a target accuracy, or for the least cost.

use serde::Serialize;

use crate::metrics::Outcome;
use crate::tally::Tally;

/// Confidence with which a target accuracy is to be met.
pub const LEVEL: f64 = 0.9;

/// Thresholds that are tried: quantiles of the held-out confidences, at most so many.
const STEPS: usize = 100;

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

/// What is to be expected under a threshold. For accuracies and costs, prompts that paraphrase each other count as one.
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
/// For an accuracy it is the lowest of 100 whose lower confidence bound meets it. The level is that of each bound: to
/// pick one of several makes a miss likelier, by less than their number suggests, as they are nested. Held-out
/// accuracy errs on the other side, having been reached with fewer prompts. Testing in a fixed order, which would
/// keep the level (Learn then Test, Angelopoulos et al. 2021), gave up at the first mislabelled prompt: with 10 prompts
/// a route of BANKING77 it decided nothing alone.
///
/// Prompts that are less likely than `min_in_scope` to belong to any route are not decided alone, whatever the
/// confidence.
pub fn choose(outcomes: &[Outcome], target: Target, min_in_scope: f32) -> Result<Threshold, TargetError> {
    check(target)?;
    let mut sorted: Vec<Outcome> =
        outcomes.iter().filter(|outcome| outcome.in_scope >= min_in_scope).copied().collect();
    sorted.sort_unstable_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let candidates = candidates(&sorted);
    let all = Tally::of(outcomes);
    Ok(match target {
        Target::Accuracy(accuracy) => by_accuracy(all, &candidates, accuracy),
        Target::Cost(costs) => by_cost(all, &candidates, &costs),
    })
}

/// What is to be expected under a threshold that somebody chose.
pub fn expect(outcomes: &[Outcome], confidence: f32, min_in_scope: f32, costs: Option<&Costs>) -> Expected {
    let sure = |outcome: &&Outcome| outcome.confidence >= confidence && outcome.in_scope >= min_in_scope;
    let alone = Tally::of(outcomes.iter().filter(sure));
    expected(Tally::of(outcomes), alone, costs)
}

/// The highest accuracy that the outcomes which may be decided alone could prove, were all of them right.
pub fn provable(outcomes: &[Outcome], min_in_scope: f32) -> f64 {
    Tally::of(outcomes.iter().filter(|outcome| outcome.in_scope >= min_in_scope)).best_bound(LEVEL)
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

/// What follows if those in `alone`, of `all`, are decided alone.
fn expected(all: Tally, alone: Tally, costs: Option<&Costs>) -> Expected {
    let share = alone.share_of(all);
    Expected {
        prompts: all.prompts(),
        alone: alone.prompts() as f64 / all.prompts().max(1) as f64,
        accuracy_alone: alone.accuracy(),
        accuracy_alone_at_least: alone.lower_bound(LEVEL),
        cost_per_1000: costs.map(|costs| {
            let asked = costs.llm + costs.llm_latency + (1.0 - costs.llm_accuracy) * costs.wrong_route;
            1000.0 * (share * (1.0 - alone.accuracy()) * costs.wrong_route + (1.0 - share) * asked)
        }),
    }
}

/// (threshold, prompts at and above it), from few decided alone to all that may be.
fn candidates(sorted: &[Outcome]) -> Vec<(f32, Tally)> {
    let mut found = Vec::new();
    let (mut alone, mut tally) = (0, Tally::default());
    let step = sorted.len().div_ceil(STEPS).max(1);
    for ties in sorted.chunk_by(|a, b| a.confidence == b.confidence) {
        let steps_before = alone / step;
        alone += ties.len();
        ties.iter().for_each(|outcome| tally.add(outcome));
        if alone / step > steps_before || alone == sorted.len() {
            found.push((ties[0].confidence, tally));
        }
    }
    found
}

fn by_accuracy(all: Tally, candidates: &[(f32, Tally)], accuracy: f64) -> Threshold {
    match candidates.iter().rev().find(|(_, alone)| alone.is_at_least(accuracy, LEVEL)) {
        Some((confidence, alone)) => {
            Threshold { confidence: *confidence, expected: expected(all, *alone, None), reached: true }
        }
        None => nothing_alone(all, None),
    }
}

fn by_cost(all: Tally, candidates: &[(f32, Tally)], costs: &Costs) -> Threshold {
    let none = Threshold { reached: true, ..nothing_alone(all, Some(costs)) };
    let cost = |threshold: &Threshold| threshold.expected.cost_per_1000.unwrap_or(f64::INFINITY);
    candidates
        .iter()
        .map(|(confidence, alone)| Threshold {
            confidence: *confidence,
            expected: expected(all, *alone, Some(costs)),
            reached: true,
        })
        .fold(none, |best, next| if cost(&next) <= cost(&best) { next } else { best })
}

fn nothing_alone(all: Tally, costs: Option<&Costs>) -> Threshold {
    Threshold { confidence: 1.1, expected: expected(all, Tally::default(), costs), reached: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Confidences 1/n to 1, right with probability about the confidence's square root.
    fn outcomes(count: usize) -> Vec<Outcome> {
        (1..=count)
            .map(|index| {
                let confidence = index as f32 / count as f32;
                let right = (index * 7919 % 1000) as f32 / 1000.0 < confidence.sqrt();
                Outcome { route: 0, confidence, in_scope: 1.0, weight: 1.0, right }
            })
            .collect()
    }

    #[test]
    fn the_bound_meets_the_target() {
        let outcomes = outcomes(5000);
        let chosen = choose(&outcomes, Target::Accuracy(0.9), 0.5).unwrap();
        assert!(chosen.reached && chosen.expected.accuracy_alone_at_least >= 0.9 && chosen.expected.alone > 0.1);
        let again = expect(&outcomes, chosen.confidence, 0.5, None);
        assert!((again.alone - chosen.expected.alone).abs() < 1e-9);
    }

    #[test]
    fn what_seems_out_of_scope_is_not_decided_alone() {
        let mut outcomes = outcomes(5000);
        let all = choose(&outcomes, Target::Accuracy(0.9), 0.5).unwrap();
        // Every other prompt, right or wrong, sure or not.
        outcomes.iter_mut().step_by(2).for_each(|outcome| outcome.in_scope = 0.4);
        let half = choose(&outcomes, Target::Accuracy(0.9), 0.5).unwrap();
        assert_eq!(half.expected.prompts, 5000);
        assert!((half.expected.alone - all.expected.alone / 2.0).abs() < 0.03, "{half:?}, {all:?}");
        assert_eq!(expect(&outcomes, 0.0, 0.5, None).alone, 0.5);
        assert_eq!(expect(&outcomes, 0.0, 0.4, None).alone, 1.0);
        // What may not be decided alone proves nothing either.
        assert!(provable(&outcomes[..100], 0.5) < provable(&outcomes[..100], 0.4));
    }

    #[test]
    fn what_cannot_be_reached_is_said() {
        for (count, target) in [(5000, 1.0), (10, 0.97), (0, 0.5)] {
            let chosen = choose(&outcomes(count), Target::Accuracy(target), 0.5).unwrap();
            assert!(!chosen.reached && chosen.confidence > 1.0 && chosen.expected.alone == 0.0);
        }
    }

    #[test]
    fn cost_weighs_errors_against_questions() {
        let outcomes = outcomes(5000);
        let costs = |wrong_route| Target::Cost(Costs { wrong_route, llm: 0.01, llm_latency: 0.0, llm_accuracy: 0.95 });
        let cheap = choose(&outcomes, costs(0.0), 0.5).unwrap();
        let dear = choose(&outcomes, costs(1.0), 0.5).unwrap();
        assert_eq!(cheap.expected.alone, 1.0);
        assert!(dear.confidence > cheap.confidence && dear.expected.alone < 0.5);
        assert!(dear.expected.cost_per_1000.unwrap() < 70.0);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(choose(&[], Target::Accuracy(0.0), 0.5).is_err());
        assert!(choose(&[], Target::Accuracy(f64::NAN), 0.5).is_err());
        let costs = Costs { wrong_route: -1.0, llm: 0.0, llm_latency: 0.0, llm_accuracy: 0.5 };
        assert_eq!(choose(&[], Target::Cost(costs), 0.5), Err(TargetError::Costs));
    }
}
