//! What can go wrong between a text and its embedding.

use std::path::PathBuf;
use std::time::Duration;

use semroute_encoder::EncoderError;

#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    #[error("the embedding queue is full ({capacity} prompts are waiting)")]
    QueueFull { capacity: usize, retry_after: Duration },
    #[error("the prompt cannot be embedded in time: at the present load that takes {needed:.1?}, {left:.1?} are left")]
    WouldExpire { needed: Duration, left: Duration, retry_after: Duration },
    #[error("the prompt would wait {wait:.1?} to be embedded, at most {most:.1?} are allowed")]
    WaitTooLong { wait: Duration, most: Duration, retry_after: Duration },
    #[error("the deadline passed before the prompt was embedded")]
    DeadlineExceeded,
    #[error("the embedding workers have stopped")]
    Stopped,
    #[error("component {component} of the embedding is NaN or infinite")]
    NotFinite { component: usize },
    #[error("the embedding has norm 0")]
    ZeroNorm,
    #[error("the vector has norm {norm}, expected 1")]
    NotUnitNorm { norm: f32 },
    #[error("the vector has dimension {found}, expected {expected}")]
    WrongDimension { expected: usize, found: usize },
    #[error("the model gave {found} embeddings for {expected} texts")]
    WrongCount { expected: usize, found: usize },
    #[error("the text could not be tokenised")]
    Tokenise(#[source] tokenizers::Error),
    /// What the panic said is left out: it may quote the prompt.
    #[error("{step} panicked")]
    Panicked { step: &'static str },
    #[error("{path} is not a valid tokenizer")]
    BadTokenizer {
        path: PathBuf,
        #[source]
        source: tokenizers::Error,
    },
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    #[error("an embedding thread could not be started")]
    Spawn(#[source] std::io::Error),
}
