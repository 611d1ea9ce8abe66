//! Saved indexes, one file a version, beside the store. A file is only ever what building it again would give: what
//! is wrong with one is told in the log and the index is built, and where none can be written it is served from memory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fs4::FileExt;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::index::{self, HnswIndex, Identity, IndexConfig, IndexFileError, RowKey, Saved};
use crate::reference::{Reference, SetName, SetVersion, TextHash, Version};
use crate::telemetry::chain;

/// Ends the name of a finished file.
const SUFFIX: &str = ".hnsw";

/// Ends the name of one that is being written.
const UNFINISHED: &str = ".part";

/// Characters of a set's name that its files bear, for a person who looks; the hash behind them is what tells sets
/// apart.
const SHOWN: usize = 40;

/// The folder of the saved indexes. Clone it freely.
#[derive(Debug, Clone)]
pub struct IndexFolder {
    folder: PathBuf,
}

impl IndexFolder {
    /// The folder is made when the first index is saved.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn path(&self, set: &SetName, version: Version) -> PathBuf {
        self.folder.join(format!("{}{version}{SUFFIX}", prefix(set)))
    }

    /// The index of a version as it was saved, whatever rows it was made of. `None` if there is none that can be used;
    /// what is wrong with it is in the log.
    pub(super) fn read(
        &self,
        set: &SetName,
        version: Version,
        config: &IndexConfig,
        dimension: usize,
    ) -> Option<Saved> {
        let (path, begun) = (self.path(set, version), Instant::now());
        match read(&path, config, dimension) {
            Ok(saved) => {
                let seconds = begun.elapsed().as_secs_f32();
                tracing::info!(path = %path.display(), seconds, "read the saved index");
                Some(saved)
            }
            Err(IndexFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %chain(&error), "the saved index cannot be used");
                None
            }
        }
    }

    /// Saves an index. A failure is in the log; nothing else depends on it.
    pub(super) fn save(&self, version: &SetVersion, index: &HnswIndex, keys: &[RowKey], identity: &Identity) {
        let path = self.path(&version.set, version.version);
        let begun = Instant::now();
        match self.write(&path, index, keys, identity) {
            Ok(()) => {
                let seconds = begun.elapsed().as_secs_f32();
                tracing::info!(path = %path.display(), seconds, "saved the index");
            }
            Err(error) => tracing::warn!(
                path = %path.display(), error = %chain(&error),
                "the index cannot be saved: it is served from memory, and the next start builds it again"
            ),
        }
    }

    /// Written beside its place and moved there when it is whole and on the disk. While it is written it is locked: a
    /// file that nobody has locked was left by a process that is gone.
    fn write(
        &self,
        path: &Path,
        index: &HnswIndex,
        keys: &[RowKey],
        identity: &Identity,
    ) -> Result<(), IndexFileError> {
        let failed = |source| IndexFileError::Io { doing: "written", source };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        self.remove_unfinished();
        let named = tempfile::Builder::new().prefix("index-").suffix(UNFINISHED).tempfile_in(&self.folder);
        let file: NamedTempFile = named.map_err(failed)?;
        FileExt::lock(file.as_file()).map_err(failed)?;
        index::write(index, keys, identity, file.as_file())?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        // The name too is to outlive a power failure, where a folder can be opened.
        if cfg!(unix) {
            File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(())
    }

    fn remove_unfinished(&self) {
        for path in self.files().filter(|path| name_of(path).ends_with(UNFINISHED)) {
            let abandoned = File::open(&path).is_ok_and(|file| FileExt::try_lock(&file).is_ok());
            if abandoned {
                remove(&path);
            }
        }
    }

    /// Removes what was saved of a set, but for some versions.
    pub(super) fn keep_only(&self, set: &SetName, versions: &[Version]) {
        let kept: Vec<PathBuf> = versions.iter().map(|version| self.path(set, *version)).collect();
        let prefix = prefix(set);
        let of_set = |path: &PathBuf| {
            let number = name_of(path).strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(SUFFIX));
            number.is_some_and(|number| number.parse::<Version>().is_ok())
        };
        self.files().filter(of_set).filter(|path| !kept.contains(path)).for_each(|path| remove(&path));
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> + use<> {
        fs::read_dir(&self.folder).into_iter().flatten().filter_map(|entry| entry.ok().map(|entry| entry.path()))
    }
}

fn read(path: &Path, config: &IndexConfig, dimension: usize) -> Result<Saved, IndexFileError> {
    let failed = |source| IndexFileError::Io { doing: "read", source };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    index::read(&file, length, config, dimension)
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a file of an old index cannot be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// A set's name may hold what a file's name may not.
fn prefix(set: &SetName) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let shown: String = set.as_str().chars().take(SHOWN).map(plain).collect();
    format!("{shown}-{}-", TextHash::of(set.as_str()).short())
}

/// What each row of a version is known by.
pub(super) fn keys(references: &[Reference]) -> Vec<RowKey> {
    references.iter().map(|reference| key(&reference.text)).collect()
}

fn key(text: &str) -> RowKey {
    TextHash::of(text).0.first_chunk().copied().unwrap_or_default()
}

/// What must be the same for a file to be the index of a version: the version itself, so that a store that was made
/// anew is not taken for the old one, its model, and every text in its place.
pub(super) fn identity(version: &SetVersion, keys: &[RowKey]) -> Identity {
    let mut hash = Sha256::new();
    for part in [version.set.as_str(), &version.model.0] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    for number in [version.version, version.created_at.cast_unsigned(), keys.len() as u64] {
        hash.update(number.to_le_bytes());
    }
    hash.update(keys.as_flattened());
    hash.finalize().into()
}

#[cfg(test)]
#[path = "indexes_tests.rs"]
mod tests;
