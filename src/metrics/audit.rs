//! The audit log, as it counts itself.

use prometheus::{IntCounter, IntGauge, Result};

use super::book::Book;
use super::readings::catch_up;
use crate::govern::audit::AuditStats;

/// All zero where nothing is recorded.
pub(super) struct Log {
    written: IntCounter,
    lost: IntCounter,
    waiting: IntGauge,
    failing: IntGauge,
}

impl Log {
    pub(super) fn new(book: &Book) -> Result<Self> {
        let lost = "Entries that were not written to the audit log: no room in the queue, or the log failed.";
        let failing = "1 if the audit log cannot be written to at present.";
        Ok(Self {
            written: book.counter("semroute_audit_written_total", "Entries written to the audit log.")?,
            lost: book.counter("semroute_audit_lost_total", lost)?,
            waiting: book.gauge("semroute_audit_waiting", "Entries that wait to be written to the audit log.")?,
            failing: book.gauge("semroute_audit_failing", failing)?,
        })
    }

    pub(super) fn read(&self, stats: AuditStats) {
        catch_up(&self.written, stats.written);
        catch_up(&self.lost, stats.lost);
        self.waiting.set(i64::try_from(stats.waiting).unwrap_or(i64::MAX));
        self.failing.set(i64::from(stats.is_failing));
    }
}
