//! The seam between the queue and what computes: token ids in, unit vectors out.

use semroute_encoder::{CandleBert, Encoder};

use super::embedding::Embedding;
use super::error::EmbedError;

/// Runs a model. Owned by one thread.
pub trait Embedder: Send {
    /// One unit vector for each row of token ids. A row is never empty and never longer than the model's maximum.
    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Embedding>, EmbedError>;

    /// One row while nothing else is to be done: it may be spread over the cores of the other workers.
    fn embed_single(&mut self, row: &[u32]) -> Result<Single, EmbedError> {
        let mut embeddings = self.embed(&[row])?;
        let found = embeddings.len();
        let embedding = embeddings.pop().ok_or(EmbedError::WrongCount { expected: 1, found })?;
        Ok(Single { embedding, spread: false })
    }
}

/// What became of a single row.
#[derive(Debug)]
pub struct Single {
    pub embedding: Embedding,
    /// Other cores helped: its time does not tell what a token costs one of them.
    pub spread: bool,
}

impl Embedder for Encoder {
    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Embedding>, EmbedError> {
        self.encode(batch)?.into_iter().map(Embedding::normalised).collect()
    }
}

impl Embedder for CandleBert {
    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Embedding>, EmbedError> {
        self.encode(batch)?.into_iter().map(Embedding::normalised).collect()
    }
}
