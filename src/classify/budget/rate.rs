//! The cap on calls a second: a bucket of tokens that fills at the rate and holds as many as may be taken at once.
//! In any time t at most `burst + t * rate` calls are admitted.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Rate {
    /// Calls a second; `None`: no cap.
    cap: Option<f64>,
    burst: f64,
    tokens: f64,
    filled_at: Instant,
}

impl Rate {
    pub(super) fn new(cap: Option<f64>, burst: f64, now: Instant) -> Self {
        Self { cap, burst, tokens: burst, filled_at: now }
    }

    /// Whether a call may be made at `now`. Callers may come out of order: time never goes back here.
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        let Some(rate) = self.cap else { return true };
        let passed = now.saturating_duration_since(self.filled_at);
        self.tokens = (self.tokens + Duration::as_secs_f64(&passed) * rate).min(self.burst);
        self.filled_at = self.filled_at.max(now);
        self.tokens >= 1.0
    }

    /// After [`Rate::has_room`].
    pub(super) fn take(&mut self) {
        if self.cap.is_some() {
            self.tokens -= 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_stretch_of_time_holds_more_calls_than_are_allowed(
            rate in 0.5f64..50.0,
            burst in 1u32..10,
            steps in prop::collection::vec((0u64..300, prop::bool::ANY), 1..200),
        ) {
            let start = Instant::now();
            let mut bucket = Rate::new(Some(rate), f64::from(burst), start);
            let (mut millis, mut admitted) = (0, Vec::new());
            for (step, backwards) in steps {
                millis += step;
                // A caller that looked at the clock a little earlier than the one before.
                let seen = if backwards { millis.saturating_sub(50) } else { millis };
                if bucket.has_room(start + Duration::from_millis(seen)) {
                    bucket.take();
                    admitted.push(millis);
                }
            }
            for (first, from) in admitted.iter().enumerate() {
                for (last, to) in admitted.iter().enumerate().skip(first) {
                    // A caller may have been taken for one of 50 ms later.
                    let most = f64::from(burst) + (to - from + 50) as f64 / 1e3 * rate + 1e-6;
                    prop_assert!((last - first + 1) as f64 <= most, "{admitted:?}");
                }
            }
        }
    }

    #[test]
    fn a_pause_fills_it_up_to_the_burst_only() {
        let start = Instant::now();
        let mut bucket = Rate::new(Some(2.0), 3.0, start);
        let mut taken = |at: u64| {
            let now = start + Duration::from_secs(at);
            let mut count = 0;
            while bucket.has_room(now) {
                bucket.take();
                count += 1;
            }
            count
        };
        assert_eq!([taken(0), taken(0), taken(1), taken(1_000_000)], [3, 0, 2, 3]);
    }
}
