//! A line: what stands in it, how it is sealed and how its seal is checked.

use serde::{Deserialize, Serialize};

use super::chain::Link;
use super::entry::Entry;
use super::stamp::Stamp;

/// The format that is written.
pub(super) const VERSION: u32 = 1;

/// Longest line that is read, in bytes. What is written is bounded far below.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

/// Stands between what is hashed and the hash.
const SEAL: &str = ",\"hash\":\"";
const END: &str = "\"}";
const HEX_BYTES: usize = 64;

/// Begins a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHeader {
    /// 1 for the first file, without gaps.
    pub number: u64,
}

/// What happened to the log itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Note {
    /// A process began to write.
    Opened {
        program: String,
        /// Lines that the head of then did not count: those of a process that was killed between line and head, at
        /// most one batch.
        #[serde(default)]
        past_head: u64,
        /// Lines that the head of then counted and the files did not have: lost by the machine, or removed.
        #[serde(default)]
        missing: u64,
        /// There were files, and no head that could be read.
        #[serde(default)]
        without_head: bool,
        /// The newest line could not be read, so that a new file was begun.
        #[serde(default)]
        damaged: bool,
    },
    /// An unfinished line was moved aside.
    Repaired { bytes: u64, kept_in: String },
    /// The file that was written to was not there any more, and another was begun.
    Gone { number: u64 },
    /// Entries that could not be written since the last such note: the log failed, or was too slow.
    Lost { entries: u64 },
    /// The clock was set back by so much. Times stand still until it has caught up.
    Clock { back_ms: u64 },
    /// Files up to this number are deleted now, as `keep_files` and `keep_days` say.
    Dropped { through: u64 },
    /// The process ended in good order.
    Closed,
}

/// What a line tells.
#[derive(Debug, Clone, Copy)]
pub(super) enum What<'a> {
    File(&'a FileHeader),
    Note(&'a Note),
    Entry(&'a Entry),
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    seq: u64,
    time: String,
    prev: Link,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a FileHeader>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a Note>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<&'a Entry>,
}

/// A line as it is read. One of `file`, `note` and `entry` is there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Line<E = Entry> {
    pub v: u32,
    pub seq: u64,
    #[serde(deserialize_with = "stamp")]
    pub time: Stamp,
    #[serde(deserialize_with = "link")]
    pub prev: Link,
    #[serde(default)]
    pub file: Option<FileHeader>,
    #[serde(default)]
    pub note: Option<Note>,
    #[serde(default = "Option::default")]
    pub entry: Option<E>,
}

fn stamp<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Stamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    Stamp::parse(&text).ok_or_else(|| serde::de::Error::custom("the time is not RFC 3339"))
}

fn link<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Link, D::Error> {
    let text = String::deserialize(deserializer)?;
    Link::parse(&text).ok_or_else(|| serde::de::Error::custom("prev is not 64 lower-case hex digits"))
}

/// The end of the chain so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChainEnd {
    pub(super) seq: u64,
    pub(super) link: Link,
    pub(super) time: Stamp,
}

impl ChainEnd {
    pub(super) const NONE: Self = Self { seq: 0, link: Link::NONE, time: Stamp::ZERO };

    /// Adds a line to `bytes`, its line feed included, and moves on. Times never go back.
    pub(super) fn add(&mut self, what: What<'_>, now: Stamp, bytes: &mut Vec<u8>) -> serde_json::Result<()> {
        let time = now.max(self.time);
        let mut line = Written {
            v: VERSION,
            seq: self.seq + 1,
            time: time.to_string(),
            prev: self.link,
            file: None,
            note: None,
            entry: None,
        };
        match what {
            What::File(file) => line.file = Some(file),
            What::Note(note) => line.note = Some(note),
            What::Entry(entry) => line.entry = Some(entry),
        }
        let begin = bytes.len();
        serde_json::to_writer(&mut *bytes, &line)?;
        // The object stays open for its hash.
        bytes.pop();
        let link = Link::of(bytes.get(begin..).unwrap_or_default());
        bytes.extend_from_slice(SEAL.as_bytes());
        bytes.extend_from_slice(link.to_string().as_bytes());
        bytes.extend_from_slice(END.as_bytes());
        bytes.push(b'\n');
        *self = Self { seq: line.seq, link, time };
        Ok(())
    }
}

/// The hash that a line carries, if it is right. `line` is without its line feed.
pub(super) fn check_seal(line: &[u8]) -> Result<Link, &'static str> {
    let open = line.strip_suffix(END.as_bytes()).ok_or("it does not end with its hash")?;
    let at = open.len().checked_sub(HEX_BYTES).ok_or("it does not end with its hash")?;
    let (open, hex) = open.split_at_checked(at).ok_or("it does not end with its hash")?;
    let hashed = open.strip_suffix(SEAL.as_bytes()).ok_or("it does not end with its hash")?;
    let hex = std::str::from_utf8(hex).map_err(|_| "it does not end with its hash")?;
    let link = Link::of(hashed);
    if Link::parse(hex) == Some(link) { Ok(link) } else { Err("its bytes do not give its hash") }
}
