//! The head: number and hash of the newest line, in a small file beside the log, so that lines removed from its end are
//! missed. Always of the same length and written with one system call: a killed process leaves the old one or the new.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chain::Link;

const NAME: &str = "head";
const BYTES: usize = 320;

/// Fewest bytes of the MAC's secret.
pub const SHORTEST_SECRET: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of the newest line.
    pub seq: u64,
    pub hash: Link,
    /// Number of the file that it is in.
    pub file: u64,
}

/// The key of the head's MAC, derived from the operator's secret.
#[derive(Clone)]
pub struct MacKey([u8; 32]);

impl MacKey {
    /// `None` if the secret is shorter than [`SHORTEST_SECRET`].
    pub fn new(secret: &str) -> Option<Self> {
        let secret = secret.trim();
        let derived = || blake3::derive_key("semroute 2026-01 audit head mac", secret.as_bytes());
        (secret.len() >= SHORTEST_SECRET).then(|| Self(derived()))
    }

    fn mac(&self, head: &Head) -> Link {
        let told = format!("{} {} {}", head.file, head.seq, head.hash);
        Link::keyed(&self.0, told.as_bytes())
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: u32,
    file: u64,
    seq: u64,
    hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
}

/// A head as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Missing,
    /// It is not as it is written.
    Damaged,
    Whole {
        head: Head,
        mac: Option<Link>,
    },
}

impl Found {
    pub(super) fn head(&self) -> Option<Head> {
        match self {
            Self::Whole { head, .. } => Some(*head),
            Self::Missing | Self::Damaged => None,
        }
    }

    /// Whether its MAC is right; `None` if it has none.
    pub(super) fn is_signed_by(&self, key: &MacKey) -> Option<bool> {
        match self {
            Self::Whole { head, mac } => mac.map(|mac| mac == key.mac(head)),
            Self::Missing | Self::Damaged => None,
        }
    }
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

fn text(head: &Head, mac: Option<Link>) -> Option<String> {
    let mac = mac.map(|mac| mac.to_string());
    let written = Written { v: 1, file: head.file, seq: head.seq, hash: head.hash.to_string(), mac };
    let json = serde_json::to_string(&written).ok()?;
    Some(format!("{json:<width$}\n", width = BYTES - 1))
}

pub(super) fn read(dir: &Path) -> io::Result<Found> {
    let mut text = String::new();
    match File::open(path(dir)) {
        Ok(file) => match file.take(BYTES as u64 + 1).read_to_string(&mut text) {
            Ok(_) => Ok(parse(&text).unwrap_or(Found::Damaged)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Found::Damaged),
            Err(error) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
        Err(error) => Err(error),
    }
}

/// There is one way to write a head: anything else is damage.
fn parse(found: &str) -> Option<Found> {
    let written: Written = serde_json::from_str(found).ok()?;
    let head = Head { seq: written.seq, hash: Link::parse(&written.hash)?, file: written.file };
    let mac = match &written.mac {
        Some(mac) => Some(Link::parse(mac)?),
        None => None,
    };
    (text(&head, mac)? == found).then_some(Found::Whole { head, mac })
}

/// The head's file, open for writing.
pub(super) struct HeadFile(File);

impl HeadFile {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).truncate(false).write(true).open(path(dir)).map(Self)
    }

    pub(super) fn write(&mut self, head: &Head, key: Option<&MacKey>) -> io::Result<()> {
        let text = text(head, key.map(|key| key.mac(head))).ok_or(io::ErrorKind::InvalidData)?;
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(text.as_bytes())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_as_it_was_written_and_every_change_is_damage() {
        let dir = tempfile::TempDir::new().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Found::Missing);
        let key = MacKey::new("a secret of the operator").unwrap();
        let head = Head { seq: u64::MAX, hash: Link::of(b"x"), file: u64::MAX };
        let mut file = HeadFile::open(dir.path()).unwrap();
        file.write(&head, Some(&key)).unwrap();
        let found = read(dir.path()).unwrap();
        assert_eq!((found.head(), found.is_signed_by(&key)), (Some(head), Some(true)));
        assert_eq!(found.is_signed_by(&MacKey::new("another secret than that").unwrap()), Some(false));
        file.write(&Head { seq: 1, ..head }, None).unwrap();
        assert_eq!(read(dir.path()).unwrap().is_signed_by(&key), None);
        let whole = std::fs::read(path(dir.path())).unwrap();
        assert_eq!(whole.len(), BYTES);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(path(dir.path()), &changed).unwrap();
            let found = read(dir.path()).unwrap();
            assert!(found == Found::Damaged || found.head() != Some(Head { seq: 1, ..head }), "byte {at}: {found:?}");
        }
        assert!(MacKey::new("short").is_none());
    }
}
