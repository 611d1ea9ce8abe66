//! From a set's draft to a live version: freeze, embed what has no embedding, index, check, publish.
//!
//! Every step can be killed: frozen prompts and embeddings are saved as they come, the next build takes up where
//! this one stopped, and until the last step the version before stays live.

mod embedding;
mod loading;
mod refusal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use semroute_decision::FitConfig;

use self::refusal::{expect_default_route, expect_revision, refuse_if_worse};
use super::error::BuildError;
use super::fitting::{self, Fit, FitInput, Previous};
use super::indexes::IndexFolder;
use super::indexing::{Indexing, watched};
use super::progress::BuildProgress;
use super::report::{BuildReport, FitSummary};
use super::{check, load, sealed};
use crate::embed::EmbedQueue;
use crate::index::{BuildWatch, IndexConfig};
use crate::reference::{
    Fingerprint, ReferenceSet, Revision, RouteName, SetName, SetVersion, Snapshot, Store, StoreError, Version,
};

/// Versions kept beside the live one and the one before.
const KEEP_VERSIONS: u32 = 3;

/// What is asked of a build.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// Embed every text anew. Builds even if nothing changed.
    pub all: bool,
    /// Build even if nothing changed.
    pub rebuild: bool,
    /// Build only this revision of the draft.
    pub expected_revision: Option<Revision>,
    /// Refuse to publish an index whose recall@10 is lower.
    pub min_recall: Option<f32>,
    /// Refuse to publish if the agreement falls by more than this.
    pub max_agreement_drop: Option<f32>,
}

/// A version that went live.
#[derive(Debug, Clone)]
pub struct Built {
    pub set: ReferenceSet,
    pub snapshot: Arc<Snapshot>,
    pub report: BuildReport,
    /// False if nothing had changed since the live version, which is what the other fields then describe.
    pub changed: bool,
}

/// Clone it freely.
#[derive(Clone)]
pub struct Builder {
    store: Arc<dyn Store>,
    queue: EmbedQueue,
    model: Fingerprint,
    indexing: Indexing,
}

impl Builder {
    pub fn new(
        store: Arc<dyn Store>,
        queue: EmbedQueue,
        model: Fingerprint,
        dimension: usize,
        index: IndexConfig,
        folder: IndexFolder,
    ) -> Self {
        Self { store, queue, model, indexing: Indexing { config: index, folder, dimension } }
    }

    /// Builds the draft of `set` and makes it live in the store (not yet in any snapshot cell).
    pub async fn build(
        &self,
        set: &SetName,
        request: &BuildRequest,
        progress: &dyn BuildProgress,
    ) -> Result<Built, BuildError> {
        let begun = Instant::now();
        let before = self.store.get_set(set).await?;
        expect_revision(set, request.expected_revision, before.revision)?;
        if before.prompts == 0 {
            return Err(BuildError::EmptySet { set: set.clone() });
        }
        let live = match before.published {
            Some(version) => Some(self.store.get_version(set, version).await?),
            None => None,
        };
        if let Some(live) =
            live.as_ref().filter(|live| !request.all && !request.rebuild && self.is_current(live, before.revision))
        {
            return self.unchanged(before.clone(), live.clone(), progress).await;
        }

        let version = self.store.freeze(set, &self.model, request.all).await?;
        expect_revision(set, request.expected_revision, version.draft_revision)?;
        expect_default_route(&version)?;
        let number = version.version;
        self.finish(version, live, request, progress, begun).await.map_err(|error| match error {
            // Freezing another draft or for another model removes what is unfinished.
            BuildError::Store(StoreError::UnknownVersion { version, .. }) if version == number => {
                BuildError::Superseded { set: set.clone(), version }
            }
            error => error,
        })
    }

    /// From a frozen version to a live one.
    async fn finish(
        &self,
        version: SetVersion,
        live: Option<SetVersion>,
        request: &BuildRequest,
        progress: &dyn BuildProgress,
        begun: Instant,
    ) -> Result<Built, BuildError> {
        let embedded = self.embed_missing(&version, progress).await?;
        let embed_seconds = begun.elapsed().as_secs_f64();

        progress.indexing(version.prompts);
        let indexing = Instant::now();
        // Whoever asks for everything anew does not get an old graph.
        let before = live.as_ref().filter(|_| !request.all && !request.rebuild).map(|live| live.version);
        let previous = match live.as_ref().filter(|_| before.is_some()) {
            Some(live) => self.previous(live, &version).await?,
            None => None,
        };
        let start = Start { restored: None, before, previous };
        let Indexed { snapshot, agreement, fit } = self.index(version.clone(), start, progress).await?;
        let index_seconds = indexing.elapsed().as_secs_f64();
        let (relabelled, relabelled_examples) = match &live {
            Some(live) => check::relabelled(self.store.as_ref(), live, &snapshot).await?,
            None => (0, Vec::new()),
        };
        let report = BuildReport {
            version: version.version,
            prompts: snapshot.references.len() as u64,
            routes: snapshot.routes.len() as u64,
            embedded,
            index: snapshot.index_report.kind,
            recall_at_10: snapshot.index_report.recall_at_10,
            agreement,
            previous_agreement: live.as_ref().and_then(report_of).and_then(|report| report.agreement),
            relabelled,
            relabelled_examples,
            fit: fit.summary,
            fit_refused: fit.refused,
            embed_seconds,
            index_seconds,
            total_seconds: begun.elapsed().as_secs_f64(),
        };
        refuse_if_worse(&report, request)?;
        self.store.put_decision_model(&version.set, version.version, &fit.bytes).await?;
        let json = serde_json::to_string(&report).unwrap_or_default();
        let set = self.store.publish(&version.set, version.version, &json, KEEP_VERSIONS).await?;
        let served: Vec<Version> = set.published.into_iter().chain(set.previous).collect();
        self.indexing.folder.keep_only(&version.set, &served);
        Ok(Built { set, snapshot: Arc::new(snapshot), report, changed: true })
    }

