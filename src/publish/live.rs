//! Keeps the snapshots that are served equal to the versions that are published, whoever publishes them: this
//! server, another one on the same store, or the reindex job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::builder::Builder;
use super::error::BuildError;
use super::progress::Counters;
use crate::reach::Reach;
use crate::reference::{SetName, Snapshot, SnapshotCell, Store, StoreError, Version};
use crate::telemetry::chain;

/// How often the store is asked what is published: a change is live in this time and what loading it takes.
const POLL: Duration = Duration::from_millis(500);

/// Clone it freely.
#[derive(Clone)]
pub struct LiveSets {
    store: Arc<dyn Store>,
    builder: Builder,
    cell: SnapshotCell,
    problems: Arc<Mutex<BTreeMap<SetName, Problem>>>,
}

/// Why a published version is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub version: Version,
    pub what: String,
}

impl LiveSets {
    pub fn new(store: Arc<dyn Store>, builder: Builder, cell: SnapshotCell) -> Self {
        Self { store, builder, cell, problems: Arc::default() }
    }

    pub fn snapshots(&self) -> &SnapshotCell {
        &self.cell
    }

    /// Serves a snapshot from now on.
    pub fn serve(&self, snapshot: Arc<Snapshot>) {
        self.lock().remove(&snapshot.set);
        self.cell.publish(snapshot);
    }

    /// Notes why a published version is not served; what was served of the set before stays.
    pub(super) fn cannot_serve(&self, set: &SetName, version: Version, what: &str) {
        tracing::error!(set = %set, version, what, "the published version cannot be served");
        self.lock().insert(set.clone(), Problem { version, what: what.to_owned() });
    }

    /// Why the published version of a set is not served, if that is so.
    pub fn problem(&self, set: &str) -> Option<Problem> {
        self.lock().get(set).cloned()
    }

    /// Sets whose published version cannot be served, with the reason.
    pub fn problems(&self) -> Vec<(SetName, Problem)> {
        self.lock().iter().map(|(set, problem)| (set.clone(), problem.clone())).collect()
    }

    /// Brings the snapshots up to date once. An error of the store is returned; that of a single set is kept in
    /// [`LiveSets::problems`], and what was served of it before stays.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        // Looked at before the store is asked: what comes to be served meanwhile is newer than the store's answer.
        let served: BTreeMap<SetName, Arc<Snapshot>> =
            self.cell.all().into_iter().map(|snapshot| (snapshot.set.clone(), snapshot)).collect();
        let published = self.store.published_versions().await?;
        let names: BTreeSet<&SetName> = published.iter().map(|(set, _)| set).collect();
        for (_, snapshot) in served.iter().filter(|(set, _)| !names.contains(set)) {
            self.cell.withdraw(snapshot);
            self.builder.forget(&snapshot.set);
        }
        self.lock().retain(|set, _| names.contains(set));
        for (set, version) in &published {
            self.refresh_set(set, *version, served.get(set)).await?;
        }
        Ok(())
    }

    /// Refreshes until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        let reach = Reach::new(
            "the store cannot be followed; what is loaded stays in service",
            "the store can be reached again",
        );
        reach.follow(POLL, stop, || self.refresh()).await;
    }

    async fn refresh_set(
        &self,
        set: &SetName,
        version: Version,
        served: Option<&Arc<Snapshot>>,
    ) -> Result<(), StoreError> {
        if served.is_some_and(|snapshot| snapshot.version == version) {
            // Perhaps again, after another version could not be.
            self.lock().remove(set);
            return Ok(());
        }
        if self.lock().get(set).is_some_and(|problem| problem.version == version) {
            return Ok(());
        }
        match self.builder.load(set, version, &Counters::default()).await {
            Ok(snapshot) => {
                tracing::info!(set = %set, version, prompts = snapshot.references.len(), "version is live");
                self.lock().remove(set);
                self.cell.replace(served, &snapshot);
            }
            // Replaced while it was being read: the next round sees what took its place.
            Err(BuildError::Store(StoreError::UnknownVersion { .. } | StoreError::UnknownSet { .. })) => {}
            Err(BuildError::Store(error @ StoreError::Unavailable { .. })) => return Err(error),
            Err(error) => {
                self.cannot_serve(set, version, &chain(&error));
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SetName, Problem>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
