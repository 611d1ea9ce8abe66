//! Why a run could not be made.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{url:?} is no address of a server: {why}")]
    Address { url: String, why: &'static str },
    #[error("no server answers at {url}")]
    Unreachable {
        url: String,
        #[source]
        source: io::Error,
    },
    #[error("what answers at {url} does not speak gRPC")]
    NotGrpc {
        url: String,
        #[source]
        source: h2::Error,
    },
    #[error("the server at {url} accepted the connection and gave no answer in {waited:?}: is it still starting?")]
    Silent { url: String, waited: Duration },
    #[error("none of {sent} requests was answered by the server at {url}: {why}")]
    NoAnswer { url: String, sent: u64, why: String },
    #[error("stopped before anything was measured")]
    Stopped,
    #[error("{} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} has {}", path.display(), listed(faults, *total))]
    Lines {
        path: PathBuf,
        /// The first faults.
        faults: Vec<LineFault>,
        total: usize,
    },
    #[error("{} holds no prompts", path.display())]
    NoPrompts { path: PathBuf },
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    #[error("a thread panicked")]
    Panicked,
}

/// A line of a file of prompts that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {wrong}")]
pub struct LineFault {
    /// From 1.
    pub line: u64,
    pub wrong: WrongLine,
}

/// What is wrong with it; never with the text itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongLine {
    #[error("longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("not valid UTF-8 from byte {byte}")]
    NotUtf8 { byte: usize },
    #[error("not valid JSON at column {column}")]
    NotJson { column: usize },
    #[error("not a JSON object")]
    NotAnObject,
    #[error("text is missing")]
    NoText,
    #[error("text is not a string")]
    NotAString,
    #[error("text is empty")]
    EmptyText,
}

fn listed(faults: &[LineFault], total: usize) -> String {
    let mut list = format!("{total} {}", if total == 1 { "fault" } else { "faults" });
    list.extend(faults.iter().map(|fault| format!("\n  {fault}")));
    if total > faults.len() {
        list.push_str(&format!("\n  and {} more", total - faults.len()));
    }
    list
}
