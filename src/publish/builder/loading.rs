//! A version that was built before, as it is served.

use std::sync::Arc;

use super::super::error::BuildError;
use super::super::indexing::{Indexing, watched};
use super::super::progress::BuildProgress;
use super::super::{fitting, load};
use super::{Builder, Indexed, Start};
use crate::reference::{SetName, SetVersion, Snapshot, Version};

impl Builder {
    /// Loads a version that was built before, with its saved index if there is one.
    pub async fn load(
        &self,
        set: &SetName,
        version: Version,
        progress: &dyn BuildProgress,
    ) -> Result<Arc<Snapshot>, BuildError> {
        let version = self.store.get_version(set, version).await?;
        let stored = self.store.decision_model(set, version.version).await?;
        let rule = stored.and_then(|bytes| fitting::restored(&version, &bytes, self.indexing.dimension));
        let Some(rule) = rule else { return self.load_and_fit(version, progress).await };
        let snapshot = match self.restore(&version).await? {
            Some(snapshot) => snapshot,
            None => {
                progress.indexing(version.prompts);
                let rows = load::read(self.store.as_ref(), version, &self.model, self.indexing.dimension).await?;
                let indexing = self.indexing.clone();
                watched(move |watch| indexing.make(rows, None, watch), progress).await?
            }
        };
        Ok(Arc::new(Snapshot { rule, ..snapshot }))
    }

    /// A version without a decision model that this release reads is given one, which is kept for all who serve it.
    async fn load_and_fit(
        &self,
        version: SetVersion,
        progress: &dyn BuildProgress,
    ) -> Result<Arc<Snapshot>, BuildError> {
        let restored = self.restore(&version).await?;
        if restored.is_none() {
            progress.indexing(version.prompts);
        }
        let name = version.set.clone();
        let Indexed { snapshot, fit, .. } =
            self.index(version, Start { restored, ..Start::default() }, progress).await?;
        let kept = self.store.put_decision_model(&name, snapshot.version, &fit.bytes).await;
        if let Err(error) = kept {
            tracing::warn!(set = %name, %error, "the decision model that was fitted could not be kept");
        }
        Ok(Arc::new(snapshot))
    }

    /// With the index that was saved, which has the vectors: the store is asked for texts only, and at the same time.
    async fn restore(&self, version: &SetVersion) -> Result<Option<Snapshot>, BuildError> {
        if !self.indexing.is_saved(version) {
            return Ok(None);
        }
        let Indexing { config, folder, dimension } = self.indexing.clone();
        let (set, number) = (version.set.clone(), version.version);
        let (saved, texts) = tokio::join!(
            on_blocking_thread(move || folder.read(&set, number, &config, dimension)),
            load::read_texts(self.store.as_ref(), version.clone(), &self.model),
        );
        let (Some(saved), texts) = (saved?, texts?) else { return Ok(None) };
        let indexing = self.indexing.clone();
        on_blocking_thread(move || indexing.restored(texts, saved)).await
    }
}

async fn on_blocking_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BuildError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| BuildError::Stopped)
}
