//! One target instead of routing: what it would have cost, and whether the log says that it would have done.

use serde::Serialize;

use super::tally::{Tally, TargetTally};
use crate::money::Money;

/// Fewest answers on a route from which anything is concluded.
const ENOUGH: u64 = 30;

/// A route with a smaller share of the answers is not asked for evidence of its own.
const SMALL_SHARE: f64 = 0.01;

/// How much less often, in absolute terms, a target may answer or finish than all together and still pass for as good.
const TOLERANCE: f64 = 0.01;

/// All answers whose cost is known, given by one target instead, with the same tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alternative {
    pub target: String,
    pub is_default: bool,
    /// Whether it was tried at all.
    pub was_used: bool,
    pub would_cost: f64,
    /// Below zero: routing cost more, the LLM stage included.
    pub routing_saved: f64,
    /// Why the log does not show that it would have carried all requests; empty if it does, as far as a log can: it
    /// answered and finished as often on every route. Whether its answers are as good is not in the log.
    pub doubts: Vec<String>,
}

/// Dearest first.
pub(super) fn alternatives(tally: &Tally) -> Vec<Alternative> {
    let routed = tally.comparable_cost + tally.llm.cost;
    let mut alternatives: Vec<Alternative> = tally
        .elsewhere
        .iter()
        .map(|(target, cost)| Alternative {
            target: target.clone(),
            is_default: tally.prices.default.as_ref() == Some(target),
            was_used: tally.targets.get(target).is_some_and(|counted| counted.attempts > 0),
            would_cost: cost.units(),
            routing_saved: difference(*cost, routed),
            doubts: doubts(tally, target),
        })
        .collect();
    alternatives.sort_by(|a, b| b.would_cost.total_cmp(&a.would_cost).then_with(|| a.target.cmp(&b.target)));
    alternatives
}

fn difference(a: Money, b: Money) -> f64 {
    a.units() - b.units()
}

fn doubts(tally: &Tally, name: &str) -> Vec<String> {
    let Some(target) = tally.targets.get(name).filter(|target| target.attempts > 0) else {
        return vec!["it was never tried".to_owned()];
    };
    let mut doubts = Vec::new();
    if target.refused > 0 {
        doubts.push(format!("it was not allowed for {} requests", target.refused));
    }
    let answers: u64 = tally.targets.values().map(TargetTally::answered).sum();
    let mut thin = Vec::new();
    for (route, group) in &tally.routes {
        let share = group.answered as f64 / answers.max(1) as f64;
        if share >= SMALL_SHARE && target.answers.get(route).copied().unwrap_or(0) < ENOUGH {
            thin.push(route.as_str());
        }
    }
    if !thin.is_empty() {
        doubts.push(format!("it gave fewer than {ENOUGH} answers on the routes {}", thin.join(", ")));
    }
    let all = |count: fn(&TargetTally) -> u64| tally.targets.values().map(count).sum::<u64>();
    let worse = |part: (u64, u64), whole: (u64, u64)| share(part) + TOLERANCE < share(whole);
    if worse((target.ok, target.judged()), (all(|each| each.ok), all(TargetTally::judged))) {
        doubts.push("its calls failed more often than all together".to_owned());
    }
    if worse((target.finished, target.answered()), (all(|each| each.finished), all(TargetTally::answered))) {
        doubts.push("its answers were cut off or withheld more often than all together".to_owned());
    }
    doubts
}

fn share((part, whole): (u64, u64)) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
