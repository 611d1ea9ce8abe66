//! When requests are due: a Poisson process, the arrivals of many callers who know nothing of one another.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Endless times from the start of a run. They depend on the seed and the rate alone, never on an answer: a slow server
/// gets no pause.
#[derive(Debug, Clone)]
pub(super) struct Arrivals {
    rng: StdRng,
    per_second: f64,
    seconds: f64,
}

impl Arrivals {
    /// `per_second` is finite and above 0.
    pub(super) fn new(per_second: f64, seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), per_second, seconds: 0.0 }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // From [0, 1): the logarithm of what is left is finite. Inverse of the exponential distribution function.
        let uniform: f64 = self.rng.random();
        self.seconds += -(1.0 - uniform).ln() / self.per_second;
        Duration::try_from_secs_f64(self.seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Mean and variance of the intervals, in seconds.
    fn moments(per_second: f64, seed: u64, count: usize) -> (f64, f64) {
        let times: Vec<f64> = Arrivals::new(per_second, seed).take(count).map(|at| at.as_secs_f64()).collect();
        let intervals: Vec<f64> =
            std::iter::once(times[0]).chain(times.windows(2).map(|pair| pair[1] - pair[0])).collect();
        let mean = intervals.iter().sum::<f64>() / count as f64;
        let variance = intervals.iter().map(|interval| (interval - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
        (mean, variance)
    }

    #[test]
    fn intervals_are_exponential() {
        // The standard errors at 100,000 intervals are 0.3 % of the mean and 0.9 % of the variance.
        for (rate, seed) in [(0.5, 1), (60.0, 2), (15_000.0, 3)] {
            let (mean, variance) = moments(rate, seed, 100_000);
            assert!((mean * rate - 1.0).abs() < 0.015, "mean {mean} at {rate}");
            assert!((variance * rate * rate - 1.0).abs() < 0.045, "variance {variance} at {rate}");
        }
    }

    #[test]
    fn counts_vary_as_much_as_they_are_many() {
        // Of a Poisson process the variance of the counts is their mean; of evenly spaced arrivals it would be 0.
        let mut counts = vec![0u32; 2_000];
        for at in Arrivals::new(50.0, 7).take_while(|at| at.as_secs() < 2_000) {
            counts[at.as_secs() as usize] += 1;
        }
        let mean = f64::from(counts.iter().sum::<u32>()) / 2_000.0;
        let variance = counts.iter().map(|count| (f64::from(*count) - mean).powi(2)).sum::<f64>() / 1_999.0;
        assert!((mean - 50.0).abs() < 1.0 && (variance / mean - 1.0).abs() < 0.15, "mean {mean}, variance {variance}");
    }

    proptest! {
        #[test]
        fn a_schedule_is_fixed_by_its_seed(seed: u64, rate in 0.01f64..1e6) {
            let times: Vec<_> = Arrivals::new(rate, seed).take(100).collect();
            prop_assert!(times.is_sorted());
            prop_assert_eq!(&times, &Arrivals::new(rate, seed).take(100).collect::<Vec<_>>());
            prop_assert_ne!(&times, &Arrivals::new(rate, seed.wrapping_add(1)).take(100).collect::<Vec<_>>());
        }
    }
}
