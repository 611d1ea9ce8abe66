//! The stamp: which files were hashed, with size and time of change, so that a second start hashes nothing.
//!
//! It is an optimisation only. A stamp that is missing, damaged or out of date costs one more hash, and a folder that
//! cannot be written simply has none. It guards against accidents, not against somebody who may write the folder.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::{self, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::hash::FileHash;

const STAMP: &str = ".verified";
/// How unfinished stamps begin; a killed process may leave one.
pub(super) const UNFINISHED: &str = ".verified-";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    size: u64,
    /// Nanoseconds since the Unix epoch.
    modified_ns: u64,
    sha256: FileHash,
}

impl Stamp {
    /// Empty where there is none that can be read.
    pub(super) fn load(dir: &Path) -> Self {
        let text = std::fs::read_to_string(dir.join(STAMP)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The file's hash, if it has been hashed since it last changed.
    pub(super) fn hash(&self, path: &str, metadata: &Metadata) -> Option<FileHash> {
        let entry = self.files.get(path)?;
        (entry.size == metadata.len() && entry.modified_ns == modified_ns(metadata)?).then_some(entry.sha256)
    }

    pub(super) fn put(&mut self, path: &str, metadata: &Metadata, sha256: FileHash) {
        let entry = modified_ns(metadata).map(|modified_ns| Entry { size: metadata.len(), modified_ns, sha256 });
        match entry {
            Some(entry) => self.files.insert(path.to_owned(), entry),
            None => self.files.remove(path),
        };
    }

    pub(super) fn save(&self, dir: &Path) -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        // Whoever may read the weights may read the stamp: by default only its writer could.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        let mut file = builder.prefix(UNFINISHED).tempfile_in(dir)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.flush()?;
        file.persist(dir.join(STAMP))?;
        Ok(())
    }
}

fn modified_ns(metadata: &Metadata) -> Option<u64> {
    let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}
