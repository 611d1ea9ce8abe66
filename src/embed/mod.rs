//! From a text to its [`Embedding`]: tokeniser, model, and the queue and threads between them and the requests.
//!
//! Model work runs on threads of its own, never on a tokio worker. [`Embedder`] is the seam at which another engine
//! takes the place of candle's: token ids in, unit vectors out.

mod admission;
mod batch;
mod busy;
mod embedder;
mod embedding;
mod error;
mod excerpt;
mod load;
mod meter;
mod overrun;
mod pool;
mod priority;
mod queue;
mod ratio;
#[cfg(test)]
mod simulation;
mod slice;
mod spread;
mod stats;
mod tokenise;
mod tuning;
mod worker;

use std::time::Duration;

pub use batch::BatchLimits;
pub use embedder::{Embedder, Single};
pub use embedding::Embedding;
pub use error::EmbedError;
pub use queue::{EmbedQueue, EmbedWorkers, Pace, QueueConfig};
pub use spread::Spread;
pub use stats::QueueStats;
pub use tokenise::{TextTokeniser, Tokens};
pub use tuning::{Tuned, tune};

pub use semroute_encoder::{
    BertSource, CandleBert, Encoder, EncoderConfig, EncoderError, InstructionSet, Pooling, Precision,
};

/// An embedding and what it took.
#[derive(Debug, Clone)]
pub struct Embedded {
    pub embedding: Embedding,
    /// Tokens read, in one window or two, special tokens included.
    pub tokens: usize,
    /// Share of the text that was read, in [0, 1].
    pub seen: f32,
    /// Time in the queue.
    pub queued: Duration,
    /// Time of the forward pass of the batch that it was part of.
    pub computed: Duration,
}
