//! Reference sets as files: a folder of `<route>.jsonl` files with a `set.toml`, or one JSONL file with labels.
//!
//! Everything is checked before anything is returned, and all faults are told at once, so that a set of thousands of
//! lines is repaired in one round. Reading blocks: call it from a thread that may.

mod collection;
mod directory;
mod fault;
mod labelled;
mod lines;
mod prompt_line;
mod set_toml;

use std::fmt;
use std::path::Path;

pub use directory::{SET_FILE, SetRows, read_directory, read_rows};
pub use fault::{Fault, Faults, FileError, Place, Wrong};
pub use labelled::{LabelledText, read_labelled, read_labelled_set};
pub(crate) use lines::Lines;
pub use lines::MAX_LINE_BYTES;
pub(crate) use prompt_line::object;
pub use prompt_line::write_line;
pub use set_toml::write_set_toml;

use super::name::RouteName;
use super::types::{PromptEdit, Route, SetEdit};

/// A whole reference set, valid and ready to be written to a store: first `edit`, then `routes`, then `prompts`.
#[derive(Debug, Clone, PartialEq)]
pub struct SetFiles {
    pub edit: SetEdit,
    /// By name; every route that a prompt names is among them.
    pub routes: Vec<Route>,
    /// In the order of the files (by name) and of their lines.
    pub prompts: Vec<PromptEdit>,
    /// What is allowed, yet hardly meant.
    pub warnings: Vec<Warning>,
}

/// What is allowed in a set, yet hardly meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The folder has no `set.toml`: the default policy applies and no route has a description.
    NoSetFile,
    /// No prompt bears this route: it can never be chosen.
    RouteWithoutPrompts { route: RouteName },
    /// So many prompts stood there before with the same text and the same route, and were dropped.
    DuplicatesDropped { prompts: u64 },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSetFile => {
                write!(f, "{SET_FILE} is missing: the default policy applies, routes have no description")
            }
            Self::RouteWithoutPrompts { route } => write!(f, "route {route} has no reference prompts"),
            Self::DuplicatesDropped { prompts } => {
                write!(f, "{prompts} reference prompts stand more than once with the same route: one of each was kept")
            }
        }
    }
}

/// Reads a set from a folder ([`read_directory`]) or from a file with labels ([`read_labelled_set`]).
pub fn read_set(path: &Path) -> Result<SetFiles, FileError> {
    if path.is_dir() { read_directory(path) } else { read_labelled_set(path) }
}
