//! The approximate index: a graph that never changes over vectors in codes.
//!
//! Beside the graph there may be rows of later versions that no link leads to: they are scanned. Nodes whose row was
//! deleted are walked through and not returned. See [`super::renewal`].

use std::collections::HashSet;

use super::codes::{Codes, QueryCodes, step_for};
use super::config::{IndexBuilder, IndexConfig, IndexKind};
use super::file::RowKey;
use super::flat::{FlatIndex, clamped};
use super::grow::{Graph, grow};
use super::hnsw;
use super::links::Links;
use super::matrix::VectorMatrix;
use super::scratch::{self, Scratch};
use super::walk::Ground;
use super::watch::{BuildWatch, Stopped};
use super::{Hit, IndexReport, VectorIndex};
use super::{recall, repair};
use crate::embed::Embedding;

/// The row of a node whose row was deleted.
pub(super) const DELETED: u32 = u32::MAX;

/// Candidates beyond the wanted ones whose similarity is computed exactly: coarse scores are off by about 0.002.
const SPARE: usize = 22;

/// How much wider the second attempt is, when the first found too few rows that are not deleted.
const WIDEN: usize = 4;

/// Most candidates of a walk. Beyond that all nodes are scanned, which is faster than sorting so many.
const MAX_EF: usize = 32_768;

/// Nodes scored together when all are looked at.
const SCANNED_AT_ONCE: usize = 256;

pub struct HnswIndex {
    pub(super) codes: Codes,
    /// Of the first nodes; those after them are scanned.
    pub(super) links: Links,
    /// Where each search begins beside the top of the graph: see [`repair`].
    pub(super) landmarks: Vec<u32>,
    /// Nodes where it begins, too: see [`VectorIndex::pin`]. They are not saved.
    pub(super) pinned: Vec<u32>,
    /// The row of each node, or [`DELETED`].
    pub(super) rows: Vec<u32>,
    /// Nodes that are not deleted.
    pub(super) live: usize,
    pub(super) m: usize,
    pub(super) ef_construction: usize,
    pub(super) ef_search: usize,
    /// As it was measured when this was built.
    pub(super) recall_at_10: f32,
}

impl HnswIndex {
    /// Builds the graph on rayon's pool. `config` has no faults.
    pub fn build(vectors: &VectorMatrix, config: &IndexConfig, watch: &BuildWatch) -> Result<Self, Stopped> {
        let step = step_for(vectors);
        let graph = match config.builder {
            // That crate's iterator over the points of an empty graph panics.
            IndexBuilder::HnswRs if vectors.rows() > 0 => hnsw::build(vectors, step, config, watch)?,
            IndexBuilder::HnswRs | IndexBuilder::Batches => grow(vectors, step, config, watch)?,
        };
        Self::of(graph, config, watch)
    }

    /// Makes an index of a graph: every node can be found then.
    pub(super) fn of(graph: Graph, config: &IndexConfig, watch: &BuildWatch) -> Result<Self, Stopped> {
        let Graph { codes, mut links, order: rows } = graph;
        let landmarks = repair::connect(&codes, &mut links);
        watch.go_on()?;
        let (live, &IndexConfig { m, ef_construction, ef_search, .. }) = (rows.len(), config);
        Ok(Self {
            codes,
            links,
            landmarks,
            pinned: Vec::new(),
            rows,
            live,
            m,
            ef_construction,
            ef_search,
            recall_at_10: 1.0,
        })
    }

    /// Searches with so many candidates from now on.
    pub fn with_ef_search(self, ef_search: usize) -> Self {
        Self { ef_search, ..self }
    }

    /// Measures recall@10 against the exact scan of the same rows.
    pub fn measured(self, flat: &FlatIndex) -> Self {
        Self { recall_at_10: recall::at_10(&self, flat), ..self }
    }

    pub fn report(&self) -> IndexReport {
        IndexReport { kind: IndexKind::Hnsw, recall_at_10: Some(self.recall_at_10) }
    }

    /// The keys of its nodes, of those of its rows. Nothing was deleted of it.
    pub fn keys_of_nodes(&self, keys: &[RowKey]) -> Vec<RowKey> {
        self.rows.iter().map(|row| keys.get(*row as usize).copied().unwrap_or_default()).collect()
    }

