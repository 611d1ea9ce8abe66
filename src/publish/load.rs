//! A stored version as a snapshot: rows in pages, then the index.

use std::sync::Arc;

use super::error::BuildError;
use super::rare;
use crate::embed::Embedding;
use crate::index::{self, BuildWatch, IndexConfig, IndexReport, Stopped, VectorMatrix};
use crate::reference::{
    Fingerprint, NO_ROUTE, PromptPurpose, Reference, ReferenceId, Route, RouteIndex, RouteName, SetVersion, Snapshot,
    SnapshotId, Store, StoreError, VersionPrompt, VersionText, is_neighbour,
};
use crate::spelling::Spelling;

/// Prompts read from the store at a time.
const PAGE: u32 = 1_000;

/// Texts read at a time, which are short beside a vector.
const TEXTS_PAGE: u32 = 10_000;

/// The rows of a version in memory, before there is an index.
pub(super) struct Rows {
    pub version: SetVersion,
    pub references: Vec<Reference>,
    pub vectors: Arc<VectorMatrix>,
    pub apart: Vec<Apart>,
}

/// A prompt that is never a neighbour: one of no route, or one that is only measured on.
#[derive(Debug, Clone)]
pub(super) struct Apart {
    pub text: Box<str>,
    /// `None`: of no route.
    pub route: Option<RouteIndex>,
    pub purpose: PromptPurpose,
    pub embedding: Embedding,
}

/// The rows of a version without vectors, for an index that has them.
pub(super) struct Texts {
    pub version: SetVersion,
    pub references: Vec<Reference>,
}

/// Reads all rows of a version whose embeddings are complete, checking each vector.
pub(super) async fn read(
    store: &dyn Store,
    version: SetVersion,
    model: &Fingerprint,
    dimension: usize,
) -> Result<Rows, BuildError> {
    let version = prepared(version, model)?;
    let mut references = Vec::with_capacity(version.prompts as usize);
    let mut vectors = VectorMatrix::with_capacity(version.prompts as usize, dimension);
    let mut apart = Vec::new();
    let mut after: Option<ReferenceId> = None;
    loop {
        let page = store.version_prompts(&version.set, version.version, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for prompt in page {
            let VersionPrompt { id, route, text, purpose, embedding } = prompt;
            let bad = |source| BuildError::StoredEmbedding { set: version.set.clone(), id: id.to_string(), source };
            let embedding = Embedding::stored(embedding, dimension).map_err(bad)?;
            if !is_neighbour(&route, purpose) {
                let route = if route.as_str() == NO_ROUTE { None } else { Some(route_index(&version, &route)?) };
                apart.push(Apart { text: text.into(), route, purpose, embedding });
                continue;
            }
            vectors.push(&embedding).map_err(bad)?;
            let route = route_index(&version, &route)?;
            references.push(Reference { id, route, text: text.into() });
        }
    }
    Ok(Rows { version, references, vectors: Arc::new(vectors.finish()), apart })
}

/// Reads the texts alone.
pub(super) async fn read_texts(
    store: &dyn Store,
    version: SetVersion,
    model: &Fingerprint,
) -> Result<Texts, BuildError> {
    let version = prepared(version, model)?;
    let mut references = Vec::with_capacity(version.prompts as usize);
    let mut after: Option<ReferenceId> = None;
    loop {
        let page = store.version_texts(&version.set, version.version, after.as_ref(), TEXTS_PAGE).await?;
        let Some(last) = page.last() else { return Ok(Texts { version, references }) };
        after = Some(last.id.clone());
        let page = page.into_iter().filter(|prompt| is_neighbour(&prompt.route, prompt.purpose));
        for VersionText { id, route, text, .. } in page {
            let route = route_index(&version, &route)?;
            references.push(Reference { id, route, text: text.into() });
        }
    }
}

/// A version of the running model, with its routes in the order of a snapshot, which has none for no route.
fn prepared(version: SetVersion, model: &Fingerprint) -> Result<SetVersion, BuildError> {
    if version.model != *model {
        let (set, stored) = (version.set.clone(), version.model.clone());
        return Err(BuildError::OtherModel { set, version: version.version, stored, running: model.clone() });
    }
    let mut routes = version.routes.clone();
    routes.retain(|route| !route.is_none());
    routes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(SetVersion { routes, ..version })
}

fn route_index(version: &SetVersion, name: &RouteName) -> Result<RouteIndex, BuildError> {
    let place = version.routes.binary_search_by(|route: &Route| route.name.cmp(name));
    let unknown = |_| StoreError::UnknownRoute { set: version.set.clone(), route: name.clone() };
    Ok(place.map_err(unknown)? as RouteIndex)
}

/// Builds the index (on the caller's thread: seconds for large sets) and puts the snapshot together.
pub(super) fn index(rows: Rows, config: &IndexConfig, watch: &BuildWatch) -> Result<Snapshot, Stopped> {
    let (index, index_report) = index::build(&rows.vectors, config, watch)?;
    Ok(assemble(rows.version, rows.references, index, index_report))
}

pub(super) fn assemble(
    version: SetVersion,
    references: Vec<Reference>,
    mut index: Box<dyn index::VectorIndex>,
    index_report: IndexReport,
) -> Snapshot {
    index.pin(&rare::rows(&references));
    let spelling = Spelling::of(references.iter().map(|reference| &*reference.text));
    Snapshot {
        id: SnapshotId::next(),
        set: version.set,
        version: version.version,
        model: version.model,
        policy: version.policy,
        routes: version.routes,
        references,
        index_report,
        rule: None,
        index,
        spelling,
    }
}
