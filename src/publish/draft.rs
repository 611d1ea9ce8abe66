//! A snapshot made in memory, for evaluation: nothing is stored, nothing is published.

use std::sync::Arc;

use semroute_decision::HeldOutVerdict;

use super::error::BuildError;
use super::fitting::{FitInput, fitted};
use super::load::{self, Apart, Rows};
use crate::embed::Embedding;
use crate::index::{BuildWatch, IndexConfig, Stopped, VectorMatrix, VectorMatrixBuilder};
use crate::reference::{
    Fingerprint, NO_ROUTE, PromptEdit, Reference, ReferenceId, Route, RouteIndex, SetEdit, SetVersion, Snapshot,
    StoreError, TextHash, VersionState, is_neighbour,
};

/// Takes prompts with their embeddings one by one.
pub struct Draft {
    edit: SetEdit,
    routes: Vec<Route>,
    references: Vec<Reference>,
    vectors: VectorMatrixBuilder,
    apart: Vec<Apart>,
}

impl Draft {
    pub fn new(edit: &SetEdit, routes: &[Route], dimension: usize) -> Self {
        let mut routes: Vec<Route> = routes.iter().filter(|route| !route.is_none()).cloned().collect();
        routes.sort_by(|a, b| a.name.cmp(&b.name));
        let vectors = VectorMatrix::with_capacity(0, dimension);
        Self { edit: edit.clone(), routes, references: Vec::new(), vectors, apart: Vec::new() }
    }

    /// `UnknownRoute` if the prompt's route is not among the routes.
    pub fn push(&mut self, prompt: &PromptEdit, embedding: &Embedding) -> Result<(), BuildError> {
        let text: Box<str> = prompt.text.as_str().into();
        let purpose = prompt.purpose;
        if prompt.route.as_str() == NO_ROUTE {
            self.apart.push(Apart { text, route: None, purpose, embedding: embedding.clone() });
            return Ok(());
        }
        let set = || self.edit.name.clone();
        let route = self.routes.binary_search_by(|route| route.name.cmp(&prompt.route));
        let route = route.map_err(|_| StoreError::UnknownRoute { set: set(), route: prompt.route.clone() })?;
        if !is_neighbour(&prompt.route, purpose) {
            let route = Some(route as RouteIndex);
            self.apart.push(Apart { text, route, purpose, embedding: embedding.clone() });
            return Ok(());
        }
        let id = match &prompt.id {
            Some(id) => id.clone(),
            None => ReferenceId::new(&TextHash::of(&prompt.text).short()).map_err(StoreError::from)?,
        };
        let bad = |source| BuildError::StoredEmbedding { set: set(), id: id.to_string(), source };
        self.vectors.push(embedding).map_err(bad)?;
        self.references.push(Reference { id, route: route as RouteIndex, text });
        Ok(())
    }

    /// Its routes, in the order of the snapshot.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Builds the index on the caller's thread, until `watch` is told to stop. Without a decision model.
    pub fn finish(self, model: Fingerprint, config: &IndexConfig, watch: &BuildWatch) -> Result<Snapshot, Stopped> {
        load::index(self.rows(model), config, watch)
    }

    /// The same with a decision model, and what its fit said of the prompts that were held out, references first.
    /// `described`: what [`describe`](super::describe) makes of [`Draft::routes`].
    pub fn finish_fitted(
        self,
        model: Fingerprint,
        config: &IndexConfig,
        described: Vec<(Route, Option<Embedding>)>,
        watch: &BuildWatch,
    ) -> Result<(Snapshot, Vec<HeldOutVerdict>), Stopped> {
        let mut rows = self.rows(model);
        let input = FitInput {
            set: rows.version.set.to_string(),
            policy: rows.version.policy.clone(),
            routes: described,
            apart: std::mem::take(&mut rows.apart),
        };
        let vectors = Arc::clone(&rows.vectors);
        let snapshot = load::index(rows, config, watch)?;
        let fit = fitted(&input, &snapshot.references, &vectors, watch)?;
        Ok((Snapshot { rule: fit.rule, ..snapshot }, fit.held_out))
    }

    fn rows(self, model: Fingerprint) -> Rows {
        let version = SetVersion {
            set: self.edit.name,
            version: 1,
            draft_revision: 1,
            state: VersionState::Ready,
            model,
            policy: self.edit.policy,
            routes: self.routes,
            prompts: self.references.len() as u64,
            created_at: 0,
            report: String::new(),
        };
        let vectors = Arc::new(self.vectors.finish());
        Rows { version, references: self.references, vectors, apart: self.apart }
    }
}
