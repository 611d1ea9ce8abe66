//! How long work tells how far it is. The work knows nothing of terminals; `cli` draws what is reported here.

use std::sync::Arc;

/// Something that long work reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report<'a> {
    /// A piece of work begins; `total_bytes` is `None` where nobody can know.
    Begun { label: &'a str, total_bytes: Option<u64> },
    /// Bytes of the present piece of work that are done, from its beginning.
    Done { bytes: u64 },
    /// The present piece of work has ended, well or badly.
    Ended,
    /// One line that a person should see.
    Note(&'a str),
}

/// Hears reports; is called from several threads, one piece of work after the other.
pub trait Progress: Send + Sync {
    fn report(&self, report: Report<'_>);
}

/// Shared, since the work moves between threads.
pub type SharedProgress = Arc<dyn Progress>;

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Silent {
    pub fn shared() -> SharedProgress {
        Arc::new(Self)
    }
}

impl Progress for Silent {
    fn report(&self, _report: Report<'_>) {}
}

/// One piece of work; dropping it reports its end.
pub(super) struct Work {
    progress: SharedProgress,
    done: u64,
}

impl Work {
    pub(super) fn begin(progress: &SharedProgress, label: &str, total_bytes: Option<u64>) -> Self {
        progress.report(Report::Begun { label, total_bytes });
        Self { progress: Arc::clone(progress), done: 0 }
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.set(self.done + bytes);
    }

    pub(super) fn set(&mut self, bytes: u64) {
        self.done = bytes;
        self.progress.report(Report::Done { bytes });
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.progress.report(Report::Ended);
    }
}
