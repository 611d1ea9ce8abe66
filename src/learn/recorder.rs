//! From a prompt and the route that it should have had to a proposal in the store.

use std::sync::Arc;
use std::time::Duration;

use super::config::FeedbackConfig;
use super::near::Near;
use crate::embed::{EmbedQueue, Embedding};
use crate::reference::{
    Fingerprint, MAX_SETTLED, Origin, ProposalEdit, Recorded, ReferenceId, Result, RouteName, SetName, SnapshotCell,
    Source, Store, StoreError,
};

/// Reference prompts that are looked at for one that says nearly the same.
const LOOKED_AT: usize = 5;

/// What the recorder works with.
pub struct RecorderParts {
    pub store: Arc<dyn Store>,
    /// What is served: its references tell what is known already.
    pub served: SnapshotCell,
    pub embed: EmbedQueue,
    pub model: Fingerprint,
}

pub(super) struct Recorder {
    parts: RecorderParts,
    near: Near,
    bound: f32,
    most_open: u32,
}

/// Longest wait for an embedding, without which a proposal is recorded by its text alone.
const EMBED_WITHIN: Duration = Duration::from_secs(2);

impl Recorder {
    pub(super) fn new(parts: RecorderParts, config: &FeedbackConfig) -> Self {
        // All that a store has of a set: those that were accepted must not push open ones out.
        let near = Near::new((config.max_open + MAX_SETTLED) as usize, config.near);
        Self { parts, near, bound: config.near, most_open: config.max_open }
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.parts.store.as_ref()
    }

    pub(super) fn model(&self) -> &Fingerprint {
        &self.parts.model
    }

    /// Counts one origin. Near-duplicates are found by their vectors; a prompt that cannot be embedded now is recorded
    /// all the same, and equal texts are one proposal in any case.
    pub(super) async fn record(
        &self,
        set: &SetName,
        route: &RouteName,
        text: &Arc<str>,
        origin: Origin,
    ) -> Result<Recorded> {
        let mut edit = ProposalEdit {
            set: set.clone(),
            route: route.clone(),
            text: text.to_string(),
            origin,
            embedding: None,
            same_as: Vec::new(),
            conflicting_reference: None,
            conflicting_proposals: Vec::new(),
        };
        if let Some(embedding) = self.embed(text).await {
            match self.reference_near(set, &embedding, route) {
                // The vote was unsure of it, and one more prompt like the one that it has would change nothing. A
                // client who says that a decision was wrong is believed all the same.
                Reference::Same(id) if edit.origin.source == Source::LlmVerdict => return Ok(Recorded::Known(id)),
                Reference::Other(id) => edit.conflicting_reference = Some(id),
                Reference::Same(_) | Reference::None => {}
            }
            match self.near.catch_up(self.store(), set, self.model()).await {
                Err(error @ StoreError::UnknownSet { .. }) => {
                    self.near.forget(set);
                    return Err(error);
                }
                read => read?,
            }
            let near = self.near.look(set, route, &embedding);
            (edit.same_as, edit.conflicting_proposals) = (near.same, near.others);
            edit.embedding = Some((self.model().clone(), embedding.as_slice().to_vec()));
        }
        self.store().record_proposal(&edit, self.most_open).await
    }

    /// `None` also if the workers have no time for it: whoever waits here waits for all the requests before him.
    pub(super) async fn embed(&self, text: &Arc<str>) -> Option<Embedding> {
        let embedded = tokio::time::timeout(EMBED_WITHIN, self.parts.embed.embed_patiently(Arc::clone(text))).await;
        embedded.ok()?.ok().map(|embedded| embedded.embedding)
    }

    /// The nearest reference prompt that is served and says nearly the same.
    fn reference_near(&self, set: &SetName, prompt: &Embedding, route: &RouteName) -> Reference {
        let Some(snapshot) = self.parts.served.get(set.as_str()) else { return Reference::None };
        if snapshot.model != self.parts.model {
            return Reference::None;
        }
        let near = snapshot.nearest(prompt, LOOKED_AT).into_iter();
        let near = near.filter(|neighbour| neighbour.similarity >= self.bound).filter_map(|neighbour| {
            Some((snapshot.route(neighbour.route)?, snapshot.reference(&neighbour)?.id.clone()))
        });
        let mut found = Reference::None;
        for (known, id) in near {
            if known.name != *route {
                return Reference::Other(id);
            }
            if matches!(found, Reference::None) {
                found = Reference::Same(id);
            }
        }
        found
    }
}

/// What the references say of a prompt that is nearly one of them.
enum Reference {
    None,
    /// That it belongs to the route.
    Same(ReferenceId),
    /// That it belongs to another.
    Other(ReferenceId),
}
