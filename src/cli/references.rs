//! A reference set in memory with its vectors, for commands that measure it: from files, or the live version of a
//! store.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use semroute_decision::HeldOutVerdict;

use super::CommandError;
use super::building::BuildBar;
use super::progress::{Bar, Unit, note};
use crate::app::Embedding;
use crate::config::Config;
use crate::doctor::{Verdict, verdicts};
use crate::embed::{self, EmbedQueue};
use crate::index::{BuildWatch, VectorMatrix};
use crate::prompt::words_of;
use crate::publish::{BuildError, Draft, cross_examine, describe};
use crate::reference::{PromptEdit, Route, SetEdit, SetName, Snapshot, Store, StoreError, is_neighbour};
use crate::store::SqliteStore;

/// Vectors read from the store at a time.
const PAGE: u32 = 1_000;

/// Vectors that are wanted at once, for each thread that embeds.
const UNDER_WAY: usize = 16;

pub(super) struct References {
    pub(super) snapshot: Arc<Snapshot>,
    /// In the order of the snapshot's references.
    pub(super) vectors: Arc<VectorMatrix>,
    /// Of a set in files, what its fit said of the references.
    held_out: Option<Vec<HeldOutVerdict>>,
    queue: EmbedQueue,
}

impl References {
    /// Embeds and indexes; nothing is stored.
    pub(super) async fn built(
        edit: &SetEdit,
        routes: &[Route],
        prompts: &[PromptEdit],
        embedding: &Embedding,
        config: &Config,
    ) -> Result<Self, CommandError> {
        let dimension = embedding.files.manifest().dimension;
        let bar = Bar::new("Embedding the references", Unit::Items, Some(prompts.len() as u64));
        let mut draft = Draft::new(edit, routes, dimension);
        let mut vectors = VectorMatrix::with_capacity(prompts.len(), dimension);
        // Like lengths together: little padding in a batch.
        let mut order: Vec<&PromptEdit> = prompts.iter().collect();
        order.sort_by_key(|edit| edit.text.len());
        let texts = order.iter().map(|edit| embed(&embedding.queue, &edit.text));
        let mut embedded = stream::iter(texts).buffered(embedding.threads * UNDER_WAY);
        for (done, edit) in (1..).zip(&order) {
            let Some(vector) = embedded.try_next().await? else { break };
            draft.push(edit, &vector)?;
            if is_neighbour(&edit.route, edit.purpose) {
                vectors.push(&vector)?;
            }
            bar.set(done);
        }
        drop(embedded);
        bar.finish();
        let (model, index) = (embedding.files.fingerprint(), config.index.clone());
        let described = describe(&embedding.queue, draft.routes()).await?;
        note("Fitting the decision model");
        let finish = move || draft.finish_fitted(model, &index, described, &BuildWatch::default());
        let (snapshot, held_out) = blocking(finish).await?.map_err(BuildError::from)?;
        let queue = embedding.queue.clone();
        let vectors = Arc::new(vectors.finish());
        Ok(Self { snapshot: Arc::new(snapshot), vectors, held_out: Some(held_out), queue })
    }

    /// The live version of `set`, or of the default set.
    pub(super) async fn stored(
        set: Option<&str>,
        embedding: &Embedding,
        config: &Config,
    ) -> Result<Self, CommandError> {
        let set = SetName::new(set.unwrap_or(&config.default_set))?;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.store_path()).await?);
        let version = match store.get_set(&set).await {
            Ok(present) => present.published,
            Err(StoreError::UnknownSet { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let version = version.ok_or_else(|| CommandError::NotPublished(set.clone()))?;
        let builder = embedding.builder(config, Arc::clone(&store));
        let snapshot = builder.load(&set, version, &BuildBar::new(set.as_str())).await?;
        let vectors = stored_vectors(store.as_ref(), &snapshot, embedding.files.manifest().dimension).await?;
        Ok(Self { snapshot, vectors: Arc::new(vectors), held_out: None, queue: embedding.queue.clone() })
    }

    /// What the references say of each other.
    pub(super) async fn verdicts(&self) -> Result<Vec<Verdict>, CommandError> {
        let held_out = match &self.held_out {
            Some(held_out) => held_out.clone(),
            None => self.cross_examined().await?,
        };
        let (snapshot, vectors) = (Arc::clone(&self.snapshot), Arc::clone(&self.vectors));
        let bar = Bar::new("Asking the references about each other", Unit::Items, Some(vectors.rows() as u64));
        let shown = bar.clone();
        let found = blocking(move || verdicts(&snapshot, &vectors, &held_out, |done| shown.set(done))).await??;
        bar.set(found.len() as u64);
        bar.finish();
        Ok(found)
    }

    async fn cross_examined(&self) -> Result<Vec<HeldOutVerdict>, CommandError> {
        let described = describe(&self.queue, &self.snapshot.routes).await?;
        note("Fitting what the references say of each other");
        let (snapshot, vectors) = (Arc::clone(&self.snapshot), Arc::clone(&self.vectors));
        let examine = move || cross_examine(&snapshot, &vectors, described, &BuildWatch::default());
        Ok(blocking(examine).await?.map_err(BuildError::from)?)
    }
}

async fn embed(queue: &EmbedQueue, text: &str) -> Result<embed::Embedding, CommandError> {
    Ok(queue.embed_patiently(words_of(text)).await?.embedding)
}

/// The vectors of a version, in the order of its snapshot.
async fn stored_vectors(
    store: &dyn Store,
    snapshot: &Snapshot,
    dimension: usize,
) -> Result<VectorMatrix, CommandError> {
    let gone = || CommandError::from(BuildError::Superseded { set: snapshot.set.clone(), version: snapshot.version });
    let rows: HashMap<&str, usize> =
        snapshot.references.iter().enumerate().map(|(row, reference)| (reference.id.as_str(), row)).collect();
    let mut found: Vec<Option<embed::Embedding>> = vec![None; snapshot.references.len()];
    let mut after = None;
    loop {
        let page = store.version_prompts(&snapshot.set, snapshot.version, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for prompt in page.into_iter().filter(|prompt| is_neighbour(&prompt.route, prompt.purpose)) {
            let slot = rows.get(prompt.id.as_str()).and_then(|row| found.get_mut(*row)).ok_or_else(gone)?;
            *slot = Some(embed::Embedding::stored(prompt.embedding, dimension)?);
        }
    }
    let mut vectors = VectorMatrix::with_capacity(found.len(), dimension);
    for vector in found {
        vectors.push(&vector.ok_or_else(gone)?)?;
    }
    Ok(vectors.finish())
}

/// Runs work that computes for long on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| CommandError::Panicked(panic.to_string()))
}
