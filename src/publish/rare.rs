//! References that a search of a graph may miss: those of routes with few of them, beside many of others.

use std::collections::{BTreeMap, BTreeSet};

use crate::reference::{Reference, RouteIndex};

/// A route with more references is found by its own: they lead to each other.
const MOST_OF_A_ROUTE: usize = 20;

/// Rows at most. Each search looks at all of them, which takes some 3 microseconds.
const MOST: usize = 128;

/// Rows of the routes with the fewest references, whole routes only, in order.
pub(super) fn rows(references: &[Reference]) -> Vec<u32> {
    let mut counts: BTreeMap<RouteIndex, usize> = BTreeMap::new();
    references.iter().for_each(|reference| *counts.entry(reference.route).or_default() += 1);
    let mut few: Vec<(usize, RouteIndex)> = counts.into_iter().map(|(route, count)| (count, route)).collect();
    few.retain(|(count, _)| *count <= MOST_OF_A_ROUTE);
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
    use super::*;
    use crate::reference::ReferenceId;

    fn references(counts: &[usize]) -> Vec<Reference> {
        let routes = (0..).zip(counts).flat_map(|(route, count)| vec![route; *count]);
        let reference =
            |route| Reference { id: ReferenceId::new("some-id").unwrap(), route, text: "text".to_owned().into() };
        routes.map(reference).collect()
    }

    #[test]
    fn routes_with_few_references_come_first() {
        assert_eq!(rows(&references(&[100, 2, 21, 1])), [100, 101, 123]);
        assert_eq!(rows(&references(&[21, 0, 30])), [0u32; 0]);
        assert!(rows(&[]).is_empty());
    }

    #[test]
    fn there_is_a_bound_and_no_route_is_cut() {
        // 20 fit 6 times, and the smaller one before them.
        let rows = rows(&references(&[20, 20, 20, 20, 20, 20, 20, 5]));
        assert_eq!(rows.len(), 6 * 20 + 5);
        assert_eq!(rows.last(), Some(&144));
    }
}
