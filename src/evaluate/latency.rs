//! Quantiles of the time that decisions took.

use std::time::Duration;

use serde::Serialize;

use super::outcome::Outcome;

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
    /// `None` if there are no outcomes.
    pub(super) fn of(outcomes: &[Outcome]) -> Option<Self> {
        let mut times: Vec<_> = outcomes.iter().map(|outcome| outcome.latency).collect();
        times.sort_unstable();
        let quantile = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100);
            times.get(rank.saturating_sub(1)).copied().map(milliseconds)
        };
        Some(Self { p50_ms: quantile(50)?, p90_ms: quantile(90)?, p99_ms: quantile(99)?, max_ms: quantile(100)? })
    }
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
        let found = Latency::of(&micros.map(row).collect::<Vec<_>>());
        assert_eq!(found.map(|at| [at.p50_ms, at.p90_ms, at.p99_ms, at.max_ms]), expected);
    }

    #[test]
    fn quantiles_are_rows() {
        check(std::iter::empty(), None);
        check([1500].into_iter(), Some([1.5; 4]));
        check((1..=1000).rev(), Some([0.5, 0.9, 0.99, 1.0]));
        check([1000, 2000].into_iter(), Some([1.0, 2.0, 2.0, 2.0]));
    }

    proptest! {
        #[test]
        fn quantiles_grow(rows in outcomes()) {
            if let Some(at) = Latency::of(&rows) {
                prop_assert!([at.p50_ms, at.p90_ms, at.p99_ms, at.max_ms].is_sorted());
            }
        }
    }
}
