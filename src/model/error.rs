//! What can go wrong with a model's files. Each variant is a fact with the path, what was expected and what was found.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// A field of a manifest that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub field: String,
    /// The rule, so worded that "must be {limit}" reads well.
    pub limit: String,
    /// What the manifest says.
    pub value: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}, found {}", self.field, self.limit, self.value)
    }
}

/// A file that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFault {
    pub path: PathBuf,
    pub expected: String,
    pub found: String,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.path.display(), self.expected, self.found)
    }
}

/// A source that was tried and did not deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub source: String,
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.reason)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("there is no model {name:?} in {}; {}", dir.display(), known_models(known))]
    Unknown { name: String, dir: PathBuf, known: Vec<String> },
    #[error("{} is no model: it has no model.toml, and without one it lacks {}", dir.display(), missing.join(", "))]
    NotAModel { dir: PathBuf, missing: Vec<String> },
    #[error("{} line {line}: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error("{} is not valid: {}", path.display(), joined(faults))]
    Invalid { path: PathBuf, faults: Vec<Fault> },
    #[error("model {name} lacks {} in {}; `semroute model pull {name}` fetches it", files.join(", "), dir.display())]
    Missing { name: String, dir: PathBuf, files: Vec<String> },
    #[error("model {name} is damaged: {}", joined(faults))]
    Damaged { name: String, faults: Vec<FileFault> },
    #[error("model {name}: no source delivered {}; {}", files.join(", "), tried(attempts))]
    NotFetched { name: String, files: Vec<String>, attempts: Vec<Attempt> },
    #[error("too little space in {}: {needed_bytes} bytes are needed, {available_bytes} are free", dir.display())]
    TooLittleSpace { dir: PathBuf, needed_bytes: u64, available_bytes: u64 },
    #[error("the disk is full: cannot {doing} {}", path.display())]
    DiskFull {
        path: PathBuf,
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("no permission to {doing} {}", path.display())]
    Denied {
        path: PathBuf,
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("cannot {doing} {}", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        #[source]
        source: io::Error,
    },
}

impl ModelError {
    /// Turns an IO error into the variant that names it; for `map_err`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied { path, doing, source },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path, doing, source },
            _ => Self::Io { path, doing, source },
        }
    }
}

/// Why a source did not deliver: through its own fault (try the next one), or because of this machine (give up).
#[derive(Debug)]
pub(super) enum FetchError {
    Source(String),
    Local(ModelError),
}

impl From<ModelError> for FetchError {
    fn from(error: ModelError) -> Self {
        Self::Local(error)
    }
}

/// An error with its causes on one line, without what a cause repeats.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn joined<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join("; ")
}

fn known_models(known: &[String]) -> String {
    match known {
        [] => "there is none at all".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    }
}

fn tried(attempts: &[Attempt]) -> String {
    match attempts {
        [] => "its manifest names no source (`semroute model pull --source DIR` takes it from a folder)".to_owned(),
        attempts => format!("tried {}", joined(attempts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_permission_and_a_full_disk_are_named() {
        for (kind, expected) in [
            (io::ErrorKind::PermissionDenied, "no permission to write models/x"),
            (io::ErrorKind::ReadOnlyFilesystem, "no permission to write models/x"),
            (io::ErrorKind::StorageFull, "the disk is full: cannot write models/x"),
            (io::ErrorKind::TimedOut, "cannot write models/x"),
        ] {
            assert_eq!(ModelError::io("write", Path::new("models/x"))(kind.into()).to_string(), expected);
        }
    }
}
