//! The vectors of the open and accepted proposals, to find those that say nearly the same. Read from the store in
//! steps: what other servers propose is found too. Proposals that were settled since are still in here; the store looks
//! again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::embed::Embedding;
use crate::reference::{Fingerprint, ProposalId, RouteName, SetName, Store, StoreError};

/// Read from the store at a time.
const PAGE: u32 = 500;

pub(super) struct Near {
    sets: Mutex<HashMap<SetName, Vec<Known>>>,
    /// Of a set.
    most: usize,
    /// Least cosine similarity.
    bound: f32,
}

struct Known {
    id: ProposalId,
    route: RouteName,
    embedding: Embedding,
}

/// What is near a prompt.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Those for the same route, nearest first.
    pub(super) same: Vec<ProposalId>,
    /// Those for other routes, likewise.
    pub(super) others: Vec<ProposalId>,
}

impl Near {
    pub(super) fn new(most: usize, bound: f32) -> Self {
        Self { sets: Mutex::default(), most, bound }
    }

    /// Reads what was proposed since the last time.
    pub(super) async fn catch_up(
        &self,
        store: &dyn Store,
        set: &SetName,
        model: &Fingerprint,
    ) -> Result<(), StoreError> {
        loop {
            let after = self.with(set, |known| known.last().map_or(0, |known| known.id));
            let page = store.proposal_vectors(set, model, after, PAGE).await?;
            let full = page.len() == PAGE as usize;
            self.with(set, |known| {
                // Another call may have read the same meanwhile.
                let newest = known.last().map_or(0, |known| known.id);
                let fresh = page.into_iter().filter(|vector| vector.id > newest).filter_map(|vector| {
                    let embedding = Embedding::normalised(vector.embedding).ok()?;
                    Some(Known { id: vector.id, route: vector.route, embedding })
                });
                known.extend(fresh);
                let surplus = known.len().saturating_sub(self.most);
                known.drain(..surplus);
            });
            if !full {
                return Ok(());
            }
        }
    }

    pub(super) fn look(&self, set: &SetName, route: &RouteName, prompt: &Embedding) -> Found {
        self.with(set, |known| {
            let near = known.iter().filter(|known| known.embedding.dimension() == prompt.dimension());
            let near = near.map(|known| (similarity(&known.embedding, prompt), known));
            let mut near: Vec<(f32, &Known)> = near.filter(|(similarity, _)| *similarity >= self.bound).collect();
            near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
            let ids = |known: Vec<(f32, &Known)>| known.into_iter().map(|(_, known)| known.id).collect();
            let (same, others): (Vec<_>, Vec<_>) = near.into_iter().partition(|(_, known)| known.route == *route);
            Found { same: ids(same), others: ids(others) }
        })
    }

    /// Forgets a set that is no more: its proposals have gone with it.
    pub(super) fn forget(&self, set: &SetName) {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner).remove(set);
    }

    fn with<T>(&self, set: &SetName, work: impl FnOnce(&mut Vec<Known>) -> T) -> T {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        work(sets.entry(set.clone()).or_default())
    }
}

/// Cosine similarity: both have norm 1.
pub(super) fn similarity(one: &Embedding, other: &Embedding) -> f32 {
    one.as_slice().iter().zip(other.as_slice()).map(|(a, b)| a * b).sum()
}
