//! The folder of the log: names of its files, and the lock that keeps a second process out.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};

use super::error::LogError;
use super::stamp::Stamp;

const LOCK: &str = "lock";

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPath {
    pub number: u64,
    /// That it was begun on: eight digits.
    pub day: String,
    pub path: PathBuf,
}

impl LogPath {
    pub(super) fn new(dir: &Path, number: u64, begun: Stamp) -> Self {
        let day = begun.day();
        let path = dir.join(format!("audit-{number:08}-{day}.jsonl"));
        Self { number, day, path }
    }

    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_prefix("audit-")?.strip_suffix(".jsonl")?;
        let (number, day) = name.split_once('-')?;
        let number = number.parse().ok()?;
        Some(Self { number, day: day.to_owned(), path })
    }

    /// Name of the file without its folder.
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// The files of the log in `dir`, oldest first. None if there is no such folder.
pub fn files(dir: &Path) -> io::Result<Vec<LogPath>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        files.extend(LogPath::of(entry?.path()));
    }
    files.sort_by(|a, b| (a.number, &a.day).cmp(&(b.number, &b.day)));
    Ok(files)
}

/// Held for as long as a process writes.
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    pub(super) fn take(dir: &Path) -> Result<Self, LogError> {
        let path = dir.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(LogError::io("open", &path))?;
        match FileExt::try_lock(&file) {
            Ok(()) => Ok(Self { file, path }),
            Err(TryLockError::WouldBlock) => Err(LogError::Locked(dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(LogError::io("lock", &path)(source)),
        }
    }

    /// Whether it still keeps others out: not if its file was removed.
    pub(super) fn is_there(&self) -> bool {
        is_named(&self.file, &self.path)
    }
}

/// Whether `path` still names the file that is open.
#[cfg(unix)]
pub(super) fn is_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    match (std::fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
pub(super) fn is_named(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Makes the names of new files last. Where folders cannot be opened there is nothing to do.
pub(super) fn sync_names(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
