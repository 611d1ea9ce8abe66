//! The index of a version: the saved one, the one of the version before with what has changed, or a new one.

use std::sync::Arc;
use std::time::Duration;

use super::error::BuildError;
use super::indexes::{self, IndexFolder};
use super::load::{self, Rows, Texts};
use super::progress::BuildProgress;
use crate::index::{self, BuildWatch, FlatIndex, HnswIndex, IndexConfig, IndexKind, RowKey, Stopped};
use crate::reference::{SetVersion, Snapshot, Version};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Most by which recall@10 may fall for the sake of not building a graph.
const MAX_RECALL_DROP: f32 = 0.01;

/// What indexes are made with. Clone it freely.
#[derive(Debug, Clone)]
pub(super) struct Indexing {
    pub(super) config: IndexConfig,
    pub(super) folder: IndexFolder,
    pub(super) dimension: usize,
}

impl Indexing {
    /// Whether an index for such a version is ever saved.
    pub(super) fn is_saved(&self, version: &SetVersion) -> bool {
        self.config.kind_for(version.prompts as usize) == IndexKind::Hnsw
            && self.folder.path(&version.set, version.version).exists()
    }

    /// The snapshot of a version whose index was saved, if that is still the index of these texts. On the caller's
    /// thread.
    pub(super) fn restored(&self, texts: Texts, saved: index::Saved) -> Option<Snapshot> {
        let identity = indexes::identity(&texts.version, &indexes::keys(&texts.references));
        if saved.identity != identity {
            let (set, version) = (&texts.version.set, texts.version.version);
            tracing::warn!(%set, version, "the saved index was made of other prompts or for another model");
            return None;
        }
        let report = saved.index.report();
        Some(load::assemble(texts.version, texts.references, Box::new(saved.index), report))
    }

    /// Makes the index of a version and saves it, on the caller's thread: seconds to minutes for large sets. That of
    /// the version `before` is taken over if little has changed.
    pub(super) fn make(&self, rows: Rows, before: Option<Version>, watch: &BuildWatch) -> Result<Snapshot, Stopped> {
        if self.config.kind_for(rows.references.len()) == IndexKind::Flat {
            return load::index(rows, &self.config, watch);
        }
        let keys = indexes::keys(&rows.references);
        let renewed = before.and_then(|before| self.renewed(&rows, &keys, before));
        let (index, node_keys) = match renewed {
            Some(renewed) => renewed,
            None => {
                let index = HnswIndex::build(&rows.vectors, &self.config, watch)?;
                let index = index.measured(&FlatIndex::new(Arc::clone(&rows.vectors)));
                let node_keys = index.keys_of_nodes(&keys);
                (index, node_keys)
            }
        };
        self.folder.save(&rows.version, &index, &node_keys, &indexes::identity(&rows.version, &keys));
        let report = index.report();
        Ok(load::assemble(rows.version, rows.references, Box::new(index), report))
    }

    fn renewed(&self, rows: &Rows, keys: &[RowKey], before: Version) -> Option<(HnswIndex, Vec<RowKey>)> {
        let saved = self.folder.read(&rows.version.set, before, &self.config, self.dimension)?;
        let recall = saved.index.report().recall_at_10.unwrap_or(1.0);
        let (index, node_keys, renewed) = index::renew(saved.index, &saved.keys, keys, &rows.vectors)?;
        let index = index.measured(&FlatIndex::new(Arc::clone(&rows.vectors)));
        let fallen = recall - index.report().recall_at_10.unwrap_or(1.0);
        let (deleted, scanned) = (renewed.deleted, renewed.scanned);
        tracing::info!(set = %rows.version.set, before, deleted, scanned, fallen, "took over the graph");
        (fallen <= MAX_RECALL_DROP).then_some((index, node_keys))
    }
}

/// Runs `work` on a thread for work that blocks and tells how far it is. If this is dropped, `work` is asked to stop.
pub(super) async fn watched<T: Send + 'static>(
    work: impl FnOnce(&BuildWatch) -> Result<T, Stopped> + Send + 'static,
    progress: &dyn BuildProgress,
) -> Result<T, BuildError> {
    let watch = Arc::new(BuildWatch::default());
    let _stop = StopWhenDropped(Arc::clone(&watch));
    let working = Arc::clone(&watch);
    let mut work = tokio::task::spawn_blocking(move || work(&working));
    loop {
        tokio::select! {
            done = &mut work => return done.map_err(|_| BuildError::Stopped)?.map_err(BuildError::from),
            () = tokio::time::sleep(TELL_EVERY) => progress.indexed(watch.rows()),
        }
    }
}

struct StopWhenDropped(Arc<BuildWatch>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
#[path = "indexing_tests.rs"]
mod tests;
