//! How long a target usually takes: exact quantiles of its newest answers. Pure.
//!
//! Ours instead of a histogram or a sketch: 128 numbers take half a kilobyte, forget by themselves, and are sorted in a
//! few microseconds for the few that ask.

use std::time::Duration;

/// So many answers are remembered.
const MOST: usize = 128;

/// Of fewer answers nothing is concluded.
const LEAST: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Latencies {
    /// In microseconds, an hour at most.
    newest: Vec<u32>,
    next: usize,
}

impl Latencies {
    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        match self.newest.get_mut(self.next) {
            Some(oldest) => *oldest = micros,
            None => self.newest.push(micros),
        }
        self.next = (self.next + 1) % MOST;
    }

    /// The time within which this share of the answers came (nearest rank); `None` if too few are known.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        if self.newest.len() < LEAST {
            return None;
        }
        let mut sorted = self.newest.clone();
        let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize - 1;
        let rank = rank.min(sorted.len() - 1);
        let (_, micros, _) = sorted.select_nth_unstable(rank);
        Some(Duration::from_micros(u64::from(*micros)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_newest_answers() {
        let mut latencies = Latencies::default();
        let ms = |ms: u64| Some(Duration::from_millis(ms));
        (1..20).for_each(|at| latencies.record(Duration::from_millis(at)));
        assert_eq!(latencies.quantile(0.5), None, "too few");
        (20..=100).for_each(|at| latencies.record(Duration::from_millis(at)));
        assert_eq!((latencies.quantile(0.5), latencies.quantile(0.95)), (ms(50), ms(95)));
        assert_eq!((latencies.quantile(0.0), latencies.quantile(1.0)), (ms(1), ms(100)));
        (0..MOST).for_each(|_| latencies.record(Duration::from_millis(7)));
        assert_eq!((latencies.quantile(0.01), latencies.quantile(1.0)), (ms(7), ms(7)));
    }
}
