//! Building a graph with `hnsw_rs`, for whoever asks for it by `index.builder` and for comparison: the one file that
//! uses that crate.
//!
//! Its graph is read out and dropped: what is searched and saved are [`Links`], in which a node costs bytes and not
//! kilobytes. What that crate does not check is checked before: parameters in [`super::config`], finite values and one
//! dimension by [`crate::embed::Embedding`] and [`VectorMatrix`].

use hnsw_rs::prelude::{Distance, Hnsw, PointId};

use super::code_dot::CodeDot;
use super::codes::{Codes, coarse};
use super::config::IndexConfig;
use super::grow::Graph;
use super::links::{Links, MAX_LAYERS};
use super::matrix::VectorMatrix;
use super::order;
use super::watch::{BuildWatch, Stopped};

/// Rows inserted before others are inserted at once: insertions into an empty graph do not see each other.
const FIRST_ROWS: usize = 1_000;

/// Rows inserted by one parallel call, and between two looks at whether to stop. The crate asks for at least 1,000 a
/// thread.
const INSERT_ROWS: usize = 8_192;

/// 1 less the cosine of vectors given by their coarse bytes, never below 0 (the crate sorts by it and expects that).
#[derive(Clone, Copy)]
struct CodeDistance {
    dot: CodeDot,
    /// The square of what a coarse unit stands for.
    unit: f32,
}

impl Distance<i8> for CodeDistance {
    fn eval(&self, a: &[i8], b: &[i8]) -> f32 {
        (1.0 - self.dot.of_rows(a, b) as f32 * self.unit).max(0.0)
    }
}

/// Builds a graph over vectors that are encoded with `step`, on rayon's pool. `config` has no faults, `vectors` has
/// rows, but no more than [`super::links::MAX_NODES`].
pub(super) fn build(
    vectors: &VectorMatrix,
    step: f32,
    config: &IndexConfig,
    watch: &BuildWatch,
) -> Result<Graph, Stopped> {
    let coarse = coarse(vectors, step);
    let distance = CodeDistance { dot: CodeDot::new(), unit: (256.0 * step).powi(2) };
    let graph = Hnsw::new(config.m, vectors.rows(), MAX_LAYERS, config.ef_construction, distance);
    let numbered: Vec<(&[i8], usize)> = (0..coarse.rows()).map(|row| (coarse.row(row), row)).collect();
    let (first, rest) = numbered.split_at(FIRST_ROWS.min(numbered.len()));
    first.iter().for_each(|row| graph.insert_slice(*row));
    watch.inserted(first.len())?;
    for part in rest.chunks(INSERT_ROWS) {
        graph.parallel_insert_slice(&part.to_vec());
        watch.inserted(part.len())?;
    }
    let (order, links) = freeze(&graph, vectors.rows(), config.m);
    Ok(Graph { codes: Codes::encode(vectors, step, &order), links, order })
}

/// Links of one row: its neighbours' rows, layer by layer up to its own.
type RowLinks = Vec<Vec<u32>>;

/// Reads the order of the nodes and the links out. A link of an upper layer to a node that is not in that layer is left
/// out: the crate makes a few while its upper layers are still empty.
fn freeze(graph: &Hnsw<'_, i8, CodeDistance>, rows: usize, m: usize) -> (Vec<u32>, Links) {
    let mut of_rows: Vec<RowLinks> = vec![Vec::new(); rows];
    for point in graph.get_point_indexation() {
        let PointId(level, _) = point.get_point_id();
        let mut layers = point.get_neighborhood_id();
        layers.truncate(usize::from(level) + 1);
        let within = |(layer, links): (usize, &Vec<hnsw_rs::prelude::Neighbour>)| {
            links.iter().filter(|link| usize::from(link.p_id.0) >= layer).map(|link| link.d_id as u32).collect()
        };
        if let Some(row) = of_rows.get_mut(point.get_origin_id()) {
            *row = layers.iter().enumerate().map(within).collect();
        }
    }
    let order = order::of_rows(&of_rows);
    let mut node_of = vec![0u32; rows];
    for (node, row) in order.iter().enumerate() {
        if let Some(place) = node_of.get_mut(*row as usize) {
            *place = node as u32;
        }
    }

    let layers = of_rows.iter().map(Vec::len).max().unwrap_or(1).max(1);
    let sizes: Vec<usize> = (0..layers)
        .map(|layer| if layer == 0 { rows } else { of_rows.iter().filter(|row| row.len() > layer).count() })
        .collect();
    let mut links = Links::unlinked(m, &sizes);
    for (node, row) in order.iter().enumerate() {
        for (layer, to) in of_rows.get(*row as usize).into_iter().flatten().enumerate() {
            for to in to.iter().filter_map(|to| node_of.get(*to as usize)) {
                links.add(layer, node as u32, *to);
            }
        }
    }
    (order, links)
}
