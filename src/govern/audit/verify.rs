//! Checks the chain from end to end: the first fault is what there is to know, since nothing behind it can be trusted.

use std::path::Path;

use serde::Serialize;
use serde::de::IgnoredAny;

use super::chain::Link;
use super::folder::{LogPath, files};
use super::head::{self, Found, Head, MacKey};
use super::line::{ChainEnd, Line, MAX_LINE_BYTES, Note, VERSION, check_seal};
use super::reader::{Raw, ReadError, Reader};

/// What is checked.
#[derive(Debug, Clone, Copy)]
pub struct Verify<'a> {
    pub dir: &'a Path,
    /// Name of the file to begin with; what lies before it is not looked at. `None`: the oldest.
    pub from: Option<&'a str>,
    /// For the head's MAC; with it a head without a valid one is a fault.
    pub key: Option<&'a MacKey>,
}

/// Something wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Name of the file in the log's folder.
    pub file: String,
    /// From 1; `None` where it is not of one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    #[serde(flatten)]
    pub kind: FaultKind,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.file, self.kind),
            None => write!(f, "{}: {}", self.file, self.kind),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum FaultKind {
    #[error("the line was changed: {what}")]
    Changed { what: &'static str },
    #[error("the line is none of the log's: {what}")]
    Unreadable { what: String },
    #[error("the line is longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("the file ends in the middle of the line")]
    Unfinished,
    #[error("the line is of version {found} of the format, known is {VERSION}")]
    Version { found: u32 },
    #[error("the line does not follow the one before it: lines were removed, put in or moved here")]
    Unchained,
    #[error("its number is {found}, expected is {expected}: lines were lost or removed before it")]
    Sequence { expected: u64, found: u64 },
    #[error("its time is before that of the line before it")]
    Time,
    #[error("the file does not begin with its own first line")]
    NoFirstLine,
    #[error("this first line of a file stands in the middle of one")]
    Misplaced,
    #[error("the file should be named {expected}")]
    Misnamed { expected: String },
    #[error("the files {from} to {to} before it are missing")]
    FilesMissing { from: u64, to: u64 },
    #[error("the files up to {through} are missing, and no note of the log says that they were deleted")]
    OldestMissing { through: u64 },
    #[error("there is no such file in the log")]
    NoSuchFile,
    #[error("it is missing: whether lines are missing at the end of the log cannot be told")]
    HeadMissing,
    #[error("it was changed")]
    HeadChanged,
    #[error("it counts {counted} lines, the newest in the files is {found}: lines are missing at the end")]
    EndMissing { counted: u64, found: u64 },
    #[error("it has another hash for line {seq} than the files: the chain was made anew, or the head is another log's")]
    HeadDiffers { seq: u64 },
    #[error("it has no MAC, and the key says that it should")]
    Unsigned,
    #[error("its MAC is not of this key: the chain was made anew, or the key is another")]
    Forged,
}

/// Whether the head's MAC is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signature {
    #[default]
    None,
    /// There is one, and no key to check it with.
    Unchecked,
    Valid,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Verified {
    pub files: u64,
    pub lines: u64,
    pub entries: u64,
    /// Entries that the notes say could not be written.
    pub lost: u64,
    /// Number of the newest line.
    pub newest: u64,
    /// Its hash: to be compared with what was noted elsewhere.
    pub hash: String,
    /// Lines behind those that the head counts: written just now, or by a process that was killed.
    pub past_head: u64,
    /// Bytes of an unfinished line at the end: being written, or left by a process that was killed.
    pub unfinished_bytes: u64,
    pub signature: Signature,
    /// The first fault; nothing behind it was looked at.
    pub fault: Option<Fault>,
}

impl Verify<'_> {
    /// `progress` is told the bytes that were read so far.
    ///
    /// # Errors
    /// A file that cannot be read. Faults of the log are no errors.
    pub fn run(&self, progress: &mut dyn FnMut(u64)) -> Result<Verified, ReadError> {
        // First the head: lines that come meanwhile are behind it.
        let found = head::read(self.dir).map_err(ReadError::io(&head::path(self.dir)))?;
        let mut all = files(self.dir).map_err(ReadError::io(self.dir))?;
        let mut walk = Walk { head: found.head(), ..Walk::default() };
        let begun = self.begin(&mut all).and_then(|()| self.check_mac(&found));
        let checked = match begun {
            Ok(signature) => {
                walk.result.signature = signature;
                walk.files(&all, progress)?.and_then(|()| walk.check_ends(&found, self.from.is_none(), &all))
            }
            Err(fault) => Err(fault),
        };
        walk.result.fault = checked.err();
        if let Some(end) = walk.end {
            walk.result.newest = end.seq;
            walk.result.hash = end.link.to_string();
        }
        Ok(walk.result)
    }

    fn begin(&self, all: &mut Vec<LogPath>) -> Result<(), Fault> {
        let Some(from) = self.from else { return Ok(()) };
        let at = all.iter().position(|file| file.name() == from);
        let at = at.ok_or_else(|| Fault { file: from.to_owned(), line: None, kind: FaultKind::NoSuchFile })?;
        all.drain(..at);
        Ok(())
    }

    fn check_mac(&self, found: &Found) -> Result<Signature, Fault> {
        let Found::Whole { mac, .. } = found else { return Ok(Signature::None) };
        let Some(key) = self.key else {
            return Ok(if mac.is_some() { Signature::Unchecked } else { Signature::None });
        };
        match found.is_signed_by(key) {
            Some(true) => Ok(Signature::Valid),
            Some(false) => Err(of_head(FaultKind::Forged)),
            None => Err(of_head(FaultKind::Unsigned)),
        }
    }
}

