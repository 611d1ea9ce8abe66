//! A limit on any 60 seconds in a row. Exact where a bucket that refills would let through almost twice as much: what
//! is taken is remembered by the second for as long as it may count.

use std::collections::VecDeque;
use std::time::Duration;

/// Something taken at the end of second 0 counts until the end of second 60.
const SPAN: u64 = 61;

/// Time is counted from any moment that does not change; it may be told a little out of order.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Second and amount, oldest first: at most [`SPAN`] of them.
    taken: VecDeque<(u64, u64)>,
    sum: u64,
}

impl Window {
    /// Takes `amount`, or says how long to wait until it could be taken if nobody else takes anything.
    pub(super) fn take(&mut self, amount: u64, limit: u64, now: Duration) -> Result<(), Duration> {
        let second = self.forget(now);
        let missing = self.sum.saturating_add(amount).saturating_sub(limit);
        if missing == 0 {
            self.put(amount, second);
            return Ok(());
        }
        let mut freed = 0u64;
        let enough = self.taken.iter().find(|(_, amount)| {
            freed = freed.saturating_add(*amount);
            freed >= missing
        });
        // More than the limit itself: when nothing is left, which is as good as it gets.
        let last = enough.or(self.taken.back()).map_or(second, |(second, _)| *second);
        Err(Duration::from_secs(last + SPAN).saturating_sub(now))
    }

    pub(super) fn left(&mut self, limit: u64, now: Duration) -> u64 {
        self.forget(now);
        limit.saturating_sub(self.sum)
    }

    /// Corrects what was taken at `at`: what it turned out to be counts then, as far as that is remembered.
    pub(super) fn correct(&mut self, at: Duration, taken: u64, real: u64) {
        let Some((_, amount)) = self.taken.iter_mut().find(|(second, _)| *second == at.as_secs()) else { return };
        let before = *amount;
        *amount = before.saturating_sub(taken).saturating_add(real);
        self.sum = self.sum.saturating_sub(before).saturating_add(*amount);
    }

    /// Returns the second that `now` is in, or the newest that is known.
    fn forget(&mut self, now: Duration) -> u64 {
        let second = self.taken.back().map_or(0, |(second, _)| *second).max(now.as_secs());
        while let Some((oldest, amount)) = self.taken.front().copied()
            && oldest + SPAN <= second
        {
            self.sum = self.sum.saturating_sub(amount);
            self.taken.pop_front();
        }
        second
    }

    fn put(&mut self, amount: u64, second: u64) {
        match self.taken.back_mut() {
            Some((newest, taken)) if *newest == second => *taken = taken.saturating_add(amount),
            _ => self.taken.push_back((second, amount)),
        }
        self.sum = self.sum.saturating_add(amount);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_wait_is_true() {
        let mut window = Window::default();
        assert_eq!(window.take(3, 5, millis(500)), Ok(()));
        assert_eq!(window.take(2, 5, millis(10_900)), Ok(()));
        assert_eq!(window.take(1, 5, millis(20_000)), Err(millis(41_000)));
        assert_eq!(window.take(4, 5, millis(20_000)), Err(millis(51_000)));
        // More than there ever is: after all of it.
        assert_eq!(window.take(9, 5, millis(20_000)), Err(millis(51_000)));
        assert_eq!(window.take(1, 5, millis(60_999)), Err(millis(1)));
        assert_eq!(window.take(3, 5, millis(61_000)), Ok(()));
        assert_eq!(window.left(5, millis(61_000)), 0);
        assert_eq!(window.left(5, millis(71_000)), 2);
    }

    #[test]
    fn what_is_taken_can_turn_out_to_be_more_or_less() {
        let mut window = Window::default();
        window.take(4, 10, millis(1_000)).unwrap();
        window.take(4, 10, millis(1_500)).unwrap();
        window.correct(millis(1_000), 4, 1);
        assert_eq!(window.left(10, millis(2_000)), 5);
        window.correct(millis(1_500), 4, 40);
        assert_eq!(window.left(10, millis(2_000)), 0);
        assert_eq!(window.left(10, millis(62_000)), 10);
        window.correct(millis(1_500), 40, 0);
        assert_eq!(window.left(10, millis(62_000)), 10);
    }

    proptest! {
        #[test]
        fn no_60_seconds_hold_more_than_the_limit(
            limit in 1u64..20,
            steps in prop::collection::vec((0u64..9_000, 1u64..6), 1..200),
        ) {
            let mut window = Window::default();
            let (mut now, mut taken) = (0, Vec::new());
            for (step, amount) in steps {
                now += step;
                match window.take(amount, limit, millis(now)) {
                    Ok(()) => taken.push((now, amount)),
                    Err(wait) if amount <= limit => {
                        prop_assert!(!wait.is_zero() && wait <= Duration::from_secs(SPAN));
                        now += wait.as_millis() as u64;
                        prop_assert_eq!(window.take(amount, limit, millis(now)), Ok(()), "as it was told");
                        taken.push((now, amount));
                    }
                    Err(_) => {}
                }
                prop_assert!(window.taken.len() as u64 <= SPAN);
            }
            for (from, _) in &taken {
                let within = taken.iter().filter(|(at, _)| (*from..from + 60_000).contains(at));
                prop_assert!(within.map(|(_, amount)| amount).sum::<u64>() <= limit);
            }
        }
    }
}