    /// Bytes that it holds in memory.
    pub fn bytes(&self) -> usize {
        let links: usize = (0..self.links.layers()).map(|layer| 4 * self.links.array(layer).len()).sum();
        let codes: usize = self.codes.planes().iter().map(|plane| plane.len()).sum();
        codes + links + 4 * self.rows.len()
    }

    /// Nodes of the graph, deleted ones too.
    pub(super) fn linked(&self) -> usize {
        self.links.size(0)
    }

    pub(super) fn nearest_to(&self, query: &[f32], k: usize) -> Vec<Hit> {
        let k = k.min(self.live);
        if k == 0 {
            return Vec::new();
        }
        let query = self.codes.query(query);
        let candidates = scratch::with(|scratch| self.candidates(&query, k, scratch));
        let similarities = self.codes.similarities(&query, &candidates);
        let hit = |(node, similarity): (&u32, f32)| {
            self.rows.get(*node as usize).map(|row| clamped(Hit { row: *row, similarity }))
        };
        let mut hits: Vec<Hit> = candidates.iter().zip(similarities).filter_map(hit).collect();
        hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
        hits.truncate(k);
        hits
    }

    /// At least `k` nodes that are not deleted and more to choose from, of which there are at least `k`.
    fn candidates(&self, query: &QueryCodes, k: usize, scratch: &mut Scratch) -> Vec<u32> {
        let wanted = 2 * k + SPARE;
        // Deleted nodes take places among the candidates: as many more as there are of them.
        let dead = self.rows.len().saturating_sub(self.live);
        let ef = self.ef_search.max(k);
        let ef = ef + (ef * dead).div_ceil(self.live.max(1));
        for ef in [ef, ef.saturating_mul(WIDEN)] {
            if ef > MAX_EF || self.linked() == 0 {
                break;
            }
            Ground { codes: &self.codes, links: &self.links }.walk(self.starts(), query, ef, scratch);
            let mut found: Vec<u32> = scratch.pool.nodes().filter(|node| self.lives(*node)).take(wanted).collect();
            found.extend(self.scanned(self.linked()..self.rows.len(), query, wanted, scratch));
            if found.len() >= k {
                return found;
            }
        }
        self.scanned(0..self.rows.len(), query, wanted, scratch)
    }

    fn starts(&self) -> impl Iterator<Item = u32> {
        self.landmarks.iter().chain(&self.pinned).copied()
    }

    fn lives(&self, node: u32) -> bool {
        self.rows.get(node as usize).is_some_and(|row| *row != DELETED)
    }

    /// The best `most` of some nodes that are not deleted, by looking at each.
    fn scanned(
        &self,
        nodes: std::ops::Range<usize>,
        query: &QueryCodes,
        most: usize,
        scratch: &mut Scratch,
    ) -> Vec<u32> {
        let Scratch { pool, fresh, scores, .. } = scratch;
        pool.begin(most);
        for from in nodes.clone().step_by(SCANNED_AT_ONCE) {
            let part = from..nodes.end.min(from + SCANNED_AT_ONCE);
            fresh.clear();
            fresh.extend(part.map(|node| node as u32).filter(|node| self.lives(*node)));
            self.codes.scores(query, fresh, scores);
            for (node, score) in fresh.iter().zip(scores.iter()) {
                pool.offer(*node, *score);
            }
        }
        pool.nodes().collect()
    }
}

impl VectorIndex for HnswIndex {
    fn nearest(&self, query: &Embedding, k: usize) -> Vec<Hit> {
        self.nearest_to(query.as_slice(), k)
    }

