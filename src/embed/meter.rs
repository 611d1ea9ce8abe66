//! What the queue's handles and its workers share: the load, and what is counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::load::Load;
use super::stats::{Counters, QueueStats};

/// The lock is held for less than a microsecond at a time, never across an await or a pass.
#[derive(Debug)]
pub(super) struct Meter {
    load: Mutex<Load>,
    pub counters: Counters,
}

impl Meter {
    pub(super) fn new(load: Load) -> Self {
        Self { load: Mutex::new(load), counters: Counters::default() }
    }

    /// A panic cannot leave it half changed in a way that matters: its numbers are estimates.
    pub(super) fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self, workers: usize, capacity: usize) -> QueueStats {
        let mut load = self.load();
        let busy = load.busy(Instant::now());
        let (busy_seconds, saturation) = (busy.seconds(), busy.share());
        let counters = &self.counters;
        QueueStats {
            refused_full: counters.refused_full.get(),
            refused_deadline: counters.refused_deadline.get(),
            refused_wait: counters.refused_wait.get(),
            expired: counters.expired.get(),
            cancelled: counters.cancelled.get(),
            late: counters.late.get(),
            embedded: counters.embedded.get(),
            truncated: counters.truncated.get(),
            failed: counters.failed.get(),
            panics: counters.panics.get(),
            batches: counters.batches.get(),
            tokens: counters.tokens.get(),
            busy_seconds,
            saturation,
            workers,
            waiting: load.waiting().prompts,
            waiting_tokens: load.waiting().tokens,
            under_way_tokens: load.under_way_tokens(),
            capacity,
            tokens_per_second: load.rate(),
        }
    }
}

/// A request's weight in the queue, from when it joined until its pass begins or its caller leaves, whichever is first.
#[derive(Debug)]
pub(super) struct Charge {
    meter: Arc<Meter>,
    tokens: usize,
    joined_at: Instant,
    /// How long it should take from then on.
    foretold: Option<Duration>,
    lifted: AtomicBool,
}

impl Charge {
    /// `load` is that of `meter`, locked: between the forecast and the joining nobody else may come.
    pub(super) fn join(
        meter: &Arc<Meter>,
        load: &mut Load,
        tokens: usize,
        foretold: Option<Duration>,
        now: Instant,
    ) -> Self {
        load.join(tokens);
        let (meter, lifted) = (Arc::clone(meter), AtomicBool::new(false));
        Self { meter, tokens, joined_at: now, foretold, lifted }
    }

    pub(super) fn lift(&self) {
        if self.lifted.load(Ordering::Relaxed) {
            return;
        }
        self.lift_from(&mut self.meter.load());
    }

    /// `load` is that of its meter, locked.
    pub(super) fn lift_from(&self, load: &mut Load) {
        if !self.lifted.swap(true, Ordering::Relaxed) {
            load.leave(self.tokens);
        }
    }

    /// The request is embedded at `finished`, or would be: forecasts learn from it. `load` is that of its meter,
    /// locked.
    pub(super) fn finish(&self, load: &mut Load, finished: Instant) {
        if let Some(foretold) = self.foretold {
            load.took(foretold, finished.saturating_duration_since(self.joined_at));
        }
    }

    /// As estimated.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.lift();
    }
}

/// Held by whoever waits for the answer: when he leaves, the request's weight goes with him.
pub(super) struct Caller(pub Arc<Charge>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.lift();
    }
}
