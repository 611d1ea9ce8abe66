//! The confusion matrix, ordered so that it can be read with 150 routes: routes that are taken for each other stand
//! together in blocks, the block with the most errors first.

use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::Outcome;

/// Most routes of a block: more names cannot be read beside it.
const MAX_BLOCK: usize = 16;

/// The name under which "no route" stands.
const NONE: &str = "(none)";

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matrix {
    /// Names of the rows and columns, block by block.
    pub routes: Vec<String>,
    pub blocks: Vec<Block>,
    /// Every cell that is not empty, by row and column.
    pub cells: Vec<Cell>,
}

/// Routes next to each other that are taken for one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Block {
    /// Position of its first route.
    pub from: usize,
    pub routes: usize,
    /// Rows of its routes that were given another route of it.
    pub errors: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// Position of the expected route.
    pub row: usize,
    /// Position of the route that was chosen.
    pub column: usize,
    pub rows: u64,
}

impl Matrix {
    pub(super) fn of(outcomes: &[Outcome]) -> Self {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for outcome in outcomes {
            let pair = (named(outcome.expected.as_deref()), named(outcome.predicted.as_deref()));
            *counts.entry(pair).or_default() += 1;
        }
        let groups = groups(&counts);
        let routes: Vec<&str> = groups.iter().flatten().copied().collect();
        let place: BTreeMap<&str, usize> = routes.iter().enumerate().map(|(at, route)| (*route, at)).collect();
        let at = |route: &str| place.get(route).copied().unwrap_or_default();
        let mut cells: Vec<Cell> = counts
            .iter()
            .map(|((expected, chosen), rows)| Cell { row: at(expected), column: at(chosen), rows: *rows })
            .collect();
        cells.sort_by_key(|cell| (cell.row, cell.column));
        let mut blocks = Vec::with_capacity(groups.len());
        let mut from = 0;
        for group in &groups {
            blocks.push(Block { from, routes: group.len(), errors: errors(group, &counts) });
            from += group.len();
        }
        Self { routes: routes.into_iter().map(str::to_owned).collect(), blocks, cells }
    }
}

fn named(route: Option<&str>) -> &str {
    route.unwrap_or(NONE)
}

/// Joins routes along the commonest confusions first, as long as a block stays readable; worst block first, and within
/// a block the route with the most errors first.
fn groups<'a>(counts: &BTreeMap<(&'a str, &'a str), u64>) -> Vec<Vec<&'a str>> {
    let mut of_pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut of_routes: BTreeMap<&'a str, u64> = BTreeMap::new();
    for (&(expected, chosen), rows) in counts {
        let wrong = if expected == chosen { 0 } else { *rows };
        *of_routes.entry(expected).or_default() += wrong;
        *of_routes.entry(chosen).or_default() += wrong;
        // Prompts out of scope go everywhere, and would tie everything together.
        if wrong > 0 && expected != NONE && chosen != NONE {
            *of_pairs.entry((expected.min(chosen), expected.max(chosen))).or_default() += wrong;
        }
    }
    let mut pairs: Vec<_> = of_pairs.into_iter().collect();
    pairs.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    let mut groups: Vec<Vec<&'a str>> = of_routes.keys().map(|route| vec![*route]).collect();
    for ((a, b), _) in pairs {
        let of = |route: &str| groups.iter().position(|group| group.contains(&route));
        let (Some(first), Some(second)) = (of(a), of(b)) else { continue };
        let size = |at: usize| groups.get(at).map_or(0, Vec::len);
        if first != second && size(first) + size(second) <= MAX_BLOCK {
            let moved = groups.swap_remove(first.max(second));
            if let Some(group) = groups.get_mut(first.min(second)) {
                group.extend(moved);
            }
        }
    }
    let wrong = |route: &&str| of_routes.get(*route).copied().unwrap_or_default();
    for group in &mut groups {
        group.sort_by(|a, b| wrong(b).cmp(&wrong(a)).then(a.cmp(b)));
    }
    let none = |group: &[&str]| group.contains(&NONE);
    groups.sort_by_cached_key(|group| (std::cmp::Reverse(errors(group, counts)), none(group), group.first().copied()));
    groups
}

/// Errors within a group.
fn errors(group: &[&str], counts: &BTreeMap<(&str, &str), u64>) -> u64 {
    let pairs = group.iter().flat_map(|row| group.iter().map(move |column| (*row, *column)));
    pairs.filter(|(row, column)| row != column).filter_map(|pair| counts.get(&pair)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    #[test]
    fn routes_that_are_confused_stand_together() {
        let pairs = [("a", "a"), ("b", "b"), ("c", "a"), ("a", "c"), ("b", "d"), ("", "d"), ("e", "e")];
        let rows: Vec<_> = pairs.iter().map(|(expected, chosen)| outcome(expected, chosen, 1.0)).collect();
        let matrix = Matrix::of(&rows);
        assert_eq!(matrix.routes, ["a", "c", "d", "b", "e", "(none)"]);
        assert_eq!(
            matrix.blocks,
            [(0, 2, 2), (2, 2, 1), (4, 1, 0), (5, 1, 0)].map(|(from, routes, errors)| Block { from, routes, errors })
        );
        assert!(matrix.cells.contains(&Cell { row: 3, column: 2, rows: 1 }));
    }

    #[test]
    fn a_hundred_and_fifty_routes_are_no_trouble() {
        let rows: Vec<_> =
            (0..150).map(|at| outcome(&format!("r{at:03}"), &format!("r{:03}", (at + 1) % 150), 1.0)).collect();
        let matrix = Matrix::of(&rows);
        assert_eq!(matrix.routes.len(), 150);
        assert!(matrix.blocks.iter().all(|block| block.routes <= MAX_BLOCK));
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_cell_and_every_route_in_one_block(rows in outcomes()) {
            let matrix = Matrix::of(&rows);
            prop_assert_eq!(matrix.cells.iter().map(|cell| cell.rows).sum::<u64>(), rows.len() as u64);
            prop_assert_eq!(matrix.blocks.iter().map(|block| block.routes).sum::<usize>(), matrix.routes.len());
            let diagonal: u64 = matrix.cells.iter().filter(|cell| cell.row == cell.column).map(|cell| cell.rows).sum();
            prop_assert_eq!(diagonal, rows.iter().filter(|row| row.is_right()).count() as u64);
            prop_assert!(matrix.blocks.is_sorted_by(|a, b| a.errors >= b.errors));
        }
    }
}
