//! The right to write into a model's folder: an exclusive lock that other processes respect, and a subfolder for what
//! is unfinished. Whoever holds the lock may delete what a killed process left there.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fs4::{FileExt, TryLockError};

use super::error::{ModelError, Result};
use super::hash::FileHash;
use super::progress::{Report, SharedProgress};
use super::stamp::{self, Stamp};

const LOCK: &str = ".lock";
/// In the model's folder, so that the last step is a rename within one file system.
const UNFINISHED: &str = ".partial";
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Held while files are written. Work on other threads keeps a clone, so that the lock outlives a cancelled `pull`
/// until the last of its threads has stopped writing.
pub(super) struct Staging {
    dir: PathBuf,
    _lock: File,
}

impl Staging {
    /// Waits for the lock of the model in `dir` (a person is told), then clears what was left unfinished.
    ///
    /// Asks for the lock again and again instead of sleeping in the system call: a cancelled wait then leaves no
    /// thread behind that would hold up the end of the process.
    pub(super) async fn enter(dir: &Path, progress: &SharedProgress) -> Result<Arc<Self>> {
        let mut told = false;
        loop {
            if let Some(staging) = blocking(dir, |dir| Self::try_enter(&dir)).await? {
                return Ok(Arc::new(staging));
            }
            if !told {
                let line = format!("another process is fetching {}; waiting until it has finished", dir.display());
                progress.report(Report::Note(&line));
                told = true;
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    fn try_enter(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(LOCK);
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = open.map_err(ModelError::io("open the lock file", &path))?;
        match FileExt::try_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(ModelError::io("lock", &path)(error)),
        }
        let staging = Self { dir: dir.to_owned(), _lock: lock };
        staging.clear()?;
        Ok(Some(staging))
    }

    /// The model's folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder for what is unfinished; made on the first call.
    pub(super) fn unfinished(&self) -> Result<PathBuf> {
        let path = self.dir.join(UNFINISHED);
        std::fs::create_dir_all(&path).map_err(ModelError::io("make the folder", &path))?;
        Ok(path)
    }

    /// Whether so much fits on the disk: better known before a download than at its end.
    pub(super) fn require_space(&self, needed_bytes: u64) -> Result<()> {
        let asked = fs4::available_space(&self.dir);
        let available_bytes = asked.map_err(ModelError::io("ask for the free space of", &self.dir))?;
        if available_bytes < needed_bytes {
            return Err(ModelError::TooLittleSpace { dir: self.dir.clone(), needed_bytes, available_bytes });
        }
        Ok(())
    }

    /// Notes the hash of a file that was just received, so that nobody has to hash it again.
    pub(super) fn stamp(&self, path: &str, file: &Path, sha256: FileHash) {
        let mut stamp = Stamp::load(&self.dir);
        if let Ok(metadata) = std::fs::metadata(file) {
            stamp.put(path, &metadata, sha256);
            // A stamp that cannot be kept costs one more hash, no more.
            let _ = stamp.save(&self.dir);
        }
    }

    fn clear(&self) -> Result<()> {
        let path = self.dir.join(UNFINISHED);
        match std::fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!(path = %path.display(), "removed what an interrupted download had left"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // The pip of a killed process may still be writing there. Nothing relies on the folder being empty.
            Err(error) => tracing::debug!(path = %path.display(), %error, "what was left unfinished stays for now"),
        }
        for entry in std::fs::read_dir(&self.dir).map_err(ModelError::io("list", &self.dir))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(stamp::UNFINISHED) {
                // Only a leftover, or a stamp that another process is about to lose: it hashes once more.
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The lock goes with its file, after this. What cannot be removed now is removed by the next one who enters.
        let _ = std::fs::remove_dir_all(self.dir.join(UNFINISHED));
    }
}

/// Runs `work` off the async runtime's threads.
pub(super) async fn blocking<T, E>(
    path: &Path,
    work: impl FnOnce(PathBuf) -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<ModelError> + Send + 'static,
{
    let owned = path.to_owned();
    match tokio::task::spawn_blocking(move || work(owned)).await {
        Ok(result) => result,
        // The runtime is shutting down, or the work panicked, which is a bug that the panic has reported.
        Err(stopped) => Err(ModelError::io("finish the work on", path)(io::Error::other(stopped)).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::Silent;

    #[tokio::test]
    async fn the_lock_is_exclusive_and_clears_what_was_left() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(UNFINISHED)).unwrap();
        fs::write(dir.path().join(UNFINISHED).join("model.safetensors"), "half").unwrap();
        fs::write(dir.path().join(".verified-x1"), "half").unwrap();
        let first = Staging::enter(dir.path(), &Silent::shared()).await.unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        first.unfinished().unwrap();
        assert!(Staging::try_enter(dir.path()).unwrap().is_none());
        let thread_of_a_cancelled_pull = Arc::clone(&first);
        drop(first);
        assert!(Staging::try_enter(dir.path()).unwrap().is_none());
        drop(thread_of_a_cancelled_pull);
        assert!(Staging::try_enter(dir.path()).unwrap().is_some());
        assert!(!dir.path().join(UNFINISHED).exists());
    }
}
