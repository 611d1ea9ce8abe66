//! What can be wrong with a model's files, or with token ids.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    #[error("token id {id} is out of range, the vocabulary has {vocabulary} entries")]
    TokenOutOfRange { id: u32, vocabulary: usize },
    #[error("there are no tokens to embed")]
    NoTokens,
    #[error("{tokens} tokens, the model has positions for {most}")]
    TooManyTokens { tokens: usize, most: usize },
    #[error("the model's forward pass failed")]
    Forward(#[source] candle_core::Error),
    #[error("a thread that helps with single prompts could not be started")]
    Helper(#[source] std::io::Error),
    #[error("{path} could not be read")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is not the configuration of a BERT encoder: {what}")]
    BadConfig { path: PathBuf, what: String },
    #[error("{path} does not hold the weights that its config.json describes")]
    BadWeights {
        path: PathBuf,
        #[source]
        source: candle_core::Error,
    },
    #[error("{path}: value {at} of tensor {tensor} is {value}")]
    WeightNotFinite { path: PathBuf, tensor: String, at: usize, value: f32 },
}
