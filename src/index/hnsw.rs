//! Hierarchical navigable small world graph: the one file that names `hnsw_rs`.
//!
//! What that crate does not check is checked before: parameters in [`super::config`], finite values and one dimension
//! by [`crate::embed::Embedding`] and [`VectorMatrix`]. The graph is never changed after it was built.

use hnsw_rs::prelude::{Distance, Hnsw};

use super::config::IndexConfig;
use super::dot::Dot;
use super::flat::clamped;
use super::matrix::VectorMatrix;
use super::{Hit, VectorIndex};
use crate::embed::Embedding;

/// The crate's own bound on layers.
const MAX_LAYERS: usize = 16;

/// Rows inserted by one parallel call; the crate asks for at least 1,000 a thread.
const INSERT_ROWS: usize = 16_384;

pub struct HnswIndex {
    graph: Hnsw<'static, f32, CosineDistance>,
    ef_search: usize,
    rows: usize,
}

/// 1 less the cosine of unit vectors, never below 0 (the crate sorts by it and expects that).
#[derive(Clone, Copy)]
struct CosineDistance(Dot);

impl Distance<f32> for CosineDistance {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - self.0.of(a, b)).max(0.0)
    }
}

impl HnswIndex {
    /// Builds the graph on rayon's global pool. `config` has no faults.
    pub fn build(vectors: &VectorMatrix, config: &IndexConfig) -> Self {
        let rows = vectors.rows();
        let distance = CosineDistance(Dot::new());
        let mut graph = Hnsw::new(config.m, rows.max(1), MAX_LAYERS, config.ef_construction, distance);
        let numbered: Vec<(&[f32], usize)> = vectors.iter().enumerate().map(|(row, vector)| (vector, row)).collect();
        for part in numbered.chunks(INSERT_ROWS) {
            graph.parallel_insert_slice(&part.to_vec());
        }
        graph.set_searching_mode(true);
        Self { graph, ef_search: config.ef_search, rows }
    }

    pub(super) fn nearest_to(&self, query: &[f32], k: usize) -> Vec<Hit> {
        let k = k.min(self.rows);
        if k == 0 {
            return Vec::new();
        }
        let found = self.graph.search(query, k, self.ef_search.max(k));
        let hit = |n: hnsw_rs::prelude::Neighbour| Hit { row: n.d_id as u32, similarity: 1.0 - n.distance };
        let mut hits: Vec<Hit> = found.into_iter().map(hit).map(clamped).collect();
        hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
        hits
    }
}

impl VectorIndex for HnswIndex {
    fn nearest(&self, query: &Embedding, k: usize) -> Vec<Hit> {
        self.nearest_to(query.as_slice(), k)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests_support::random_matrix;
    use super::super::{FlatIndex, recall};
    use super::*;

    #[test]
    fn finds_nearly_what_the_exact_scan_finds() {
        let vectors = Arc::new(random_matrix(3000, 32, 1));
        let hnsw = HnswIndex::build(&vectors, &IndexConfig::default());
        let recall = recall::at_10(&hnsw, &FlatIndex::new(Arc::clone(&vectors)), &vectors);
        assert!(recall > 0.95, "recall@10 is {recall}");
        let hits = hnsw.nearest_to(vectors.row(5), 20);
        assert_eq!(hits.len(), 20);
        assert_eq!(hits[0].row, 5);
        assert!(hits.windows(2).all(|pair| pair[0].similarity >= pair[1].similarity));
    }

    #[test]
    fn few_or_equal_rows_are_no_trouble() {
        for rows in [0, 1, 2, 7] {
            let vectors = random_matrix(rows, 8, 2);
            let hnsw = HnswIndex::build(&vectors, &IndexConfig::default());
            assert!(hnsw.nearest_to(&[0.1; 8], 5).len() <= rows.min(5));
        }
        let mut same = VectorMatrix::with_capacity(300, 2);
        for _ in 0..300 {
            same.push(&Embedding::normalised(vec![1.0, 0.0]).unwrap()).unwrap();
        }
        let hnsw = HnswIndex::build(&same.finish(), &IndexConfig::default());
        assert!(!hnsw.nearest_to(&[1.0, 0.0], 5).is_empty());
    }
}
