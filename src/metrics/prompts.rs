//! What became of the prompts that were not decided, and which of those decided were not read whole.

use std::time::Instant;

use prometheus::{IntCounter, Result};

use super::Metrics;
use super::book::Book;
use crate::classify::Decision;
use crate::embed::EmbedError;

pub(super) struct Prompts {
    refused_queue_full: IntCounter,
    refused_deadline: IntCounter,
    refused_wait: IntCounter,
    refused_concurrency: IntCounter,
    expired: IntCounter,
    cancelled: IntCounter,
    failed: IntCounter,
    truncated: IntCounter,
    mended: IntCounter,
}

impl Prompts {
    pub(super) fn new(book: &Book) -> Result<Self> {
        let help = "Prompts refused at once. queue_full: the embedding queue was full; deadline: it could not have been \
                    embedded in time; wait: it would have waited for too long; concurrency: too many requests were \
                    under way (a batch counts once).";
        let refused = book.counters("semroute_prompts_refused_total", help, &["reason"])?;
        let refused = |reason: &str| refused.get_metric_with_label_values(&[reason]);
        let of = |name: &str, help: &str| book.counter(name, help);
        Ok(Self {
            refused_queue_full: refused("queue_full")?,
            refused_deadline: refused("deadline")?,
            refused_wait: refused("wait")?,
            refused_concurrency: refused("concurrency")?,
            expired: of("semroute_prompts_expired_total", "Prompts whose deadline passed before they were decided.")?,
            cancelled: of("semroute_prompts_cancelled_total", "Prompts whose caller left before they were decided.")?,
            failed: of("semroute_prompts_failed_total", "Prompts that could not be embedded for another reason.")?,
            truncated: of("semroute_prompts_truncated_total", "Prompts decided of which the model read a part only.")?,
            mended: of("semroute_prompts_mended_total", "Prompts decided in which typing errors were mended.")?,
        })
    }

    pub(super) fn refused_for_concurrency(&self) {
        self.refused_concurrency.inc();
    }

    fn not_decided(&self, error: &EmbedError) {
        match error {
            EmbedError::QueueFull { .. } => self.refused_queue_full.inc(),
            EmbedError::WouldExpire { .. } => self.refused_deadline.inc(),
            EmbedError::WaitTooLong { .. } => self.refused_wait.inc(),
            EmbedError::DeadlineExceeded => self.expired.inc(),
            _ => self.failed.inc(),
        }
    }

    fn abandoned(&self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) if deadline <= Instant::now() => self.expired.inc(),
            Some(_) | None => self.cancelled.inc(),
        }
    }
}

/// A prompt that is being decided. Dropped without an outcome, its caller has gone or its time is over.
pub struct Asked {
    metrics: Metrics,
    deadline: Option<Instant>,
    settled: bool,
}

impl Asked {
    pub(super) fn new(metrics: Metrics, deadline: Option<Instant>) -> Self {
        Self { metrics, deadline, settled: false }
    }

    /// Counts what came of it.
    pub fn settle<E: AsRef<EmbedError>>(mut self, outcome: &std::result::Result<Decision, E>) {
        self.settled = true;
        let metrics = &self.metrics.0;
        match outcome {
            Ok(decision) => {
                metrics.decisions.count(decision);
                if decision.evidence.input_seen < 1.0 {
                    metrics.prompts.truncated.inc();
                }
                if decision.evidence.mended_words > 0 {
                    metrics.prompts.mended.inc();
                }
            }
            Err(error) => metrics.prompts.not_decided(error.as_ref()),
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.settled {
            self.metrics.0.prompts.abandoned(self.deadline);
        }
    }
}
