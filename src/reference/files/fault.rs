//! What can be wrong with files of a reference set, and where. No message repeats a prompt's text: faults end up in logs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lines::MAX_LINE_BYTES;
use crate::reference::name::{NameError, ReferenceId, RouteName};
use crate::reference::types::MAX_TEXT_BYTES;

/// So many faults are kept with their details; those beyond are counted.
const MAX_SHOWN: usize = 50;

/// A file, or a line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<Path>,
    /// From 1. `None`: the file as a whole.
    pub line: Option<u64>,
}

impl Place {
    pub(super) fn file(path: &Path) -> Self {
        Self { file: path.into(), line: None }
    }

    pub(super) fn at(&self, line: u64) -> Self {
        Self { file: Arc::clone(&self.file), line: Some(line) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file.display()),
            None => write!(f, "{}", self.file.display()),
        }
    }
}

/// What is wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("the file's name is not valid UTF-8")]
    FileName,
    #[error("the line is longer than {MAX_LINE_BYTES} bytes")]
    LineTooLong,
    #[error("not valid UTF-8 from byte {byte}")]
    NotUtf8 {
        /// From 1, within the line (within the file for `set.toml`).
        byte: usize,
    },
    #[error("not valid JSON at column {column}: {reason}")]
    NotJson { column: usize, reason: String },
    #[error("not a JSON object")]
    NotAnObject,
    #[error("{key} is missing")]
    Missing { key: &'static str },
    #[error("{key} is not a string")]
    NotAString { key: &'static str },
    #[error("purpose is {found:?}, must be \"reference\" or \"evaluation\"")]
    UnknownPurpose { found: String },
    #[error("text is empty")]
    EmptyText,
    #[error("text has {bytes} bytes, at most {MAX_TEXT_BYTES} are allowed")]
    TextTooLong { bytes: usize },
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("label is {label}, but route is {route}")]
    LabelsDiffer { label: RouteName, route: RouteName },
    #[error("the line names route {line}, but the file is that of route {file}")]
    WrongFile { line: RouteName, file: RouteName },
    #[error("id {id} is taken by {first}")]
    DuplicateId { id: ReferenceId, first: Place },
    #[error("the same text stands at {first} with route {route}")]
    TwoRoutes { route: RouteName, first: Place },
    #[error("{message}")]
    Toml { message: String },
    #[error("{field} {must}")]
    Value { field: &'static str, must: String },
    #[error("fallback names route {route}, which the set does not have")]
    UnknownFallback { route: RouteName },
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    pub wrong: Wrong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.wrong)
    }
}

/// All faults that were found: the first 50 in full, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    first: Vec<Fault>,
    total: usize,
}

impl Faults {
    /// The first faults, at most 50.
    pub fn first(&self) -> &[Fault] {
        &self.first
    }

    /// How many there are, those in [`Faults::first`] included.
    pub fn total(&self) -> usize {
        self.total
    }

    pub(super) fn add(&mut self, place: &Place, wrong: Wrong) {
        self.total += 1;
        if self.first.len() < MAX_SHOWN {
            self.first.push(Fault { place: place.clone(), wrong });
        }
    }

    /// `Ok` if there are none.
    pub(super) fn check(self) -> Result<(), FileError> {
        if self.total == 0 { Ok(()) } else { Err(FileError::Invalid(self)) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.total, if self.total == 1 { "fault" } else { "faults" })?;
        self.first.iter().try_for_each(|fault| write!(f, "\n  {fault}"))?;
        match self.total.saturating_sub(self.first.len()) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for Faults {}

/// Why files are not a reference set.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no reference set: it holds neither a set.toml nor a file ending in .jsonl", path.display())]
    NotASet { path: PathBuf },
    #[error(transparent)]
    Invalid(#[from] Faults),
}

impl FileError {
    pub(super) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Unreadable { path, source }
    }

    pub(super) fn one(path: &Path, wrong: Wrong) -> Self {
        let mut faults = Faults::default();
        faults.add(&Place::file(path), wrong);
        Self::Invalid(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_beyond_the_bound_are_counted() {
        let mut faults = Faults::default();
        let place = Place::file(Path::new("set/maths.jsonl"));
        for line in 1..=60 {
            faults.add(&place.at(line), Wrong::EmptyText);
        }
        assert_eq!((faults.first().len(), faults.total()), (50, 60));
        let text = faults.to_string();
        assert!(text.starts_with("60 faults\n  set/maths.jsonl:1: text is empty\n"), "{text}");
        assert!(text.ends_with("\n  and 10 more"), "{text}");
    }
}
