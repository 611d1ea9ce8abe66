//! Why nothing can be replayed: all that is wrong with a golden file, each with its line, and targets that there are not.
//! No message repeats a prompt's text: faults end up in logs.

use std::io;
use std::path::PathBuf;

use super::schema::SchemaError;
use crate::reference;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} holds no prompts", path.display())]
    NoPrompts { path: PathBuf },
    #[error("{} has {}", path.display(), listed(faults, *total))]
    Lines {
        path: PathBuf,
        /// The first faults.
        faults: Vec<LineFault>,
        total: usize,
    },
    #[error("no target is named {}; configured are {}", unknown.join(", "), configured.join(", "))]
    UnknownTargets { unknown: Vec<String>, configured: Vec<String> },
}

/// A line of a golden file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {wrong}")]
pub struct LineFault {
    /// From 1.
    pub line: u64,
    pub wrong: Wrong,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It is no JSON object.
    #[error(transparent)]
    Line(#[from] reference::Wrong),
    #[error("{key} is not known; known are {}", known.join(", "))]
    UnknownKey { key: String, known: &'static [&'static str] },
    #[error("{key} is missing")]
    Missing { key: String },
    #[error("{key} is {found}, must be {wanted}")]
    NotA { key: String, found: String, wanted: &'static str },
    #[error("{key} is given beside {other}; keep one of them")]
    Both { key: &'static str, other: &'static str },
    #[error("prompt is missing; give it, or messages")]
    NoPrompt,
    #[error("nothing is expected of the answer: give expect, response_schema or both")]
    NothingExpected,
    #[error("{key} is no regular expression: {reason}")]
    Regex { key: String, reason: String },
    #[error("{key} is no JSON schema: {reason}")]
    Schema { key: String, reason: SchemaError },
    #[error("id {id:?} is taken by line {first}")]
    DuplicateId { id: String, first: u64 },
}

fn listed(faults: &[LineFault], total: usize) -> String {
    let mut list = format!("{total} {}", if total == 1 { "fault" } else { "faults" });
    list.extend(faults.iter().map(|fault| format!("\n  {fault}")));
    if total > faults.len() {
        list.push_str(&format!("\n  and {} more", total - faults.len()));
    }
    list
}
