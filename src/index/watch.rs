//! How far the building of an index is, for whoever waits for it, and a way to stop it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared between the thread that builds and whoever looks on.
#[derive(Debug, Default)]
pub struct BuildWatch {
    inserted: AtomicU64,
    stopped: AtomicBool,
}

/// The build was stopped before it had a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the building of the index was stopped")]
pub struct Stopped;

impl BuildWatch {
    /// Rows in the graph so far.
    pub fn rows(&self) -> u64 {
        self.inserted.load(Ordering::Relaxed)
    }

    /// Has the build end soon: within the time that some thousand rows take.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn inserted(&self, rows: usize) -> Result<(), Stopped> {
        self.inserted.fetch_add(rows as u64, Ordering::Relaxed);
        self.go_on()
    }

    pub(super) fn go_on(&self) -> Result<(), Stopped> {
        if self.is_stopped() { Err(Stopped) } else { Ok(()) }
    }
}
