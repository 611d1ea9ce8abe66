//! By how much forecasts are exceeded: a high quantile of the ratio of what a request took to what was foretold, which
//! is kept back when the next one is judged.
//!
//! Under overload the queue always stands where the next request is just refused, so that a forecast which is right on
//! average would let half of what is taken in come too late. Keeping more back costs nothing there: a shorter queue is
//! as busy as a long one.

use std::time::Duration;

/// The share of requests that should take no longer than is reckoned with. One that does is outweighed by 2,000 that do
/// not: after a moment in which the factor came to [`MOST`], 60,000 bring it back to [`START`]. With 0.998 the simulated
/// overloads have the same goodput, and in the worst of them three times as many come late.
const QUANTILE: f64 = 0.9995;

/// A step up, on each request that exceeds what is reckoned with; steps down are smaller as exceeding is to be rarer,
/// so that both balance at the quantile (stochastic approximation of a quantile, Robbins and Monro 1951).
const STEP: f64 = 0.05;

/// Nothing is so sure that no tenth is kept back; and a machine that stood still for seconds does not come so often
/// that more than this were worth it.
const LEAST: f64 = 1.1;
const MOST: f64 = 3.0;

/// What is foretold to take less is exceeded for reasons of its own (a thread that wakes late), and by far.
const TELLING: Duration = Duration::from_millis(20);

/// Before anything was seen: half as much again.
const START: f64 = 1.5;

#[derive(Debug, Clone, Copy)]
pub(super) struct Overrun(f64);

impl Overrun {
    pub(super) fn new() -> Self {
        Self(START)
    }

    /// What was foretold took so long, or will at least.
    ///
    /// Short forecasts cannot raise the factor, but bring a high one back to where it started: else a factor that
    /// admits nothing longer (3 with deadlines of 50 ms) would never hear that the machine's bad moment is over.
    pub(super) fn observe(&mut self, foretold: Duration, took: Duration) {
        let exceeded = took > foretold.mul_f64(self.0);
        let down = STEP * (1.0 - QUANTILE) / QUANTILE;
        if foretold >= TELLING {
            self.0 = (self.0 + if exceeded { STEP } else { -down }).clamp(LEAST, MOST);
        } else if !exceeded && self.0 > START {
            self.0 = (self.0 - down).max(START);
        }
    }

    /// By how much a forecast is to be multiplied.
    pub(super) fn factor(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const FORETOLD: Duration = Duration::from_millis(100);

    #[test]
    fn it_settles_where_one_in_two_thousand_takes_longer() {
        let mut random = StdRng::seed_from_u64(3);
        let mut overrun = Overrun::new();
        let (mut exceeded, mut seen) = (0, 0);
        for number in 0..2_000_000 {
            // Exponential with a mean of a quarter: 0.05 % are beyond 1.9.
            let took = FORETOLD.mul_f64(-0.25 * (1.0 - random.random::<f64>()).ln());
            if number > 100_000 {
                seen += 1;
                exceeded += u32::from(took > FORETOLD.mul_f64(overrun.factor()));
            }
            overrun.observe(FORETOLD, took);
        }
        let share = f64::from(exceeded) / f64::from(seen);
        assert!((0.0004..0.0006).contains(&share), "{share}");
    }

    #[test]
    fn it_is_bounded_and_what_is_short_raises_nothing() {
        let mut overrun = Overrun::new();
        (0..1_000).for_each(|_| overrun.observe(FORETOLD, Duration::from_secs(60)));
        assert_eq!(overrun.factor(), MOST);
        (0..200_000).for_each(|_| overrun.observe(FORETOLD, Duration::ZERO));
        assert_eq!(overrun.factor(), LEAST);
        (0..1_000).for_each(|_| overrun.observe(Duration::from_millis(1), Duration::from_secs(60)));
        assert_eq!(overrun.factor(), LEAST);
        (0..200_000).for_each(|_| overrun.observe(Duration::from_millis(1), Duration::ZERO));
        assert_eq!(overrun.factor(), LEAST);
    }

    #[test]
    fn what_is_short_ends_a_bad_moment() {
        let mut overrun = Overrun::new();
        (0..1_000).for_each(|_| overrun.observe(FORETOLD, Duration::from_secs(60)));
        (0..200_000).for_each(|_| overrun.observe(Duration::from_millis(10), Duration::from_millis(12)));
        assert_eq!(overrun.factor(), START);
    }
}
