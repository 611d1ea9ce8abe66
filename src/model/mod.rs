//! The embedding model as files: what it is made of, where it comes from, and whether what lies on the disk is it.
//!
//! A model is a folder under the models folder. Its `model.toml` (the manifest) names the dimension, the pooling, every
//! file with size and SHA-256, and the sources to try in order. A folder without a manifest that holds the usual files
//! of a BERT sentence encoder is a model too. Nothing here computes an embedding; `embed` reads the checked
//! [`ModelFiles`]. This module and `provider` are the only ones that use reqwest.

mod derive;
mod error;
mod fetch;
mod files;
mod hash;
mod manifest;
mod partial;
mod progress;
#[cfg(test)]
mod pull_tests;
mod registry;
mod shape;
mod source;
mod staging;
mod stamp;
#[cfg(test)]
pub(crate) mod testing;
mod validate;
mod verify;

pub use error::{Attempt, Fault, FileFault, ModelError, Result};
pub use fetch::{DEFAULT_HUB_ENDPOINT, PullOptions, pull};
pub use files::{CheckedFile, ModelFiles};
pub use hash::FileHash;
pub use manifest::{FileSpec, MANIFEST, ModelManifest, Pooling, SourceSpec};
pub use progress::{Progress, Report, SharedProgress, Silent};
pub use registry::{Listing, Model, ModelState, Registry};
pub use verify::{Depth, FileReport, FileStatus};