    /// `UnknownSet` if there is none of that name.
    pub async fn expect_set(&self, set: &SetName) -> Result<(), BuildError> {
        self.store.get_set(set).await?;
        Ok(())
    }

    /// Whether a version was made of this revision of its set's draft.
    pub(super) async fn draft_is(&self, set: &SetName, version: Version, draft: Revision) -> Result<bool, BuildError> {
        Ok(self.store.get_version(set, version).await?.draft_revision == draft)
    }

    /// Removes what was saved of a set that is no more.
    pub(super) fn forget(&self, set: &SetName) {
        self.indexing.folder.keep_only(set, &[]);
    }

    /// Whether a version holds the draft's present revision, embedded with the present model.
    fn is_current(&self, version: &SetVersion, draft: Revision) -> bool {
        version.draft_revision == draft && version.model == self.model
    }

    async fn unchanged(
        &self,
        set: ReferenceSet,
        live: SetVersion,
        progress: &dyn BuildProgress,
    ) -> Result<Built, BuildError> {
        let report = report_of(&live);
        let snapshot = self.load(&live.set, live.version, progress).await?;
        let report = report.unwrap_or_else(|| BuildReport {
            version: live.version,
            prompts: snapshot.references.len() as u64,
            routes: snapshot.routes.len() as u64,
            embedded: 0,
            index: snapshot.index_report.kind,
            recall_at_10: snapshot.index_report.recall_at_10,
            agreement: None,
            previous_agreement: None,
            relabelled: 0,
            relabelled_examples: Vec::new(),
            fit: None,
            fit_refused: None,
            embed_seconds: 0.0,
            index_seconds: 0.0,
            total_seconds: 0.0,
        });
        Ok(Built { set, snapshot, report, changed: false })
    }

    /// What a refit may start from: the routes and what is said of them must be the same.
    async fn previous(&self, live: &SetVersion, version: &SetVersion) -> Result<Option<Previous>, BuildError> {
        let said = |version: &SetVersion| -> BTreeMap<RouteName, String> {
            version.routes.iter().map(|route| (route.name.clone(), route.description.clone())).collect()
        };
        let small = version.prompts as usize <= FitConfig::default().max_rows;
        if !small || live.model != self.model || said(live) != said(version) {
            return Ok(None);
        }
        let Some(summary) = report_of(live).and_then(|report| report.fit) else { return Ok(None) };
        let bytes = self.store.decision_model(&live.set, live.version).await?.unwrap_or_default();
        let Ok(model) = sealed::open(&bytes) else { return Ok(None) };
        let Some(changed) = check::changed(self.store.as_ref(), live, version).await? else { return Ok(None) };
        Ok(Some(Previous { model, summary: FitSummary { changed: summary.changed + changed, ..summary } }))
    }

    /// The index and the decision model of a version; both are taken over if they are there and fit.
    async fn index(
        &self,
        version: SetVersion,
        start: Start,
        progress: &dyn BuildProgress,
    ) -> Result<Indexed, BuildError> {
        let Start { restored, before, previous } = start;
        let mut rows = load::read(self.store.as_ref(), version, &self.model, self.indexing.dimension).await?;
        if rows.references.is_empty() {
            return Err(BuildError::EmptySet { set: rows.version.set });
        }
        let input = FitInput {
            set: rows.version.set.to_string(),
            policy: rows.version.policy.clone(),
            routes: fitting::describe(&self.queue, &rows.version.routes).await?,
            apart: std::mem::take(&mut rows.apart),
        };
        let indexing = self.indexing.clone();
        let work = move |watch: &BuildWatch| {
            let vectors = Arc::clone(&rows.vectors);
            let snapshot = match restored {
                Some(snapshot) => snapshot,
                None => indexing.make(rows, before, watch)?,
            };
            let agreement = check::agreement(&snapshot, &vectors);
            let refitted = match previous {
                Some(previous) => fitting::refitted(&input, previous, &snapshot.references, &vectors, watch)?,
                None => None,
            };
            let mut fit = match refitted {
                Some(fit) => fit,
                None => fitting::fitted(&input, &snapshot.references, &vectors, watch)?,
            };
            let snapshot = Snapshot { rule: fit.rule.take(), ..snapshot };
            Ok(Indexed { snapshot, agreement, fit })
        };
        watched(work, progress).await
    }
}

/// What [`Builder::index`] need not make anew.
#[derive(Default)]
struct Start {
    /// With the index that was saved.
    restored: Option<Snapshot>,
    /// The version whose graph may be taken over.
    before: Option<Version>,
    previous: Option<Previous>,
}

/// What [`Builder::index`] makes.
struct Indexed {
    snapshot: Snapshot,
    agreement: Option<f32>,
    /// Its rule has gone into the snapshot.
    fit: Fit,
}

/// The report that was kept with a version, if it can be read.
pub fn report_of(version: &SetVersion) -> Option<BuildReport> {
    serde_json::from_str(&version.report).ok()
}
