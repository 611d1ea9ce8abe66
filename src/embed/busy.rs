//! How much of their time the workers spend at work: a sum since the start, and the share of the last seconds.

use std::time::{Duration, Instant};

/// After so long the share has forgotten two thirds of what was.
const MEMORY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Busy {
    workers: f64,
    seconds: f64,
    share: f64,
    at: Instant,
}

impl Busy {
    pub(super) fn new(workers: usize, now: Instant) -> Self {
        Self { workers: workers.max(1) as f64, seconds: 0.0, share: 0.0, at: now }
    }

    /// Until `now`, `active` workers were at work since it was last said.
    pub(super) fn advance(&mut self, active: usize, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let active = active as f64;
        self.seconds += passed * active;
        let kept = (-passed / MEMORY.as_secs_f64()).exp();
        self.share = self.share * kept + active / self.workers * (1.0 - kept);
        self.at = self.at.max(now);
    }

    /// One worker was at work for so long, just now, without having been counted as active.
    pub(super) fn add(&mut self, time: Duration) {
        self.seconds += time.as_secs_f64();
        let share = time.as_secs_f64() / (self.workers * MEMORY.as_secs_f64());
        self.share = (self.share + share).min(1.0);
    }

    /// Worker-seconds since the start.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Share of the workers' time, in [0, 1], over the last seconds.
    pub(super) fn share(&self) -> f64 {
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_follows_the_work() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let mut busy = Busy::new(2, start);
        busy.advance(2, after(60));
        assert!((busy.share() - 1.0).abs() < 1e-4 && (busy.seconds() - 120.0).abs() < 1e-9);
        busy.advance(1, after(120));
        assert!((busy.share() - 0.5).abs() < 1e-4 && (busy.seconds() - 180.0).abs() < 1e-9);
        busy.advance(0, after(180));
        assert!(busy.share() < 1e-4);
        // A clock that seems to go back changes nothing.
        busy.advance(2, after(100));
        assert!(busy.share() < 1e-4 && (busy.seconds() - 180.0).abs() < 1e-9);
    }
}
