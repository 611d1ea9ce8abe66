//! What building a version found; kept with the version as JSON.

use serde::{Deserialize, Serialize};

use crate::index::IndexKind;
use crate::reference::{RouteName, Version};

/// Most relabelled texts that are listed by name.
pub const MAX_RELABELLED_SHOWN: usize = 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildReport {
    pub version: Version,
    pub prompts: u64,
    pub routes: u64,
    /// Texts embedded for this version; the others had an embedding already.
    pub embedded: u64,
    pub index: IndexKind,
    /// Share of the true ten nearest that HNSW finds; `None` for a flat index.
    pub recall_at_10: Option<f32>,
    /// Share of sampled prompts whose own route wins the vote of the other prompts.
    pub agreement: Option<f32>,
    /// The same, of the version that was live before.
    pub previous_agreement: Option<f32>,
    /// Texts that stand in both versions with different routes.
    pub relabelled: u64,
    /// The first [`MAX_RELABELLED_SHOWN`] of them.
    pub relabelled_examples: Vec<Relabelled>,
    /// Seconds spent embedding, building and measuring the index, and in all.
    pub embed_seconds: f64,
    pub index_seconds: f64,
    pub total_seconds: f64,
}

/// A text whose route changed between two versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relabelled {
    pub text: String,
    pub before: RouteName,
    pub after: RouteName,
}