    fn pin(&mut self, rows: &[u32]) {
        let wanted: HashSet<u32> = rows.iter().copied().collect();
        let linked = self.rows.iter().take(self.linked()).zip(0..);
        self.pinned = linked.filter(|(row, _)| wanted.contains(row)).map(|(_, node)| node).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests_support::random_matrix;
    use super::*;

    fn built(vectors: &VectorMatrix) -> HnswIndex {
        HnswIndex::build(vectors, &IndexConfig::default(), &BuildWatch::default()).unwrap()
    }

    #[test]
    fn finds_nearly_what_the_exact_scan_finds() {
        let vectors = Arc::new(random_matrix(3000, 32, 1));
        let hnsw = built(&vectors);
        let recall = recall::at_10(&hnsw, &FlatIndex::new(Arc::clone(&vectors)));
        assert!(recall > 0.95, "recall@10 is {recall}");
        let hits = hnsw.nearest_to(vectors.row(5), 20);
        assert_eq!(hits.len(), 20);
        assert_eq!(hits[0].row, 5);
        assert!(hits.windows(2).all(|pair| pair[0].similarity >= pair[1].similarity));
    }

    #[test]
    fn every_row_finds_itself() {
        let vectors = random_matrix(2000, 24, 9);
        let hnsw = built(&vectors);
        let lost = (0..2000).filter(|row| hnsw.nearest_to(vectors.row(*row), 1)[0].row != *row as u32).count();
        assert!(lost < 10, "{lost} rows of 2,000 do not find themselves");
    }

    #[test]
    fn few_rows_are_no_trouble() {
        for rows in [0, 1, 2, 7] {
            let vectors = random_matrix(rows, 8, 2);
            let hnsw = built(&vectors);
            assert_eq!(hnsw.nearest_to(&[0.1; 8], 5).len(), rows.min(5));
            assert_eq!(hnsw.nearest_to(&[0.1; 8], usize::MAX).len(), rows);
            assert!(hnsw.nearest_to(&[0.1; 8], 0).is_empty());
        }
    }

    #[test]
    fn thousands_of_equal_rows_hide_neither_themselves_nor_others() {
        let mut rows = VectorMatrix::with_capacity(4_100, 4);
        let mut push = |vector: Vec<f32>| rows.push(&Embedding::normalised(vector).unwrap()).unwrap();
        for _ in 0..2_000 {
            push(vec![1.0, 0.0, 0.0, 0.0]);
        }
        for at in 0..100 {
            push(vec![0.0, 1.0, at as f32 / 100.0, 0.0]);
        }
        for _ in 0..2_000 {
            push(vec![0.0, 0.0, 0.0, 1.0]);
        }
        let vectors = rows.finish();
        let hnsw = built(&vectors);
        for (query, rows) in [(0, 0..2_000), (2_050, 2_000..2_100), (4_000, 2_100..4_100)] {
            let hits = hnsw.nearest_to(vectors.row(query), 50);
            assert_eq!(hits.len(), 50);
            assert!(hits.iter().all(|hit| rows.contains(&hit.row)), "{query} finds {hits:?}");
        }
    }

    #[test]
    fn what_is_pinned_is_found_without_any_link_to_it() {
        let mut vectors = VectorMatrix::with_capacity(2_001, 16);
        let common = random_matrix(2_000, 15, 4);
        for row in 0..2_000 {
            let mut values = common.row(row).to_vec();
            values.push(0.0);
            vectors.push(&Embedding::normalised(values).unwrap()).unwrap();
        }
        let mut alone = vec![0.0; 16];
        alone[15] = 1.0;
        vectors.push(&Embedding::normalised(alone).unwrap()).unwrap();
        let vectors = vectors.finish();
        let mut hnsw = built(&vectors);
        // As where its links were given up for nearer ones: what leads to it leads nowhere now.
        let node = hnsw.rows.iter().position(|row| *row == 2_000).unwrap() as u32;
        for layer in 0..hnsw.links.layers() {
            hnsw.links.array_mut(layer).iter_mut().filter(|to| **to == node).for_each(|to| *to = 0);
        }
        let found = |hnsw: &HnswIndex| hnsw.nearest_to(vectors.row(2_000), 1)[0].row == 2_000;
        assert!(!found(&hnsw));
        hnsw.pin(&[2_000, 7_000]);
        assert!(found(&hnsw));
        hnsw.pin(&[]);
        assert!(!found(&hnsw), "what is pinned later takes the place of what was before");
    }

    #[test]
    fn a_build_can_be_stopped() {
        let watch = BuildWatch::default();
        watch.stop();
        let built = HnswIndex::build(&random_matrix(2000, 8, 1), &IndexConfig::default(), &watch);
        assert_eq!(built.map(drop), Err(Stopped));
        assert_eq!(watch.rows(), 0);
    }
}
