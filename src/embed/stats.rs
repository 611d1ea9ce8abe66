//! What the queue counts, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

/// One moment of the queue and its workers, see [`super::EmbedQueue::stats`]. Counts are since the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueStats {
    /// Requests refused because the queue was full.
    pub refused_full: u64,
    /// Requests refused because they would have missed their deadline.
    pub refused_deadline: u64,
    /// Requests refused because they would have waited for longer than any may.
    pub refused_wait: u64,
    /// Requests whose deadline passed before a pass began: they cost no pass.
    pub expired: u64,
    /// Requests whose caller left before a pass began: they cost no pass.
    pub cancelled: u64,
    /// Texts that were embedded in vain: nobody waited any longer.
    pub late: u64,
    /// Texts embedded, patient ones and late ones included.
    pub embedded: u64,
    /// Of those, texts that were not read whole.
    pub truncated: u64,
    /// Texts that could not be embedded.
    pub failed: u64,
    /// Panics in the tokeniser or the model.
    pub panics: u64,
    /// Forward passes.
    pub batches: u64,
    /// Tokens embedded.
    pub tokens: u64,
    /// Worker-seconds spent at work.
    pub busy_seconds: f64,
    /// Share of the workers' time spent at work over the last seconds, in [0, 1].
    pub saturation: f64,
    pub workers: usize,
    /// Requests waiting for a worker; patient ones are not counted.
    pub waiting: usize,
    /// Their tokens, as estimated.
    pub waiting_tokens: usize,
    /// Tokens of the passes under way.
    pub under_way_tokens: usize,
    /// Most requests that may wait.
    pub capacity: usize,
    /// Tokens a second that all workers together do at present; `None` before the first pass.
    pub tokens_per_second: Option<f64>,
}

/// The counts of [`QueueStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub refused_full: Counter,
    pub refused_deadline: Counter,
    pub refused_wait: Counter,
    pub expired: Counter,
    pub cancelled: Counter,
    pub late: Counter,
    pub embedded: Counter,
    pub truncated: Counter,
    pub failed: Counter,
    pub panics: Counter,
    pub batches: Counter,
    pub tokens: Counter,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
