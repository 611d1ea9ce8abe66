//! The exact scan. It also is the oracle that HNSW is measured against.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::dot::Dot;
use super::matrix::VectorMatrix;
use super::sieve::Sieve;
use super::{Hit, VectorIndex};
use crate::embed::Embedding;

pub struct FlatIndex {
    vectors: Arc<VectorMatrix>,
    dot: Dot,
    /// With it only the rows that may be among the nearest are compared in single precision: the same hits, sooner.
    sieve: Option<Sieve>,
}

impl FlatIndex {
    pub fn new(vectors: Arc<VectorMatrix>) -> Self {
        Self { vectors, dot: Dot::new(), sieve: None }
    }

    /// For many searches: takes a quarter more memory, and finds the same hits while reading a quarter of it.
    pub fn sieved(vectors: Arc<VectorMatrix>) -> Self {
        let sieve = Some(Sieve::new(&vectors));
        Self { sieve, ..Self::new(vectors) }
    }

    pub(super) fn vectors(&self) -> &VectorMatrix {
        &self.vectors
    }

    /// Inner product of a query with a row.
    pub(super) fn similarity(&self, query: &[f32], row: u32) -> f32 {
        self.dot.of(query, self.vectors.row(row as usize))
    }

    pub(super) fn nearest_to(&self, query: &[f32], k: usize) -> Vec<Hit> {
        if k == 0 {
            return Vec::new();
        }
        match self.sieve.as_ref().and_then(|sieve| sieve.pass(query, k)) {
            Some(rows) => self.best(query, k, rows.into_iter()),
            None => self.best(query, k, 0..self.vectors.rows() as u32),
        }
    }

    /// The `k` best of `rows`.
    fn best(&self, query: &[f32], k: usize, rows: impl Iterator<Item = u32>) -> Vec<Hit> {
        let mut best: BinaryHeap<Worst> = BinaryHeap::with_capacity(k.min(self.vectors.rows()) + 1);
        for row in rows {
            let hit = Worst(Hit { row, similarity: self.similarity(query, row) });
            if best.len() < k {
                best.push(hit);
            } else if best.peek().is_some_and(|worst| hit < *worst) {
                best.pop();
                best.push(hit);
            }
        }
        best.into_sorted_vec().into_iter().map(|Worst(hit)| clamped(hit)).collect()
    }
}

impl VectorIndex for FlatIndex {
    fn nearest(&self, query: &Embedding, k: usize) -> Vec<Hit> {
        self.nearest_to(query.as_slice(), k)
    }
}

/// Rounding may lift the similarity of equal vectors a little above 1.
pub(super) fn clamped(hit: Hit) -> Hit {
    Hit { similarity: hit.similarity.clamp(-1.0, 1.0), ..hit }
}

/// Orders hits so that the worst is the greatest: the heap drops it first, and a sorted heap has the best in front.
#[derive(PartialEq)]
struct Worst(Hit);

impl Eq for Worst {}

impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Worst {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.similarity.total_cmp(&self.0.similarity).then(self.0.row.cmp(&other.0.row))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::random_matrix;
    use super::*;

    #[test]
    fn nearest_come_first_and_ties_by_row() {
        let mut rows = VectorMatrix::with_capacity(3, 2);
        for vector in [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]] {
            rows.push(&Embedding::normalised(vector.to_vec()).unwrap()).unwrap();
        }
        let index = FlatIndex::new(Arc::new(rows.finish()));
        let query = Embedding::normalised(vec![1.0, 0.1]).unwrap();
        let order: Vec<u32> = index.nearest(&query, 10).iter().map(|hit| hit.row).collect();
        assert_eq!(order, [0, 2, 1]);
        assert!(index.nearest(&query, 0).is_empty());
        assert_eq!(index.nearest(&query, 1).len(), 1);
    }

    #[test]
    fn agrees_with_sorting_everything() {
        let vectors = Arc::new(random_matrix(500, 24, 3));
        let index = FlatIndex::new(Arc::clone(&vectors));
        let query = vectors.row(17);
        let mut all: Vec<(f32, usize)> =
            vectors.iter().enumerate().map(|(row, vector)| (Dot::new().of(query, vector), row)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let expected: Vec<u32> = all.iter().take(20).map(|(_, row)| *row as u32).collect();
        let found: Vec<u32> = index.nearest_to(query, 20).iter().map(|hit| hit.row).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_sieve_changes_no_hit() {
        let vectors = Arc::new(random_matrix(1_000, 96, 8));
        let (plain, sieved) = (FlatIndex::new(Arc::clone(&vectors)), FlatIndex::sieved(Arc::clone(&vectors)));
        for (row, k) in [(0, 1), (17, 20), (999, 200), (500, 999), (501, 1_000), (502, 5_000)] {
            assert_eq!(sieved.nearest_to(vectors.row(row), k), plain.nearest_to(vectors.row(row), k), "{k}");
        }
    }

    #[test]
    fn an_empty_matrix_has_no_neighbours() {
        let index = FlatIndex::new(Arc::new(VectorMatrix::with_capacity(0, 2).finish()));
        assert!(index.nearest(&Embedding::normalised(vec![1.0, 0.0]).unwrap(), 5).is_empty());
    }
}
