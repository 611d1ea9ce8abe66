//! A stored version as a snapshot: rows in pages, then the index.

use std::sync::Arc;

use super::error::BuildError;
use crate::embed::Embedding;
use crate::index::{self, IndexConfig, IndexReport, VectorMatrix};
use crate::reference::{
    Fingerprint, Reference, ReferenceId, Route, RouteIndex, SetVersion, Snapshot, SnapshotId, Store, VersionPrompt,
};

/// Prompts read from the store at a time.
const PAGE: u32 = 1_000;

/// The rows of a version in memory, before there is an index.
pub(super) struct Rows {
    pub version: SetVersion,
    pub references: Vec<Reference>,
    pub vectors: Arc<VectorMatrix>,
}

/// Reads all rows of a version whose embeddings are complete, checking each vector.
pub(super) async fn read(
    store: &dyn Store,
    version: SetVersion,
    model: &Fingerprint,
    dimension: usize,
) -> Result<Rows, BuildError> {
    if version.model != *model {
        let (set, stored) = (version.set.clone(), version.model.clone());
        return Err(BuildError::OtherModel { set, version: version.version, stored, running: model.clone() });
    }
    let mut routes = version.routes.clone();
    routes.sort_by(|a, b| a.name.cmp(&b.name));
    let version = SetVersion { routes, ..version };
    let mut references = Vec::with_capacity(version.prompts as usize);
    let mut vectors = VectorMatrix::with_capacity(version.prompts as usize, dimension);
    let mut after: Option<ReferenceId> = None;
    loop {
        let page = store.version_prompts(&version.set, version.version, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for prompt in page {
            let VersionPrompt { id, route, text, embedding } = prompt;
            let bad = |source| BuildError::StoredEmbedding { set: version.set.clone(), id: id.to_string(), source };
            let embedding = Embedding::stored(embedding, dimension).map_err(bad)?;
            vectors.push(&embedding).map_err(bad)?;
            let route = route_index(&version.routes, route.as_str()).ok_or_else(|| {
                crate::reference::StoreError::UnknownRoute { set: version.set.clone(), route: route.clone() }
            })?;
            references.push(Reference { id, route, text: text.into() });
        }
    }
    Ok(Rows { version, references, vectors: Arc::new(vectors.finish()) })
}

fn route_index(routes: &[Route], name: &str) -> Option<RouteIndex> {
    routes.binary_search_by(|route| route.name.as_str().cmp(name)).ok().map(|index| index as RouteIndex)
}

/// Builds the index (on the caller's thread: seconds for large sets) and puts the snapshot together.
pub(super) fn index(rows: Rows, config: &IndexConfig) -> Snapshot {
    let (index, index_report) = index::build(&rows.vectors, config);
    assemble(rows.version, rows.references, index, index_report)
}

fn assemble(
    version: SetVersion,
    references: Vec<Reference>,
    index: Box<dyn index::VectorIndex>,
    index_report: IndexReport,
) -> Snapshot {
    Snapshot {
        id: SnapshotId::next(),
        set: version.set,
        version: version.version,
        model: version.model,
        policy: version.policy,
        routes: version.routes,
        references,
        index_report,
        index,
    }
}
