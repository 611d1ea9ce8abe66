//! The models folder: which models there are, and in what state.

use std::io;
use std::path::{Path, PathBuf};

use super::derive;
use super::error::{FileFault, ModelError, Result};
use super::files::{ModelFiles, paths_of};
use super::manifest::{MANIFEST, ModelManifest};
use super::progress::{SharedProgress, Silent};
use super::shape;
use super::validate::is_plain_name;
use super::verify::{Depth, FileReport, FileStatus, inspect};

/// A folder whose subfolders are models. Reads the disk on every call: a folder copied there is found at once.
#[derive(Debug, Clone)]
pub struct Registry {
    dir: PathBuf,
}

/// A model's folder with its manifest; its files may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub dir: PathBuf,
    pub manifest: ModelManifest,
}

/// A subfolder that is or means to be a model.
#[derive(Debug)]
pub struct Listing {
    pub name: String,
    pub dir: PathBuf,
    /// The error says why its manifest cannot be used; the other models are listed all the same.
    pub model: Result<Model>,
}

/// What a quick look (no hashing) says of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelState {
    /// All files are there and were hashed since they last changed.
    Verified,
    /// All files are there with the right size and shape; some were not hashed yet.
    Present,
    Missing(Vec<String>),
    Damaged(Vec<FileFault>),
}

impl Registry {
    pub fn new(models_dir: impl Into<PathBuf>) -> Self {
        Self { dir: models_dir.into() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All models by name. A folder that holds neither a manifest nor a model's files is passed over.
    ///
    /// Errors: the models folder cannot be read (one that does not exist holds no models).
    pub fn list(&self) -> Result<Vec<Listing>> {
        let mut listings = Vec::new();
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listings),
            Err(error) => return Err(ModelError::io("list", &self.dir)(error)),
        };
        for entry in entries {
            let dir = entry.map_err(ModelError::io("list", &self.dir))?.path();
            let Some(name) = dir.file_name().and_then(|name| name.to_str()).filter(|name| is_plain_name(name)) else {
                continue;
            };
            match load(&dir, name) {
                Err(ModelError::NotAModel { .. }) => {}
                model => listings.push(Listing { name: name.to_owned(), dir: dir.clone(), model }),
            }
        }
        listings.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listings)
    }

    /// The model called `name`.
    ///
    /// Errors: `Unknown` with the names that there are; `NotAModel`; whatever is wrong with its manifest.
    pub fn find(&self, name: &str) -> Result<Model> {
        let dir = self.dir.join(name);
        if is_plain_name(name) && dir.is_dir() {
            return load(&dir, name);
        }
        let known = self.list()?.into_iter().map(|listing| listing.name).collect();
        Err(ModelError::Unknown { name: name.to_owned(), dir: self.dir.clone(), known })
    }
}

fn load(dir: &Path, name: &str) -> Result<Model> {
    let path = dir.join(MANIFEST);
    let manifest = if path.is_file() { ModelManifest::read(&path)? } else { derive::manifest(dir, name)? };
    Ok(Model { dir: dir.to_owned(), manifest })
}

impl Model {
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// A quick look that hashes nothing.
    pub fn state(&self) -> Result<ModelState> {
        let reports = self.inspect(Depth::Sizes, &Silent::shared())?;
        let missing = paths_of(&reports, |status| matches!(status, FileStatus::Missing));
        if !missing.is_empty() {
            return Ok(ModelState::Missing(missing));
        }
        let mut faults = Vec::new();
        let mut unchecked = false;
        for report in reports {
            match report.status {
                FileStatus::Damaged(fault) => faults.push(fault),
                FileStatus::Unchecked { .. } => unchecked = true,
                FileStatus::Whole { .. } | FileStatus::Missing => {}
            }
        }
        if faults.is_empty() {
            faults = shape::faults(&self.dir, &self.manifest);
        }
        Ok(match (faults.is_empty(), unchecked) {
            (false, _) => ModelState::Damaged(faults),
            (true, true) => ModelState::Present,
            (true, false) => ModelState::Verified,
        })
    }

    /// Each file of the manifest as `depth` finds it. Blocks; `Depth::Full` reads every byte.
    pub fn inspect(&self, depth: Depth, progress: &SharedProgress) -> Result<Vec<FileReport>> {
        inspect(&self.dir, &self.manifest, depth, progress)
    }

    /// Checks the files and resolves them, without any network. Blocks: a first call hashes every file, a later one
    /// none. An async caller wants `spawn_blocking`, or [`pull`](super::pull), which fetches what is missing.
    ///
    /// Errors: `Missing`, `Damaged` with every path, a file that cannot be read.
    pub fn open(&self, progress: &SharedProgress) -> Result<ModelFiles> {
        ModelFiles::open(&self.dir, &self.manifest, progress)
    }

    /// What the files of `reports` amount to: the same as [`open`](Self::open), after one's own [`inspect`](Self::inspect)
    /// with a depth that hashes.
    pub fn resolve(&self, reports: &[FileReport]) -> Result<ModelFiles> {
        ModelFiles::of_reports(&self.dir, &self.manifest, reports)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::testing::TinyModel;

    #[test]
    fn models_are_listed_with_and_without_a_manifest_and_with_a_broken_one() {
        let model = TinyModel::new();
        let models = model.dir().parent().unwrap();
        for (name, file, text) in
            [("broken", "model.toml", "name = 3"), ("notes", "readme.txt", "x"), (".git", "x", "")]
        {
            fs::create_dir(models.join(name)).unwrap();
            fs::write(models.join(name).join(file), text).unwrap();
        }
        let registry = Registry::new(models);
        let found = registry.list().unwrap();
        assert_eq!(found.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["broken", "tiny"]);
        assert!(matches!(found[0].model, Err(ModelError::Syntax { .. })));
        let tiny = registry.find("tiny").unwrap();
        assert!(tiny.manifest.files.iter().all(|file| file.sha256.is_none()));

        model.write_manifest("");
        let tiny = registry.find("tiny").unwrap();
        assert!(tiny.manifest.files.iter().all(|file| file.sha256.is_some()));
        assert_eq!(tiny.state().unwrap(), ModelState::Present);
        tiny.open(&Silent::shared()).unwrap();
        assert_eq!(tiny.state().unwrap(), ModelState::Verified);
        model.rewrite("tokenizer.json", |bytes| bytes.push(0));
        assert!(matches!(tiny.state().unwrap(), ModelState::Damaged(_)));
        fs::remove_file(model.dir().join("tokenizer.json")).unwrap();
        assert_eq!(tiny.state().unwrap(), ModelState::Missing(vec!["tokenizer.json".into()]));
        let error = tiny.open(&Silent::shared()).unwrap_err().to_string();
        assert!(error.contains("lacks tokenizer.json") && error.contains("semroute model pull tiny"), "{error}");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let model = TinyModel::new();
        let registry = Registry::new(model.dir().parent().unwrap());
        for name in ["other", "../tiny", "", "tiny/1_Pooling"] {
            let error = registry.find(name).unwrap_err().to_string();
            assert!(error.contains("there are: tiny"), "{name}: {error}");
        }
        let nowhere = Registry::new(model.dir().join("nowhere"));
        assert!(nowhere.list().unwrap().is_empty());
        assert!(nowhere.find("x").unwrap_err().to_string().contains("there is none at all"));
    }
}
