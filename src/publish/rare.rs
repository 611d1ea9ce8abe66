//! References that a search of a graph may miss: those of routes with few of them, beside many of others. Of 100,000
//! prompts of one route and five of another, the walk found one of the five for a prompt at 0.96 and missed it for one at
//! 0.83, whose next nearest was at 0.47.

use std::collections::{BTreeMap, BTreeSet};

use crate::reference::{Reference, RouteIndex};

/// A route with more references is found by its own: they lead to each other.
const MOST_OF_A_ROUTE: usize = 20;

/// So many times fewer references than the mean has a route that others may hide.
const FEWER: usize = 10;

/// Rows at most: each search scores all of them, and they take places among its candidates.
const MOST: usize = 128;

/// Rows of the routes with the fewest references, whole routes only, in order.
pub(super) fn rows(references: &[Reference]) -> Vec<u32> {
    let mut counts: BTreeMap<RouteIndex, usize> = BTreeMap::new();
    references.iter().for_each(|reference| *counts.entry(reference.route).or_default() += 1);
    let mut few: Vec<(usize, RouteIndex)> = counts.into_iter().map(|(route, count)| (count, route)).collect();
    let routes = few.len();
    few.retain(|(count, _)| *count <= MOST_OF_A_ROUTE && count * FEWER * routes <= references.len());
    few.sort_unstable();
    let mut taken = 0;
    let fits = |(count, _): &(usize, RouteIndex)| {
        taken += count;
        taken <= MOST
    };
    let pinned: BTreeSet<RouteIndex> = few.into_iter().take_while(fits).map(|(_, route)| route).collect();
    let rows = (0..).zip(references).filter(|(_, reference)| pinned.contains(&reference.route));
    rows.map(|(row, _)| row).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::load;
    use super::*;
    use crate::embed::Embedding;
    use crate::index::{Hit, IndexKind, IndexReport, VectorIndex};
    use crate::reference::{Fingerprint, ReferenceId, SetName, SetPolicy, SetVersion, VersionState};

    fn references(counts: &[usize]) -> Vec<Reference> {
        let routes = (0..).zip(counts).flat_map(|(route, count)| vec![route; *count]);
        let reference =
            |route| Reference { id: ReferenceId::new("some-id").unwrap(), route, text: "text".to_owned().into() };
        routes.map(reference).collect()
    }

    #[test]
    fn routes_with_few_references_come_first() {
        assert_eq!(rows(&references(&[100, 2, 21, 1])), [100, 101, 123]);
        assert!(rows(&references(&[15; 20])).is_empty(), "where all are small, none is hidden");
        assert_eq!(rows(&references(&[21, 0, 30])), [0u32; 0]);
        assert!(rows(&[]).is_empty());
    }

    #[test]
    fn there_is_a_bound_and_no_route_is_cut() {
        // 20 fit 6 times, and the smaller one before them.
        let rows = rows(&references(&[20, 20, 20, 20, 20, 20, 20, 5, 2_000]));
        assert_eq!(rows.len(), 6 * 20 + 5);
        assert_eq!(rows.last(), Some(&144));
    }

    /// Tells what it is asked to pin.
    struct Pins(Arc<Mutex<Vec<u32>>>);

    impl VectorIndex for Pins {
        fn nearest(&self, _query: &Embedding, _k: usize) -> Vec<Hit> {
            Vec::new()
        }

        fn pin(&mut self, rows: &[u32]) {
            *self.0.lock().unwrap() = rows.to_vec();
        }
    }

    #[test]
    fn a_snapshot_has_them_pinned() {
        let version = SetVersion {
            set: SetName::new("s").unwrap(),
            version: 1,
            draft_revision: 1,
            state: VersionState::Building,
            model: Fingerprint("m".to_owned()),
            policy: SetPolicy::default(),
            routes: Vec::new(),
            prompts: 103,
            created_at: 1,
            report: String::new(),
        };
        let pinned = Arc::new(Mutex::new(Vec::new()));
        let report = IndexReport { kind: IndexKind::Hnsw, recall_at_10: Some(1.0) };
        load::assemble(version, references(&[100, 3]), Box::new(Pins(Arc::clone(&pinned))), report);
        assert_eq!(*pinned.lock().unwrap(), [100, 101, 102]);
    }
}
