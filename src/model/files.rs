//! The files of a model after every check: what `embed` loads, and the fingerprint of the vectors it will make.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::{ModelError, Result};
use super::hash::FileHash;
use super::manifest::{CONFIG, ModelManifest, TOKENIZER, WEIGHTS};
use super::progress::SharedProgress;
use super::shape;
use super::verify::{Depth, FileReport, FileStatus, inspect};
use crate::reference::Fingerprint;

/// Bump it when the way from text to vector changes in this crate: stored vectors are then made anew.
const FORMAT: &str = "semroute-embedding-2";
/// 64 bits of the hash: enough to tell a handful of models apart, short enough to read out.
const FINGERPRINT_DIGITS: usize = 16;

/// A file that was found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedFile {
    pub path: PathBuf,
    pub sha256: FileHash,
}

/// A model whose files all exist, have the manifest's size and hash, and are a BERT encoder of its dimension.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    manifest: ModelManifest,
    dir: PathBuf,
    config: CheckedFile,
    tokenizer: CheckedFile,
    weights: CheckedFile,
}

impl ModelFiles {
    /// Checks the files in `dir`, hashing what has changed since it was last hashed. Blocks.
    pub(super) fn open(dir: &Path, manifest: &ModelManifest, progress: &SharedProgress) -> Result<Self> {
        let reports = inspect(dir, manifest, Depth::Stamped, progress)?;
        Self::of_reports(dir, manifest, &reports)
    }

    /// Errors: `Missing` before `Damaged`, each with all files at once.
    pub(super) fn of_reports(dir: &Path, manifest: &ModelManifest, reports: &[FileReport]) -> Result<Self> {
        let name = manifest.name.clone();
        let missing = paths_of(reports, |status| matches!(status, FileStatus::Missing));
        if !missing.is_empty() {
            return Err(ModelError::Missing { name, dir: dir.to_owned(), files: missing });
        }
        let mut faults: Vec<_> = reports
            .iter()
            .filter_map(|report| match &report.status {
                FileStatus::Damaged(fault) => Some(fault.clone()),
                FileStatus::Whole { .. } | FileStatus::Unchecked { .. } | FileStatus::Missing => None,
            })
            .collect();
        if faults.is_empty() {
            faults = shape::faults(dir, manifest);
        }
        if !faults.is_empty() {
            return Err(ModelError::Damaged { name, faults });
        }
        let checked = |path: &str| {
            let sha256 = reports.iter().find_map(|report| match report.status {
                FileStatus::Whole { sha256, .. } if report.path == path => Some(sha256),
                _ => None,
            });
            let sha256 = sha256.ok_or_else(|| {
                let (name, files) = (name.clone(), vec![path.to_owned()]);
                ModelError::Missing { name, dir: dir.to_owned(), files }
            })?;
            Ok(CheckedFile { path: dir.join(path), sha256 })
        };
        Ok(Self {
            manifest: manifest.clone(),
            dir: dir.to_owned(),
            config: checked(CONFIG)?,
            tokenizer: checked(TOKENIZER)?,
            weights: checked(WEIGHTS)?,
        })
    }

    pub fn manifest(&self) -> &ModelManifest {
        &self.manifest
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `config.json`.
    pub fn config(&self) -> &CheckedFile {
        &self.config
    }

    /// `tokenizer.json`.
    pub fn tokenizer(&self) -> &CheckedFile {
        &self.tokenizer
    }

    /// `model.safetensors`.
    pub fn weights(&self) -> &CheckedFile {
        &self.weights
    }

    /// 16 hex digits of a hash over all that the vectors depend on: weights, tokenizer, configuration, pooling,
    /// normalisation, longest input, dimension and this crate's own way to do it. The model's name and place are not part of it.
    pub fn fingerprint(&self) -> Fingerprint {
        let manifest = &self.manifest;
        let text = format!(
            "{FORMAT}\nweights {}\ntokenizer {}\nconfig {}\npooling {}\nnormalise {}\nmax_tokens {}\ndimension {}\n",
            self.weights.sha256,
            self.tokenizer.sha256,
            self.config.sha256,
            manifest.pooling.as_str(),
            manifest.normalise,
            manifest.max_tokens,
            manifest.dimension,
        );
        let mut hasher = Sha256::new();
        hasher.update(text.as_bytes());
        let digits = FileHash::finish(hasher).to_string();
        Fingerprint(digits.chars().take(FINGERPRINT_DIGITS).collect())
    }
}

/// Paths of the files whose status is one of those that `wanted` picks.
pub(super) fn paths_of(reports: &[FileReport], wanted: impl Fn(&FileStatus) -> bool) -> Vec<String> {
    reports.iter().filter(|report| wanted(&report.status)).map(|report| report.path.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Silent;
    use crate::model::testing::TinyModel;

    #[test]
    fn the_fingerprint_changes_with_all_that_changes_the_vectors_and_with_nothing_else() {
        let model = TinyModel::new();
        let open = |manifest: &ModelManifest| {
            ModelFiles::open(model.dir(), manifest, &Silent::shared()).unwrap().fingerprint()
        };
        let plain = model.manifest();
        let first = open(&plain);
        assert_eq!(first.0.len(), 16);
        let renamed = ModelManifest { name: "x".into(), description: "y".into(), ..plain.clone() };
        assert_eq!(open(&renamed), first);
        let mut without_hashes = plain.clone();
        without_hashes.files.iter_mut().for_each(|file| (file.size, file.sha256) = (None, None));
        assert_eq!(open(&without_hashes), first);
        assert_ne!(open(&ModelManifest { max_tokens: 12, ..plain.clone() }), first);
        assert_ne!(open(&ModelManifest { normalise: false, ..plain.clone() }), first);
        model.rewrite("tokenizer.json", |bytes| bytes.push(b'\n'));
        assert_ne!(open(&without_hashes), first);
    }
}