fn of_head(kind: FaultKind) -> Fault {
    Fault { file: "head".to_owned(), line: None, kind }
}

#[derive(Default)]
struct Walk {
    head: Option<Head>,
    end: Option<ChainEnd>,
    /// Number of the newest file.
    number: Option<u64>,
    /// Files up to this one are deleted, as the newest note says.
    dropped: u64,
    bytes: u64,
    result: Verified,
}

type Checked = Result<(), Fault>;

impl Walk {
    fn files(&mut self, all: &[LogPath], progress: &mut dyn FnMut(u64)) -> Result<Checked, ReadError> {
        for (at, file) in all.iter().enumerate() {
            let is_newest = at + 1 == all.len();
            if let Err(fault) = self.file(file, is_newest, progress)? {
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }

    fn file(&mut self, file: &LogPath, is_newest: bool, progress: &mut dyn FnMut(u64)) -> Result<Checked, ReadError> {
        let mut reader = Reader::open(&file.path)?;
        let whole = |kind| Ok(Err(Fault { file: file.name(), line: None, kind }));
        let expected = self.number.map_or(file.number, |number| number + 1);
        if file.number > expected {
            return whole(FaultKind::FilesMissing { from: expected, to: file.number - 1 });
        }
        loop {
            let checked = match reader.next_raw()? {
                Raw::End => break,
                Raw::Torn(bytes) if is_newest => {
                    self.result.unfinished_bytes = bytes.len() as u64;
                    break;
                }
                Raw::Torn(_) => Err(FaultKind::Unfinished),
                Raw::TooLong => Err(FaultKind::TooLong { limit: MAX_LINE_BYTES }),
                Raw::Whole(bytes) => parse(bytes).and_then(|(line, link)| self.line(file, line, link)),
            };
            if let Err(kind) = checked {
                return Ok(Err(Fault { file: file.name(), line: Some(reader.number()), kind }));
            }
            progress(self.bytes + reader.bytes());
        }
        self.bytes += reader.bytes();
        // An empty newest file is one that is being begun.
        if self.number == Some(file.number) {
            self.result.files += 1;
        } else if !is_newest {
            return whole(FaultKind::NoFirstLine);
        }
        Ok(Ok(()))
    }

    fn line(&mut self, file: &LogPath, line: Line<IgnoredAny>, link: Link) -> Result<(), FaultKind> {
        if line.v != VERSION {
            return Err(FaultKind::Version { found: line.v });
        }
        if let Some(end) = self.end {
            self.follows(&end, &line)?;
        }
        let is_first = self.number != Some(file.number);
        match &line.file {
            Some(header) if is_first => {
                let expected = LogPath::new(Path::new(""), header.number, line.time);
                if (expected.number, &expected.day) != (file.number, &file.day) || expected.name() != file.name() {
                    return Err(FaultKind::Misnamed { expected: expected.name() });
                }
                self.number = Some(header.number);
                // Who has the first file has the first line.
                if header.number == 1 && (line.seq, line.prev) != (1, Link::NONE) {
                    return Err(FaultKind::Unchained);
                }
            }
            Some(_) => return Err(FaultKind::Misplaced),
            None if is_first => return Err(FaultKind::NoFirstLine),
            None => {}
        }
        if self.head.is_some_and(|head| head.seq == line.seq && head.hash != link) {
            return Err(FaultKind::HeadDiffers { seq: line.seq });
        }
        self.note(line.note.as_ref());
        self.result.lines += 1;
        self.result.entries += u64::from(line.entry.is_some());
        self.end = Some(ChainEnd { seq: line.seq, link, time: line.time });
        Ok(())
    }

    fn follows(&self, end: &ChainEnd, line: &Line<IgnoredAny>) -> Result<(), FaultKind> {
        if line.prev != end.link {
            return Err(FaultKind::Unchained);
        }
        let expected = end.seq.saturating_add(1);
        if line.seq != expected {
            return Err(FaultKind::Sequence { expected, found: line.seq });
        }
        if line.time < end.time { Err(FaultKind::Time) } else { Ok(()) }
    }

    fn note(&mut self, note: Option<&Note>) {
        match note {
            Some(Note::Lost { entries }) => self.result.lost = self.result.lost.saturating_add(*entries),
            Some(Note::Dropped { through }) => self.dropped = self.dropped.max(*through),
            _ => {}
        }
    }

    /// Whether anything is missing before the oldest line and behind the newest.
    fn check_ends(&mut self, found: &Found, is_all: bool, all: &[LogPath]) -> Checked {
        if let Some(oldest) = all.first().filter(|oldest| is_all && oldest.number > self.dropped.saturating_add(1)) {
            let kind = FaultKind::OldestMissing { through: oldest.number - 1 };
            return Err(Fault { file: oldest.name(), line: None, kind });
        }
        let head = match found {
            Found::Missing => return Err(of_head(FaultKind::HeadMissing)),
            Found::Damaged => return Err(of_head(FaultKind::HeadChanged)),
            Found::Whole { head, .. } => head,
        };
        let newest = self.end.map_or(0, |end| end.seq);
        if newest < head.seq {
            return Err(of_head(FaultKind::EndMissing { counted: head.seq, found: newest }));
        }
        self.result.past_head = newest - head.seq;
        Ok(())
    }
}

/// Seal first: what is not sealed is not read.
fn parse(bytes: &[u8]) -> Result<(Line<IgnoredAny>, Link), FaultKind> {
    let link = check_seal(bytes).map_err(|what| FaultKind::Changed { what })?;
    let unreadable = |what: String| FaultKind::Unreadable { what };
    let line: Line<IgnoredAny> = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    let told = [line.file.is_some(), line.note.is_some(), line.entry.is_some()];
    match told.into_iter().filter(|told| *told).count() {
        1 => Ok((line, link)),
        _ => Err(unreadable("it holds not one of file, note and entry".to_owned())),
    }
}
