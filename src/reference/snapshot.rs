//! One version of a set, ready to serve. It never changes: a request takes one and uses it to the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use semroute_decision::Judgement;

use super::name::{ReferenceId, SetName};
use super::policy::SetPolicy;
use super::rule::DecisionRule;
use super::types::{Fingerprint, Route, Version};
use crate::embed::Embedding;
use crate::index::{IndexReport, VectorIndex};
use crate::spelling::Spelling;

/// Position of a route in [`Snapshot::routes`].
pub type RouteIndex = u32;

/// A reference prompt in a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    pub id: ReferenceId,
    pub route: RouteIndex,
    pub text: Box<str>,
}

/// A reference prompt near a prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Position in [`Snapshot::references`].
    pub reference: u32,
    pub route: RouteIndex,
    /// Cosine similarity, in [-1, 1].
    pub similarity: f32,
}

/// Tells the snapshots of this process apart, for what is remembered of one. Set and version do not: a set that is
/// deleted and made anew begins with version 1 again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SnapshotId(u64);

impl SnapshotId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn to_le_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

pub struct Snapshot {
    pub id: SnapshotId,
    pub set: SetName,
    pub version: Version,
    pub model: Fingerprint,
    pub policy: SetPolicy,
    /// By name.
    pub routes: Vec<Route>,
    /// In the order of the index's rows.
    pub references: Vec<Reference>,
    pub index_report: IndexReport,
    /// `None`: none could be fitted, and the neighbours' vote decides.
    pub rule: Option<DecisionRule>,
    pub(crate) index: Box<dyn VectorIndex>,
    /// The references' words.
    pub(crate) spelling: Spelling,
}

impl Snapshot {
    /// Up to `k` reference prompts, nearest first.
    pub fn nearest(&self, prompt: &Embedding, k: usize) -> Vec<Neighbour> {
        let hits = self.index.nearest(prompt, k);
        hits.into_iter()
            .filter_map(|hit| {
                let reference = self.references.get(hit.row as usize)?;
                Some(Neighbour { reference: hit.row, route: reference.route, similarity: hit.similarity })
            })
            .collect()
    }

    /// What the decision model says of a prompt, of which `neighbours` are the nearest references. `None` without a
    /// model, and for what does not fit it, which is a fault of ours and logged.
    pub fn judge(&self, prompt: &Embedding, text: &str, neighbours: &[Neighbour]) -> Option<Judgement> {
        let rule = self.rule.as_ref()?;
        let neighbours: Vec<(u32, f32)> =
            neighbours.iter().map(|neighbour| (neighbour.route, neighbour.similarity)).collect();
        let judged = rule.model().judge(prompt.as_slice(), text, &neighbours);
        judged.inspect_err(|error| tracing::error!(set = %self.set, %error, "the decision model was not used")).ok()
    }

    pub fn route(&self, index: RouteIndex) -> Option<&Route> {
        self.routes.get(index as usize)
    }

    pub fn reference(&self, neighbour: &Neighbour) -> Option<&Reference> {
        self.references.get(neighbour.reference as usize)
    }

    /// Position of the route named `name`.
    pub fn find_route(&self, name: &str) -> Option<RouteIndex> {
        self.routes.binary_search_by(|route| route.name.as_str().cmp(name)).ok().map(|index| index as RouteIndex)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("set", &self.set)
            .field("version", &self.version)
            .field("references", &self.references.len())
            .finish_non_exhaustive()
    }
}

/// All published snapshots, exchanged one by one without a reader ever waiting.
#[derive(Clone, Default)]
pub struct SnapshotCell(Arc<arc_swap::ArcSwap<Published>>);

type Published = std::collections::BTreeMap<SetName, Arc<Snapshot>>;

impl SnapshotCell {
    pub fn get(&self, set: &str) -> Option<Arc<Snapshot>> {
        self.0.load().get(set).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Snapshot>> {
        self.0.load().values().cloned().collect()
    }

    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.0.rcu(|published| {
            let mut published = Published::clone(published);
            published.insert(snapshot.set.clone(), Arc::clone(&snapshot));
            published
        });
    }

    /// Publishes `snapshot` if what stands there for its set is still `before`. For those who act on what a store said
    /// some time ago: whoever published in between knew better.
    pub fn replace(&self, before: Option<&Arc<Snapshot>>, snapshot: &Arc<Snapshot>) {
        self.change_if(before, &snapshot.set, |published| {
            published.insert(snapshot.set.clone(), Arc::clone(snapshot));
        });
    }

    /// Withdraws a snapshot if it still stands there.
    pub fn withdraw(&self, snapshot: &Arc<Snapshot>) {
        self.change_if(Some(snapshot), &snapshot.set, |published| {
            published.remove(&snapshot.set);
        });
    }

    fn change_if(&self, before: Option<&Arc<Snapshot>>, set: &SetName, change: impl Fn(&mut Published)) {
        self.0.rcu(|published| {
            let unchanged = match (published.get(set), before) {
                (None, None) => true,
                (Some(present), Some(before)) => Arc::ptr_eq(present, before),
                (None, Some(_)) | (Some(_), None) => false,
            };
            if !unchanged {
                return Arc::clone(published);
            }
            let mut published = Published::clone(published);
            change(&mut published);
            Arc::new(published)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{BuildWatch, IndexConfig};
    use crate::publish::Draft;
    use crate::reference::{Precondition, PromptEdit, PromptPurpose, RouteName, SetEdit};

    fn snapshot(version: Version) -> Arc<Snapshot> {
        let name = RouteName::new("a").unwrap();
        let edit =
            SetEdit { name: SetName::new("s").unwrap(), description: String::new(), policy: SetPolicy::default() };
        let mut draft = Draft::new(&edit, &[Route::named(name.clone())], 2);
        let prompt = PromptEdit {
            id: None,
            route: name,
            text: "x".to_owned(),
            purpose: PromptPurpose::Reference,
            precondition: Precondition::None,
        };
        draft.push(&prompt, &Embedding::normalised(vec![1.0, 1.0]).unwrap()).unwrap();
        let snapshot =
            draft.finish(Fingerprint("m".to_owned()), &IndexConfig::default(), &BuildWatch::default()).unwrap();
        Arc::new(Snapshot { version, ..snapshot })
    }

    #[test]
    fn what_was_published_meanwhile_is_not_undone() {
        let cell = SnapshotCell::default();
        let served = || cell.get("s").map(|snapshot| snapshot.version);
        let [one, two, three] = [1, 2, 3].map(snapshot);
        cell.replace(None, &one);
        assert_eq!(served(), Some(1));
        // Somebody saw version 1 and loads 2; meanwhile 3 is published.
        cell.publish(Arc::clone(&three));
        cell.replace(Some(&one), &two);
        cell.replace(None, &two);
        cell.withdraw(&one);
        assert_eq!(served(), Some(3));
        cell.replace(Some(&three), &two);
        assert_eq!(served(), Some(2));
        cell.withdraw(&two);
        cell.replace(Some(&two), &three);
        assert_eq!(served(), None);
    }
}
