//! What did not reach the collector, and when it is time to say so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Spans that were lost since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Losses {
    /// The queue was full.
    pub(super) overflowed: u64,
    /// The collector was away, too slow, or answered with an error.
    pub(super) undelivered: u64,
    /// The collector took the batch, and said that it did not take these.
    pub(super) rejected: u64,
}

impl Losses {
    fn total(&self) -> u64 {
        self.overflowed.saturating_add(self.undelivered).saturating_add(self.rejected)
    }
}

/// Counts of [`Losses`] that many threads add to.
#[derive(Debug, Default)]
pub(super) struct LossCounts {
    overflowed: AtomicU64,
    undelivered: AtomicU64,
    rejected: AtomicU64,
}

impl LossCounts {
    pub(super) fn overflow(&self) {
        self.overflowed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn undelivered(&self, spans: usize) {
        self.undelivered.fetch_add(spans as u64, Ordering::Relaxed);
    }

    pub(super) fn rejected(&self, spans: u64) {
        self.rejected.fetch_add(spans, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Losses {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (overflowed, undelivered, rejected) =
            (read(&self.overflowed), read(&self.undelivered), read(&self.rejected));
        Losses { overflowed, undelivered, rejected }
    }
}

/// Losses are told at most so often.
pub(super) const PAUSE: Duration = Duration::from_secs(60);

/// What was told last, and when.
#[derive(Debug, Default)]
pub(super) struct Teller {
    told: u64,
    at: Option<Instant>,
}

impl Teller {
    /// Whether there is something new, and the last telling long enough ago or `last_words` are due. Counts as told.
    pub(super) fn is_due(&mut self, losses: &Losses, now: Instant, last_words: bool) -> bool {
        let rested = self.at.is_none_or(|at| now.saturating_duration_since(at) >= PAUSE);
        let due = losses.total() > self.told && (rested || last_words);
        if due {
            *self = Self { told: losses.total(), at: Some(now) };
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_at_once_and_then_once_a_minute() {
        let begin = Instant::now();
        let mut teller = Teller::default();
        let mut check = |second: u64, lost: u64, last_words: bool, expected: bool| {
            let losses = Losses { undelivered: lost, ..Losses::default() };
            let now = begin + Duration::from_secs(second);
            assert_eq!(teller.is_due(&losses, now, last_words), expected, "{lost} lost after {second} s");
        };
        check(0, 0, false, false);
        check(1, 5, false, true);
        check(2, 6, false, false);
        check(60, 7, false, false);
        check(61, 7, false, true);
        check(200, 7, false, false);
        check(200, 7, true, false);
        check(201, 8, false, true);
        check(202, 9, true, true);
    }

    #[test]
    fn every_kind_of_loss_is_counted() {
        let counts = LossCounts::default();
        counts.overflow();
        counts.undelivered(20);
        counts.rejected(300);
        let losses = counts.read();
        assert_eq!(losses, Losses { overflowed: 1, undelivered: 20, rejected: 300 });
        assert_eq!(losses.total(), 321);
    }
}
