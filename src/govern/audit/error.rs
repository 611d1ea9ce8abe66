//! Why the log could not be opened, written to or waited for.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A step that the file system refused, or a log that cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot {step} {}", path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("another process writes to the audit log in {}", .0.display())]
    Locked(PathBuf),
    #[error("{} does not hold a key of 64 hex digits: move it away, and a new one is made", .0.display())]
    PromptKey(PathBuf),
    #[error("the thread that writes the audit log cannot be started")]
    Thread(#[source] io::Error),
    #[error("a line cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("audit.mac_key_env names {variable}, which is not set or has fewer than {least} bytes")]
    MacKey { variable: String, least: usize },
}

impl LogError {
    pub(super) fn io(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { step, path, source }
    }
}

/// Why an entry is not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The log is known to fail at present.
    #[error("the audit log cannot be written to: {cause}")]
    Failing { cause: String },
    #[error("the audit log did not take the entry within {} ms", after.as_millis())]
    TooSlow { after: Duration },
    /// The process is about to end.
    #[error("the audit log is closed")]
    Closed,
}
