//! Reads a file of the log line by line, with bounded memory whatever the file holds.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::line::{Line, MAX_LINE_BYTES, VERSION};

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{} cannot be read", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}, line {line}: {what}: run `semroute audit verify`", path.display())]
    Line { path: PathBuf, line: u64, what: String },
}

impl ReadError {
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// A line's bytes, without the line feed.
pub(super) enum Raw<'a> {
    Whole(&'a [u8]),
    /// The file ends before the line does.
    Torn(&'a [u8]),
    TooLong,
    End,
}

pub struct Reader {
    input: BufReader<File>,
    path: PathBuf,
    /// Of the line that was read last, from 1.
    number: u64,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(ReadError::io(path))?;
        let input = BufReader::with_capacity(64 << 10, file);
        Ok(Self { input, path: path.to_owned(), number: 0, bytes: 0, buffer: Vec::new() })
    }

    /// Number of the line that was read last; the first is 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The line that was read last.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.buffer).unwrap_or_default().trim_end()
    }

    /// Bytes that were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next whole line; `None` at the end. An unfinished line at the end is left out. The chain is not checked: see
    /// [`super::Verify`].
    pub fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        let parsed = match self.next_raw()? {
            Raw::End | Raw::Torn(_) => return Ok(None),
            Raw::TooLong => Err(format!("it is longer than {MAX_LINE_BYTES} bytes")),
            Raw::Whole(bytes) => serde_json::from_slice::<Line>(bytes).map_err(|error| error.to_string()),
        };
        let known = parsed.and_then(|line| match line.v {
            VERSION => Ok(line),
            v => Err(format!("it is of version {v} of the format, known is {VERSION}")),
        });
        known.map(Some).map_err(|what| ReadError::Line { path: self.path.clone(), line: self.number, what })
    }

    pub(super) fn next_raw(&mut self) -> Result<Raw<'_>, ReadError> {
        self.buffer.clear();
        let mut bounded = (&mut self.input).take(MAX_LINE_BYTES as u64 + 1);
        let read = bounded.read_until(b'\n', &mut self.buffer).map_err(ReadError::io(&self.path))?;
        if read == 0 {
            return Ok(Raw::End);
        }
        self.number += 1;
        self.bytes += read as u64;
        Ok(match self.buffer.strip_suffix(b"\n") {
            Some(line) => Raw::Whole(line),
            None if read > MAX_LINE_BYTES => Raw::TooLong,
            None => Raw::Torn(&self.buffer),
        })
    }
}
