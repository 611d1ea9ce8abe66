//! The newest results of a target: at most so many, and none older than a time.

use std::collections::VecDeque;
use std::time::Instant;

use super::config::BreakerConfig;

/// What a call says of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) enum Verdict {
    Good,
    /// An answer, but late.
    Slow,
    Bad,
    /// Nothing: it was cancelled, or the request was at fault.
    Void,
}

#[derive(Debug, Default)]
pub(super) struct Window {
    verdicts: VecDeque<(Instant, Verdict)>,
    bad: usize,
    slow: usize,
}

impl Window {
    pub(super) fn push(&mut self, now: Instant, verdict: Verdict, config: &BreakerConfig) {
        self.expire(now, config);
        while self.verdicts.len() >= config.window_calls.max(1) {
            self.drop_oldest();
        }
        match verdict {
            Verdict::Void => return,
            Verdict::Good => {}
            Verdict::Slow => self.slow += 1,
            Verdict::Bad => self.bad += 1,
        }
        self.verdicts.push_back((now, verdict));
    }

    pub(super) fn expire(&mut self, now: Instant, config: &BreakerConfig) {
        while self.verdicts.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > config.window) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        match self.verdicts.pop_front() {
            Some((_, Verdict::Bad)) => self.bad -= 1,
            Some((_, Verdict::Slow)) => self.slow -= 1,
            _ => {}
        }
    }

    pub(super) fn calls(&self) -> usize {
        self.verdicts.len()
    }

    /// Share of failed calls, in [0, 1]; 0 without any call.
    pub(super) fn error_ratio(&self) -> f64 {
        self.bad as f64 / self.calls().max(1) as f64
    }

    /// Share of slow calls, in [0, 1]; 0 without any call.
    pub(super) fn slow_ratio(&self) -> f64 {
        self.slow as f64 / self.calls().max(1) as f64
    }
}
