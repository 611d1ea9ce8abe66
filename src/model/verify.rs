//! Whether a model's files are those of its manifest: by size, by hash, or by a hash that was made before (the stamp).

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use super::error::{FileFault, ModelError, Result};
use super::hash::FileHash;
use super::manifest::{FileSpec, ModelManifest};
use super::progress::{SharedProgress, Work};
use super::stamp::Stamp;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Sizes, and the hashes that are known already: reads no file, takes microseconds.
    Sizes,
    /// Hashes what has changed since it was last hashed.
    Stamped,
    /// Hashes everything (90 MB take about a tenth of a second where the CPU has SHA instructions).
    Full,
}

/// One file of a manifest, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    pub path: String,
    pub status: FileStatus,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileStatus {
    /// Size and hash are known, and those of the manifest where it names them.
    Whole {
        size: u64,
        sha256: FileHash,
    },
    /// The size fits; nobody has hashed the file since it changed.
    Unchecked {
        size: u64,
    },
    Missing,
    Damaged(FileFault),
}

/// Looks at every file of `manifest` in `dir` and stamps what it hashed. Blocks; `Full` reads every byte.
///
/// Errors: a file or folder that cannot be read. What is missing or damaged is no error but a status.
pub(super) fn inspect(
    dir: &Path,
    manifest: &ModelManifest,
    depth: Depth,
    progress: &SharedProgress,
) -> Result<Vec<FileReport>> {
    let known = Stamp::load(dir);
    let mut stamp = known.clone();
    let mut reports = Vec::with_capacity(manifest.files.len());
    for spec in &manifest.files {
        let status = inspect_file(dir, spec, depth, &mut stamp, progress)?;
        reports.push(FileReport { path: spec.path.clone(), status });
    }
    if stamp != known
        && let Err(error) = stamp.save(dir)
    {
        tracing::debug!(dir = %dir.display(), %error, "the stamp of a verified model cannot be kept");
    }
    Ok(reports)
}

fn inspect_file(
    dir: &Path,
    spec: &FileSpec,
    depth: Depth,
    stamp: &mut Stamp,
    progress: &SharedProgress,
) -> Result<FileStatus> {
    let path = spec.within(dir);
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(FileStatus::Missing);
        }
        Err(error) => return Err(ModelError::io("read", &path)(error)),
    };
    let size = metadata.len();
    let damaged =
        |expected: String, found: String| FileStatus::Damaged(FileFault { path: path.clone(), expected, found });
    if !metadata.is_file() {
        return Ok(damaged("a file".into(), "something else".into()));
    }
    if let Some(expected) = spec.size.filter(|expected| *expected != size) {
        return Ok(damaged(format!("{expected} bytes"), format!("{size} bytes")));
    }
    let stamped = stamp.hash(&spec.path, &metadata);
    let sha256 = match (depth, stamped) {
        (Depth::Sizes | Depth::Stamped, Some(sha256)) => sha256,
        (Depth::Sizes, None) => return Ok(FileStatus::Unchecked { size }),
        (Depth::Stamped, None) | (Depth::Full, _) => hash_file(&path, spec, &metadata, stamp, progress)?,
    };
    match spec.sha256.filter(|expected| *expected != sha256) {
        Some(expected) => Ok(damaged(format!("sha256 {expected}"), format!("sha256 {sha256}"))),
        None => Ok(FileStatus::Whole { size, sha256 }),
    }
}

fn hash_file(
    path: &Path,
    spec: &FileSpec,
    before: &Metadata,
    stamp: &mut Stamp,
    progress: &SharedProgress,
) -> Result<FileHash> {
    let mut work = Work::begin(progress, &format!("verifying {}", spec.path), Some(before.len()));
    let file = File::open(path).map_err(ModelError::io("open", path))?;
    let (sha256, read) = FileHash::of_reader(&file, |bytes| work.add(bytes)).map_err(ModelError::io("read", path))?;
    // A file that changed while it was read gets no stamp for bytes that it no longer has.
    let after = file.metadata().map_err(ModelError::io("read", path))?;
    if read == before.len() && after.len() == read && after.modified().ok() == before.modified().ok() {
        stamp.put(&spec.path, &after, sha256);
    }
    Ok(sha256)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::testing::{Recorder, TinyModel};

    fn statuses(model: &TinyModel, depth: Depth, progress: &SharedProgress) -> Vec<FileStatus> {
        inspect(model.dir(), &model.manifest(), depth, progress).unwrap().into_iter().map(|file| file.status).collect()
    }

    #[test]
    fn a_second_look_hashes_nothing_until_a_file_changes() {
        let model = TinyModel::new();
        let recorder = Recorder::shared();
        let progress: SharedProgress = recorder.clone();
        assert!(statuses(&model, Depth::Sizes, &progress).iter().all(|s| matches!(s, FileStatus::Unchecked { .. })));
        assert!(statuses(&model, Depth::Stamped, &progress).iter().all(|s| matches!(s, FileStatus::Whole { .. })));
        assert_eq!(recorder.count("verifying"), 4);
        assert!(statuses(&model, Depth::Sizes, &progress).iter().all(|s| matches!(s, FileStatus::Whole { .. })));
        statuses(&model, Depth::Stamped, &progress);
        assert_eq!(recorder.count("verifying"), 4);
        statuses(&model, Depth::Full, &progress);
        assert_eq!(recorder.count("verifying"), 8);

        model.rewrite("tokenizer.json", |bytes| bytes[0] ^= 1);
        let found = statuses(&model, Depth::Stamped, &progress);
        assert!(matches!(&found[1], FileStatus::Damaged(fault) if fault.found.starts_with("sha256")), "{found:?}");
        assert_eq!(recorder.count("verifying"), 9);
    }

    #[test]
    fn missing_truncated_and_changed_files_are_named() {
        let model = TinyModel::new();
        fs::remove_file(model.dir().join("config.json")).unwrap();
        model.rewrite("tokenizer.json", |bytes| bytes.truncate(3));
        model.rewrite("model.safetensors", |bytes| *bytes.last_mut().unwrap() ^= 1);
        let found = statuses(&model, Depth::Full, &crate::model::Silent::shared());
        assert_eq!(found[0], FileStatus::Missing);
        let text = |status: &FileStatus| match status {
            FileStatus::Damaged(fault) => fault.to_string(),
            other => panic!("{other:?}"),
        };
        let truncated = text(&found[1]);
        assert!(truncated.contains("tokenizer.json: expected ") && truncated.ends_with("found 3 bytes"), "{truncated}");
        assert!(text(&found[2]).contains("model.safetensors: expected sha256 "), "{}", text(&found[2]));
    }

    #[test]
    fn a_damaged_stamp_or_a_folder_that_cannot_keep_one_costs_only_time() {
        let model = TinyModel::new();
        fs::write(model.dir().join(".verified"), "{").unwrap();
        let silent = crate::model::Silent::shared();
        assert!(statuses(&model, Depth::Stamped, &silent).iter().all(|s| matches!(s, FileStatus::Whole { .. })));
        fs::remove_file(model.dir().join(".verified")).unwrap();
        fs::create_dir_all(model.dir().join(".verified/x")).unwrap();
        assert!(statuses(&model, Depth::Stamped, &silent).iter().all(|s| matches!(s, FileStatus::Whole { .. })));
    }
}
