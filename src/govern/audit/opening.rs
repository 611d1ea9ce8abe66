//! What the log ends with when a process begins to write: the newest whole line, and what a crash has left behind it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::de::IgnoredAny;

use super::error::LogError;
use super::folder::{LogPath, files};
use super::line::{ChainEnd, Line, MAX_LINE_BYTES, Note, check_seal};

/// Holds the newest whole line and an unfinished one behind it.
const WINDOW: usize = 2 * MAX_LINE_BYTES + 2;

/// The end of a file.
#[derive(Debug, PartialEq, Eq)]
struct Tail {
    /// Of the newest whole line; `None` if there is none, or if it is damaged.
    end: Option<ChainEnd>,
    /// Bytes of whole lines.
    whole: u64,
    /// Bytes behind them.
    torn: Vec<u8>,
}

/// Where the log can be gone on with.
#[derive(Debug)]
pub(super) struct Ending {
    /// The newest file, and the bytes that it has.
    pub(super) file: Option<(LogPath, u64)>,
    /// `None` if there is no line, or if the newest is damaged.
    pub(super) end: Option<ChainEnd>,
    /// What was repaired.
    pub(super) notes: Vec<Note>,
}

/// Finds the end, and moves unfinished lines aside. A file without a single whole line is removed: its number is free
/// again.
pub(super) fn find_end(dir: &Path) -> Result<Ending, LogError> {
    let mut notes = Vec::new();
    let mut paths = files(dir).map_err(LogError::io("list", dir))?;
    while let Some(path) = paths.pop() {
        let tail = read_tail(&path.path).map_err(LogError::io("read", &path.path))?;
        if !tail.torn.is_empty() {
            notes.push(move_aside(dir, &path, &tail)?);
        }
        if tail.whole > 0 {
            return Ok(Ending { file: Some((path, tail.whole)), end: tail.end, notes });
        }
        std::fs::remove_file(&path.path).map_err(LogError::io("remove", &path.path))?;
    }
    Ok(Ending { file: None, end: None, notes })
}

fn read_tail(path: &Path) -> io::Result<Tail> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let begin = len.saturating_sub(WINDOW as u64);
    file.seek(SeekFrom::Start(begin))?;
    let mut window = Vec::new();
    file.take(WINDOW as u64).read_to_end(&mut window)?;
    Ok(tail_of(&window, begin))
}

/// `window` is the end of a file, and begins at byte `begin` of it.
fn tail_of(window: &[u8], begin: u64) -> Tail {
    let Some(feed) = window.iter().rposition(|byte| *byte == b'\n') else {
        // A whole window without a line's end was not written by us: it is left as it is.
        let whole = if begin == 0 { 0 } else { begin + window.len() as u64 };
        let torn = if begin == 0 { window.to_vec() } else { Vec::new() };
        return Tail { end: None, whole, torn };
    };
    let (lines, torn) = window.split_at(feed + 1);
    let lines_before = lines.get(..feed).unwrap_or_default();
    let line = lines_before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Tail { end: end_of(line), whole: begin + lines.len() as u64, torn: torn.to_vec() }
}

fn end_of(line: &[u8]) -> Option<ChainEnd> {
    let link = check_seal(line).ok()?;
    let line: Line<IgnoredAny> = serde_json::from_slice(line).ok()?;
    Some(ChainEnd { seq: line.seq, link, time: line.time })
}

/// Copied first: whatever a crash has left is kept.
fn move_aside(dir: &Path, path: &LogPath, tail: &Tail) -> Result<Note, LogError> {
    let kept_in = format!("torn-{:08}-{}.part", path.number, tail.whole);
    let aside = dir.join(&kept_in);
    std::fs::write(&aside, &tail.torn).map_err(LogError::io("write", &aside))?;
    let file = std::fs::OpenOptions::new().write(true).open(&path.path);
    file.and_then(|file| file.set_len(tail.whole)).map_err(LogError::io("shorten", &path.path))?;
    Ok(Note::Repaired { bytes: tail.torn.len() as u64, kept_in })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::govern::audit::line::What;
    use crate::govern::audit::stamp::Stamp;

    #[test]
    fn the_newest_whole_line_is_found_before_whatever_was_left() {
        let mut end = ChainEnd::NONE;
        let mut bytes = Vec::new();
        for _ in 0..3 {
            end.add(What::Note(&Note::Closed), Stamp::from_millis(7), &mut bytes).unwrap();
        }
        let whole = bytes.len() as u64;
        let check = |window: &[u8], begin: u64, expected: (Option<ChainEnd>, u64, &[u8])| {
            let Tail { end, whole, torn } = tail_of(window, begin);
            assert_eq!((end, whole, torn.as_slice()), expected);
        };
        check(&bytes, 0, (Some(end), whole, b""));
        check(&[&bytes[..], b"{\"v\":1"].concat(), 0, (Some(end), whole, b"{\"v\":1"));
        check(&bytes[100..], 100, (Some(end), whole, b""));
        check(b"{\"v\":1", 0, (None, 0, b"{\"v\":1"));
        check(b"", 0, (None, 0, b""));
        check(b"garbage\n", 0, (None, 8, b""));
        check(b"no line's end", 9, (None, 22, b""));
    }
}
