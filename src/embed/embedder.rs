//! The seam between the queue and what computes: token ids in, unit vectors out.

use semroute_encoder::{CandleBert, Encoder};

use super::embedding::Embedding;
use super::error::EmbedError;

/// Runs a model. Owned by one thread.
pub trait Embedder: Send {
    /// One unit vector for each row of token ids. A row is never empty and never longer than the model's maximum.
    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Embedding>, EmbedError>;

    /// Whether [`Self::embed_together`] is faster for one row of so many tokens.
    fn spreads(&self, _tokens: usize) -> bool {
        false
    }

    /// One row, on the cores of the other workers too, which are idle at the moment.
    fn embed_together(&mut self, row: &[u32]) -> Result<Embedding, EmbedError> {
        let mut embeddings = self.embed(&[row])?;
        let found = embeddings.len();
        embeddings.pop().ok_or(EmbedError::WrongCount { expected: 1, found })
    }
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
