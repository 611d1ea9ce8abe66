//! Embeddings for the texts of a version that have none yet.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::error::BuildError;
use super::super::progress::BuildProgress;
use super::Builder;
use crate::prompt::words_of;
use crate::reference::{SetVersion, TextHash};

/// Texts embedded between two saves: what a kill can cost.
const SAVE_EVERY: usize = 64;

/// Texts that are sorted by length before they are embedded.
const LOOK_AHEAD: u32 = 1_024;

/// Texts on their way through the embedding queue at once.
const IN_FLIGHT: usize = 32;

impl Builder {
    /// Embeds and saves in small steps; returns how many texts it took.
    pub(super) async fn embed_missing(
        &self,
        version: &SetVersion,
        progress: &dyn BuildProgress,
    ) -> Result<u64, BuildError> {
        let (set, number) = (&version.set, version.version);
        let missing = self.store.count_missing_embeddings(set, number).await?;
        progress.to_embed(missing, version.prompts);
        let mut embedded = 0;
        loop {
            let mut texts = self.store.missing_embeddings(set, number, LOOK_AHEAD).await?;
            if texts.is_empty() {
                return Ok(embedded);
            }
            // Texts of like length together: a batch then holds little padding.
            texts.sort_by_key(|(_, text)| text.len());
            for texts in texts.chunks(SAVE_EVERY) {
                let vectors = self.embed(texts).await?;
                self.store.put_embeddings(&self.model, &vectors).await?;
                embedded += vectors.len() as u64;
                progress.embedded(vectors.len() as u64);
            }
        }
    }

    async fn embed(&self, texts: &[(TextHash, String)]) -> Result<Vec<(TextHash, Vec<f32>)>, BuildError> {
        stream::iter(texts.to_vec())
            .map(|(hash, text)| async move {
                let embedded = self.queue.embed_patiently(words_of(&text)).await;
                let embedded = embedded.map_err(|source| BuildError::Embed { text_hash: hash.to_string(), source })?;
                Ok((hash, embedded.embedding.as_slice().to_vec()))
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect()
            .await
    }
}
