//! Which files an encoder is made from, and how the vectors of a text's tokens become one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How the vectors of a text's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Their mean, padding left out.
    Mean,
    /// That of the first token, `[CLS]`.
    Cls,
}

impl Pooling {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
        }
    }
}

/// What turns the files of a model into an encoder.
#[derive(Debug, Clone)]
pub struct BertSource {
    pub config: PathBuf,
    pub weights: PathBuf,
    pub pooling: Pooling,
    /// Expected length of an embedding; `BadConfig` if the model's hidden size differs.
    pub dimension: usize,
    /// Tokens of the longest input; `BadConfig` if the model has fewer positions.
    pub max_tokens: usize,
}
