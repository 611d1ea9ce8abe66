//! A file that is being received: written beside its place, hashed on the way, and renamed there only if it is right.
//! A kill at any moment leaves the old file, or none, or the whole new one.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::error::{FetchError, ModelError};
use super::hash::{CHUNK_BYTES, FileHash};
use super::manifest::FileSpec;
use super::progress::{SharedProgress, Work};
use super::staging::Staging;

pub(super) struct Partial {
    spec: FileSpec,
    path: PathBuf,
    file: File,
    hasher: Sha256,
    written: u64,
    work: Work,
    /// Last, so that the file is closed before its folder may go.
    staging: Arc<Staging>,
}

impl Partial {
    /// `bytes`: the size that the source announces, for models whose manifest names none.
    pub(super) fn create(
        staging: &Arc<Staging>,
        spec: &FileSpec,
        bytes: Option<u64>,
        progress: &SharedProgress,
    ) -> Result<Self, ModelError> {
        // One writer at a time holds the lock, so the name need not be unique, only flat.
        let path = staging.unfinished()?.join(spec.path.replace('/', "--"));
        let file = File::create(&path).map_err(ModelError::io("create", &path))?;
        let work = Work::begin(progress, &spec.path, spec.size.or(bytes));
        Ok(Self {
            staging: Arc::clone(staging),
            spec: spec.clone(),
            path,
            file,
            hasher: Sha256::new(),
            written: 0,
            work,
        })
    }

    /// Refuses to write more than the manifest's size: a source that never ends must not fill the disk.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.written += bytes.len() as u64;
        if let Some(size) = self.spec.size.filter(|size| self.written > *size) {
            return Err(FetchError::Source(format!("{}: expected {size} bytes, found more", self.spec.path)));
        }
        self.file.write_all(bytes).map_err(ModelError::io("write", &self.path))?;
        self.hasher.update(bytes);
        self.work.add(bytes.len() as u64);
        Ok(())
    }

    /// Writes all that `reader` gives; its errors are the source's.
    pub(super) fn write_all_of(&mut self, mut reader: impl Read) -> Result<(), FetchError> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.write(buffer.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FetchError::Source(format!("{}: {error}", self.spec.path))),
            }
        }
    }

    /// Checks size and hash, then puts the file in its place for good (it survives a power cut).
    pub(super) fn commit(self) -> Result<(), FetchError> {
        let Self { staging, spec, path, file, hasher, written, work } = self;
        // On a mismatch the file stays among the unfinished ones, which go when the lock is given back.
        if let Some(size) = spec.size.filter(|size| *size != written) {
            return Err(FetchError::Source(format!("{}: expected {size} bytes, found {written}", spec.path)));
        }
        let found = FileHash::finish(hasher);
        if let Some(expected) = spec.sha256.filter(|expected| *expected != found) {
            return Err(FetchError::Source(format!("{}: expected sha256 {expected}, found {found}", spec.path)));
        }
        file.sync_all().map_err(ModelError::io("write", &path))?;
        drop(file);
        let target = spec.within(staging.dir());
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(ModelError::io("make the folder", folder))?;
            std::fs::rename(&path, &target).map_err(ModelError::io("replace", &target))?;
            sync_folder(folder)?;
        }
        staging.stamp(&spec.path, &target, found);
        drop(work);
        Ok(())
    }
}

/// Makes a rename durable. Only Unix can open a folder for it; elsewhere the file system's journal has to do.
fn sync_folder(folder: &Path) -> Result<(), ModelError> {
    if cfg!(unix) {
        let opened = File::open(folder).and_then(|folder| folder.sync_all());
        opened.map_err(ModelError::io("write", folder))?;
    }
    Ok(())
}
