//! What became of verdicts and corrections.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::reference::{Recorded, Result};

/// What was done, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LearningStats {
    /// By source (verdicts, corrections), what became of them.
    pub verdicts: Outcomes,
    pub corrections: Outcomes,
    /// Verdicts waiting to be recorded.
    pub waiting: u64,
    pub accepted: u64,
    pub accepted_by_rule: u64,
    pub rejected: u64,
    /// Decisions that are remembered, and the memory that they take.
    pub remembered: u64,
    pub remembered_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    pub recorded: u64,
    /// A reference prompt says the same already.
    pub known: u64,
    /// Too many proposals are open, or too many verdicts wait.
    pub lost: u64,
    /// The store could not be written to.
    pub failed: u64,
}

#[derive(Default)]
pub(super) struct Counts {
    recorded: AtomicU64,
    known: AtomicU64,
    pub(super) lost: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    pub(super) fn count(&self, recorded: &Result<Recorded>) {
        let counter = match recorded {
            Ok(Recorded::Proposal(_)) => &self.recorded,
            Ok(Recorded::Known(_)) => &self.known,
            Ok(Recorded::Full) => &self.lost,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn outcomes(&self) -> Outcomes {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Outcomes {
            recorded: read(&self.recorded),
            known: read(&self.known),
            lost: read(&self.lost),
            failed: read(&self.failed),
        }
    }
}
