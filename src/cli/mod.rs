//! The commands, one file each, and how they write: results to standard output, progress and notes to standard error.

pub mod model;
pub mod progress;

use std::io::{self, Write};

/// How a command ended that could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success,
    /// It did its work, and the answer is no: exit code 1.
    Failure,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failure => Self::FAILURE,
        }
    }
}

/// Writes `text` and a line's end to standard output. A reader that has gone (`semroute ... | head`) is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    quiet_if_gone(writeln!(io::stdout().lock(), "{text}"))
}

fn quiet_if_gone(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
