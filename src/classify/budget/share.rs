//! The cap on the share of decisions: of any so many decisions in a row, at most so many calls. Counted in decisions and
//! not in time, so that it is exact, knows no clock, and means the same on a busy day and on a quiet one.

use std::collections::VecDeque;

/// A call belongs to the newest decision at the time that it was admitted.
#[derive(Debug)]
pub(super) struct Share {
    /// Decisions looked at, and most calls among them; `None`: no cap.
    cap: Option<(usize, u64)>,
    /// Calls of each of the last decisions, newest last.
    calls: VecDeque<u32>,
    sum: u64,
}

impl Share {
    /// `most`: calls among any `window` decisions in a row.
    pub(super) fn new(cap: Option<(usize, u64)>) -> Self {
        Self { cap, calls: VecDeque::new(), sum: 0 }
    }

    pub(super) fn decided(&mut self) {
        let Some((window, _)) = self.cap else { return };
        self.calls.push_back(0);
        while self.calls.len() > window {
            self.sum -= u64::from(self.calls.pop_front().unwrap_or_default());
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.cap.is_none_or(|(_, most)| self.sum < most)
    }

    pub(super) fn take(&mut self) {
        if self.cap.is_none() {
            return;
        }
        match self.calls.back_mut() {
            Some(newest) => *newest += 1,
            None => self.calls.push_back(1),
        }
        self.sum += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_share_comes_back_as_decisions_go_by() {
        let mut share = Share::new(Some((10, 2)));
        let mut asked = Vec::new();
        for at in 0..25 {
            share.decided();
            if share.has_room() {
                share.take();
                asked.push(at);
            }
        }
        assert_eq!(asked, [0, 1, 10, 11, 20, 21]);
    }

    proptest! {
        #[test]
        fn no_window_holds_more_calls_than_are_allowed(
            window in 1usize..20,
            most in 0u64..10,
            wanted in prop::collection::vec(0u8..4, 0..300),
        ) {
            let mut share = Share::new(Some((window, most)));
            let mut calls = Vec::new();
            for wanted in wanted {
                share.decided();
                let mut admitted = 0u64;
                for _ in 0..wanted {
                    if share.has_room() {
                        share.take();
                        admitted += 1;
                    }
                }
                calls.push(admitted);
            }
            for window in calls.windows(window) {
                prop_assert!(window.iter().sum::<u64>() <= most);
            }
        }
    }
}
