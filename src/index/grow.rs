//! Growing a graph layer by layer from the top: whoever is in the upper layers is linked there before the rows below
//! are looked at, and so each of those has a place among them.
//!
//! That place gives a node its number: nodes that are near each other lie near each other in memory, at every scale.
//! The same rows give the same graph, however many threads there are.

use rayon::prelude::*;

use super::codes::{Codes, QueryCodes};
use super::config::IndexConfig;
use super::levels::rows_by_level;
use super::links::Links;
use super::matrix::VectorMatrix;
use super::scratch;
use super::walk::descend;
use super::watch::{BuildWatch, Stopped};
use super::weave::weave;

/// Rows that are placed between two looks at whether to stop.
const PLACED_AT_ONCE: usize = 16_384;

/// A graph whose nodes are numbered anew.
pub(super) struct Grown {
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
) -> Result<Grown, Stopped> {
    let levels = rows_by_level(vectors.rows(), config.m);
    let sizes: Vec<usize> = (0..levels.len()).map(|level| levels.iter().skip(level).map(Vec::len).sum()).collect();
    let mut grown = Grown {
        codes: Codes::zeroed(vectors.rows(), vectors.dimension(), step),
        links: Links::unlinked(config.m, &sizes),
        order: Vec::with_capacity(vectors.rows()),
    };
    let mut tour = Vec::new();
    for (layer, rows) in levels.iter().enumerate().rev() {
        let placed = grown.place(layer, rows, &tour, vectors, watch)?;
        for Placed { row, .. } in &placed {
            grown.codes.set(grown.order.len(), vectors.row(*row as usize));
            grown.order.push(*row);
        }
        tour = extended(&tour, &placed);
        let upper = grown.order.len() - placed.len();
        let entries: Vec<u32> = placed.iter().map(|placed| placed.entry).collect();
        weave(&grown.codes, &mut grown.links, layer, upper, &entries, config.ef_construction, watch)?;
    }
    Ok(grown)
}

/// A row that has no number yet, and the node of the layer above that it is near.
struct Placed {
    /// Where `entry` is in the tour of the nodes.
    at: u32,
    entry: u32,
    row: u32,
}

impl Grown {
    /// Rows of level `layer` in the order of the nodes that they are near.
    fn place(
        &self,
        layer: usize,
        rows: &[u32],
        tour: &[u32],
        vectors: &VectorMatrix,
        watch: &BuildWatch,
    ) -> Result<Vec<Placed>, Stopped> {
        let mut stop_of = vec![0u32; tour.len()];
        for (at, node) in tour.iter().enumerate() {
            if let Some(stop) = stop_of.get_mut(*node as usize) {
                *stop = at as u32;
            }
        }
        let place = |row: &u32| {
            let query = self.codes.query(vectors.row(*row as usize));
            let entry = self.entry(layer, &query);
            Placed { at: stop_of.get(entry as usize).copied().unwrap_or(0), entry, row: *row }
        };
        let mut placed = Vec::with_capacity(rows.len());
        for part in rows.chunks(PLACED_AT_ONCE) {
            placed.par_extend(part.par_iter().map(place));
            watch.go_on()?;
        }
        placed.par_sort_unstable_by_key(|placed| (placed.at, placed.row));
        Ok(placed)
    }

    /// The node to which the layers above `layer` lead.
    fn entry(&self, layer: usize, query: &QueryCodes) -> u32 {
        let above = (layer + 1..self.links.layers()).rev();
        scratch::with(|scratch| {
            above.fold(0, |node, layer| descend(&self.codes, &self.links, query, layer, node, scratch))
        })
    }
}

/// The tour of all nodes, in which each is followed by those that were placed near it. They have the next numbers, in
/// their order.
fn extended(tour: &[u32], placed: &[Placed]) -> Vec<u32> {
    let mut extended = Vec::with_capacity(tour.len() + placed.len());
    let mut placed = placed.iter().zip(tour.len() as u32..).peekable();
    for (at, node) in tour.iter().enumerate() {
        extended.push(*node);
        extended.extend(std::iter::from_fn(|| placed.next_if(|(placed, _)| placed.at as usize == at)).map(|(_, new)| new));
    }
    extended.extend(placed.map(|(_, new)| new));
    extended
}
