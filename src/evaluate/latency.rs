//! Quantiles of the time that decisions took.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::outcome::Outcome;
use super::proportion::Proportion;

/// Milliseconds, to the microsecond. Quantiles are rows that occurred (nearest rank, the first definition of Hyndman
/// and Fan (1996), "Sample quantiles in statistical packages"), not interpolated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Latency {
    /// `None` if there are no times.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        let quantile = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100);
            times.get(rank.saturating_sub(1)).copied().map(milliseconds)
        };
        Some(Self { p50_ms: quantile(50)?, p90_ms: quantile(90)?, p99_ms: quantile(99)?, max_ms: quantile(100)? })
    }

    /// From the prompts' arrival to their decision.
    pub(super) fn of_decisions(outcomes: &[Outcome]) -> Option<Self> {
        Self::of(outcomes.iter().map(|outcome| outcome.latency))
    }
}

/// The time that one step took, over the decisions that took it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepLatency {
    pub step: &'static str,
    pub rows: u64,
    #[serde(flatten)]
    pub latency: Latency,
}

/// A step's name, and its time in an outcome.
type Step = (&'static str, fn(&Outcome) -> Option<Duration>);

/// In the order of the way; steps that no decision took are left out.
pub(super) fn of_steps(outcomes: &[Outcome]) -> Vec<StepLatency> {
    let steps: [Step; 3] = [
        ("queue", |outcome| outcome.steps.queue),
        ("embedding", |outcome| outcome.steps.embed),
        ("search", |outcome| outcome.steps.search),
    ];
    let of_step = |(step, time): Step| {
        let rows = outcomes.iter().filter_map(time).count() as u64;
        Latency::of(outcomes.iter().filter_map(time)).map(|latency| StepLatency { step, rows, latency })
    };
    steps.into_iter().filter_map(of_step).collect()
}

/// What one stage decided: how much, how well and in what time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StageShare {
    pub stage: &'static str,
    /// Of all rows.
    pub share: Proportion,
    /// Right rows of those that it decided.
    pub accuracy: Proportion,
    pub latency: Latency,
}

/// By name.
pub(super) fn of_stages(outcomes: &[Outcome]) -> Vec<StageShare> {
    let names: BTreeSet<&'static str> = outcomes.iter().map(|outcome| outcome.stage).collect();
    let share = |stage: &'static str| {
        let decided = || outcomes.iter().filter(move |outcome| outcome.stage == stage);
        Some(StageShare {
            stage,
            share: Proportion::of(decided().count() as u64, outcomes.len() as u64),
            accuracy: Proportion::count(decided().map(Outcome::is_right)),
            latency: Latency::of(decided().map(|outcome| outcome.latency))?,
        })
    };
    names.into_iter().filter_map(share).collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    fn check(micros: impl Iterator<Item = u64>, expected: Option<[f64; 4]>) {
        let row = |micros| Outcome { latency: Duration::from_micros(micros), ..outcome("a", "a", 1.0) };
        let found = Latency::of_decisions(&micros.map(row).collect::<Vec<_>>());
        assert_eq!(found.map(|at| [at.p50_ms, at.p90_ms, at.p99_ms, at.max_ms]), expected);
    }

    #[test]
    fn quantiles_are_rows() {
        check(std::iter::empty(), None);
        check([1500].into_iter(), Some([1.5; 4]));
        check((1..=1000).rev(), Some([0.5, 0.9, 0.99, 1.0]));
        check([1000, 2000].into_iter(), Some([1.0, 2.0, 2.0, 2.0]));
    }

    #[test]
    fn steps_and_stages_are_told_apart() {
        let late = Outcome { stage: "best_guess", latency: Duration::from_millis(9), ..outcome("a", "b", 0.1) };
        let rows = [outcome("a", "a", 1.0), outcome("b", "b", 1.0), late];
        let steps: Vec<_> = of_steps(&rows).iter().map(|at| (at.step, at.rows, at.latency.p50_ms)).collect();
        assert_eq!(steps, [("embedding", 3, 0.9)]);
        let stages: Vec<_> =
            of_stages(&rows).iter().map(|at| (at.stage, at.share.hits, at.accuracy.hits, at.latency.max_ms)).collect();
        assert_eq!(stages, [("best_guess", 1, 0, 9.0), ("embedding", 2, 2, 1.0)]);
    }

    proptest! {
        #[test]
        fn quantiles_grow(rows in outcomes()) {
            if let Some(at) = Latency::of_decisions(&rows) {
                prop_assert!([at.p50_ms, at.p90_ms, at.p99_ms, at.max_ms].is_sorted());
            }
        }
    }
}
