//! The exact-decision cache: the evidence on a prompt that came before, by the hash of its text and by the snapshot
//! that it was searched in.
//!
//! What a request may ask for (neighbours to be shown, the LLM stage, a deadline) is applied to the evidence
//! afterwards and is in no key. LLM verdicts are kept by the LLM stage itself; errors are kept nowhere.

mod counts;
mod settings;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use moka::future::Cache;

pub use counts::CacheStats;
use counts::Counts;
pub use settings::CacheConfig;

use super::evidence::{Evidence, Found, Question, Search};
use super::flight::Flights;
use super::knn::VOTERS;
use crate::embed::EmbedError;
use crate::reference::{SnapshotCell, SnapshotId};

/// What moka and the allocator take for an entry beside its content (reference counts, places in the hash table and in
/// the queues by recency, a sketch of its frequency): 200,000 entries of 436 bytes took 824 bytes each.
const OVERHEAD_BYTES: usize = 388;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    /// Stands for the set, its version and policy, and the model.
    snapshot: SnapshotId,
    text: blake3::Hash,
}

/// How a request came by its evidence.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// It was kept.
    Kept(Arc<Evidence>),
    /// This request had it gathered.
    Gathered(Found),
    /// Another request with the same prompt was having it gathered.
    Joined(Arc<Evidence>),
}

/// Clone it freely.
#[derive(Clone)]
pub struct ExactCache {
    kept: Cache<Key, Arc<Evidence>>,
    flights: Flights<(Key, usize), Result<Source, Arc<EmbedError>>>,
    /// What is served: the evidence of other snapshots is not kept.
    served: SnapshotCell,
    /// The snapshots that were served when it was last looked.
    known: Arc<Mutex<Vec<SnapshotId>>>,
    counts: Arc<Counts>,
}

impl ExactCache {
    /// `None` if the configuration turns it off.
    pub fn new(config: &CacheConfig, served: SnapshotCell) -> Option<Self> {
        if config.max_bytes.0 == 0 {
            return None;
        }
        let counts = Arc::new(Counts::default());
        let evicted = Arc::clone(&counts);
        let mut builder = Cache::builder()
            .max_capacity(config.max_bytes.0)
            .weigher(|_, evidence: &Arc<Evidence>| weight(evidence))
            .eviction_listener(move |_, _, cause| evicted.removed(cause))
            .support_invalidation_closures();
        if let Some(ttl) = config.ttl {
            builder = builder.time_to_live(ttl);
        }
        let known = Arc::default();
        Some(Self { kept: builder.build(), flights: Flights::default(), served, known, counts })
    }

    /// The evidence that the search would find. Nothing is embedded if it is kept; of those who ask for the same at
    /// the same time, one has it gathered.
    pub(super) async fn evidence(&self, question: Question<'_>) -> Result<Source, Arc<EmbedError>> {
        let key = Key { snapshot: question.snapshot.id, text: blake3::hash(question.prompt.text().as_bytes()) };
        if let Some(evidence) = self.lookup(&key, question.neighbours).await {
            self.counts.hit();
            return Ok(Source::Kept(evidence));
        }
        let mut joined = false;
        loop {
            let gather = || self.clone().gather(key, question.search());
            // As many are searched for in any case: those who want fewer need not be told apart.
            let flight = self.flights.join((key, VOTERS.max(question.neighbours)), gather);
            if !flight.leads && !std::mem::replace(&mut joined, true) {
                self.counts.joined();
            }
            let outcome = match question.deadline {
                Some(deadline) => tokio::time::timeout_at(deadline.into(), flight.outcome)
                    .await
                    .unwrap_or_else(|_| Err(Arc::new(EmbedError::DeadlineExceeded))),
                None => flight.outcome.await,
            };
            return match outcome {
                Ok(Source::Gathered(found)) if !flight.leads => Ok(Source::Joined(found.evidence)),
                Ok(source) => Ok(source),
                // The time that was up is that of whoever asked first: ours goes on.
                Err(error) if !flight.leads && is_his_own(&error) && time_is_left(question.deadline) => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// What it holds and what it did.
    pub fn stats(&self) -> CacheStats {
        self.counts.stats(self.kept.entry_count(), self.kept.weighted_size(), self.kept.policy().max_capacity())
    }

    async fn gather(self, key: Key, search: Search) -> Result<Source, Arc<EmbedError>> {
        // The last flight may have landed between our look into the cache and our start.
        if let Some(evidence) = self.lookup(&key, search.neighbours).await {
            self.counts.hit();
            return Ok(Source::Kept(evidence));
        }
        self.counts.miss();
        self.forget_what_is_not_served();
        let snapshot = Arc::clone(&search.snapshot);
        let found = search.run().await.map_err(Arc::new)?;
        // A decision on a snapshot that was replaced meanwhile is right, and of no use to anybody else.
        if self.served.get(snapshot.set.as_str()).is_some_and(|served| served.id == snapshot.id) {
            self.kept.insert(key, Arc::clone(&found.evidence)).await;
        }
        Ok(Source::Gathered(found))
    }

    async fn lookup(&self, key: &Key, neighbours: usize) -> Option<Arc<Evidence>> {
        self.kept.get(key).await.filter(|evidence| evidence.suffices(neighbours))
    }

    /// Gives the memory of replaced snapshots back. Looked at when something is not kept, which is what happens first
    /// after a change.
    fn forget_what_is_not_served(&self) {
        let served: Vec<SnapshotId> = self.served.all().iter().map(|snapshot| snapshot.id).collect();
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if *known == served {
                return;
            }
            known.clone_from(&served);
        }
        // The only error is that closures are not supported, and they are.
        let _ = self.kept.invalidate_entries_if(move |key, _| !served.contains(&key.snapshot));
    }
}

/// Whether an error is due to the deadline of the one who asked.
fn is_his_own(error: &EmbedError) -> bool {
    matches!(error, EmbedError::DeadlineExceeded | EmbedError::WouldExpire { .. })
}

fn time_is_left(deadline: Option<Instant>) -> bool {
    deadline.is_none_or(|deadline| deadline > Instant::now())
}

fn weight(evidence: &Evidence) -> u32 {
    u32::try_from(size_of::<Key>() + evidence.bytes() + OVERHEAD_BYTES).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
