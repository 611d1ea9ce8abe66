//! Growing a graph layer by layer from the top: whoever is in the upper layers is linked there before the rows below
//! are looked at, and so each of those has a place among them.
//!
//! That place gives a node its number: nodes that are near each other lie near each other in memory, at every scale.
//! The same rows give the same graph, however many threads there are.
//!
//! Why not `hnsw_rs`: see [`super::config::IndexBuilder`] for time and recall of both.

use rayon::prelude::*;

use super::codes::Codes;
use super::config::IndexConfig;
use super::levels::rows_by_level;
use super::links::Links;
use super::matrix::VectorMatrix;
use super::scratch;
use super::walk::Ground;
use super::watch::{BuildWatch, Stopped};
use super::weave::Layer;

/// Rows that are placed between two looks at whether to stop.
const PLACED_AT_ONCE: usize = 16_384;

/// A graph with its vectors. Its nodes are numbered anew.
pub(super) struct Graph {
    pub(super) codes: Codes,
    pub(super) links: Links,
    /// The row of each node.
    pub(super) order: Vec<u32>,
}

/// Builds a graph over vectors that are encoded with `step`, on rayon's pool. `config` has no faults; there are no more
/// rows than [`super::links::MAX_NODES`].
pub(super) fn grow(
    vectors: &VectorMatrix,
    step: f32,
    config: &IndexConfig,
    watch: &BuildWatch,
) -> Result<Graph, Stopped> {
    let levels = rows_by_level(vectors.rows(), config.m);
    let sizes: Vec<usize> = (0..levels.len()).map(|level| levels.iter().skip(level).map(Vec::len).sum()).collect();
    let mut codes = Codes::zeroed(vectors.rows(), vectors.dimension(), step);
    let mut links = Links::unlinked(config.m, &sizes);
    let (mut order, mut tour) = (Vec::with_capacity(vectors.rows()), Vec::new());
    for (number, rows) in levels.iter().enumerate().rev() {
        let upper = order.len();
        let placed = place(Ground { codes: &codes, links: &links }, number, rows, &tour, vectors, watch)?;
        for Placed { row, .. } in &placed {
            codes.set(order.len(), vectors.row(*row as usize));
            order.push(*row);
        }
        tour = extended(&tour, &placed);
        let entries: Vec<u32> = placed.iter().map(|placed| placed.entry).collect();
        let layer = Layer { codes: &codes, number, upper, entries: &entries, ef: config.ef_construction };
        layer.weave(&mut links, watch)?;
    }
    Ok(Graph { codes, links, order })
}

/// A row that has no number yet.
struct Placed {
    /// Where `entry` is in the tour.
    at: u32,
    /// The node of the layer above that it is near.
    entry: u32,
    row: u32,
}

/// Rows that are in no layer above `layer`, in the order in which the tour comes to the nodes that they are near.
fn place(
    ground: Ground<'_>,
    layer: usize,
    rows: &[u32],
    tour: &[u32],
    vectors: &VectorMatrix,
    watch: &BuildWatch,
) -> Result<Vec<Placed>, Stopped> {
    let mut stops = vec![0u32; tour.len()];
    for (at, node) in tour.iter().enumerate() {
        if let Some(stop) = stops.get_mut(*node as usize) {
            *stop = at as u32;
        }
    }
    let place = |row: &u32| {
        let query = ground.codes.query(vectors.row(*row as usize));
        let entry = scratch::with(|scratch| ground.entry(layer, &query, scratch));
        Placed { at: stops.get(entry as usize).copied().unwrap_or(0), entry, row: *row }
    };
    let mut placed = Vec::with_capacity(rows.len());
    for part in rows.chunks(PLACED_AT_ONCE) {
        placed.par_extend(part.par_iter().map(place));
        watch.go_on()?;
    }
    placed.par_sort_unstable_by_key(|placed| (placed.at, placed.row));
    Ok(placed)
}

/// The tour of all nodes: each is followed by those that were placed near it. Those have the next numbers, in their
/// order.
fn extended(tour: &[u32], placed: &[Placed]) -> Vec<u32> {
    let mut extended = Vec::with_capacity(tour.len() + placed.len());
    let mut new = placed.iter().zip(tour.len() as u32..).peekable();
    for (at, node) in tour.iter().enumerate() {
        extended.push(*node);
        while let Some((_, near)) = new.next_if(|(placed, _)| placed.at as usize == at) {
            extended.push(near);
        }
    }
    extended.extend(new.map(|(_, first)| first));
    extended
}

#[cfg(test)]
#[path = "grow_tests.rs"]
mod tests;
