//! Nearest neighbours among the vectors of a reference set: an exact scan, or HNSW where the set's size earns it.

mod code_dot;
mod codes;
mod config;
mod dot;
mod fetch;
mod file;
mod flat;
mod frozen;
mod grow;
mod header;
mod hnsw;
mod levels;
mod links;
mod matrix;
mod order;
mod plane;
mod recall;
mod renewal;
mod repair;
mod scratch;
mod select;
mod sieve;
mod walk;
mod watch;
mod weave;

use std::sync::Arc;

use serde::Serialize;

pub use config::{IndexBuilder, IndexChoice, IndexConfig, IndexKind};
pub use file::{Identity, IndexFileError, RowKey, Saved, read, write};
pub use flat::FlatIndex;
pub use frozen::HnswIndex;
pub use matrix::{VectorMatrix, VectorMatrixBuilder};
pub use renewal::{Renewed, renew};
pub use watch::{BuildWatch, Stopped};

use crate::embed::Embedding;

/// A row of the matrix near a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    pub row: u32,
    /// Cosine similarity, in [-1, 1].
    pub similarity: f32,
}

/// What a search needs of an index. Immutable once built; searched from many threads.
pub trait VectorIndex: Send + Sync {
    /// Up to `k` rows, nearest first; ties by row. The query has the matrix's dimension.
    fn nearest(&self, query: &Embedding, k: usize) -> Vec<Hit>;

    /// Has each search look at these rows, whatever leads to them: to prompts that are unlike all others, hardly a link
    /// of a graph does. They take the place of those before. For an exact index nothing changes.
    fn pin(&mut self, _rows: &[u32]) {}
}

/// What was built, and how good it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct IndexReport {
    pub kind: IndexKind,
    /// Share of the true ten nearest that the index finds, over sampled queries; `None` for an exact index.
    pub recall_at_10: Option<f32>,
}

/// Builds the index that `config` asks for over `vectors`; the recall of HNSW is measured against the exact scan.
pub fn build(
    vectors: &Arc<VectorMatrix>,
    config: &IndexConfig,
    watch: &BuildWatch,
) -> Result<(Box<dyn VectorIndex>, IndexReport), Stopped> {
    match config.kind_for(vectors.rows()) {
        IndexKind::Flat => Ok((
            Box::new(FlatIndex::sieved(Arc::clone(vectors))),
            IndexReport { kind: IndexKind::Flat, recall_at_10: None },
        )),
        IndexKind::Hnsw => {
            let hnsw = HnswIndex::build(vectors, config, watch)?.measured(&FlatIndex::new(Arc::clone(vectors)));
            let report = hnsw.report();
            Ok((Box::new(hnsw), report))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::VectorMatrix;
    use crate::embed::Embedding;

    /// Unit vectors in a few dozen clusters, as text embeddings are.
    pub(crate) fn random_matrix(rows: usize, dimension: usize, seed: u64) -> VectorMatrix {
        let mut random = StdRng::seed_from_u64(seed);
        let mut vector =
            |spread: f32| -> Vec<f32> { (0..dimension).map(|_| random.random_range(-spread..spread)).collect() };
        let centres: Vec<Vec<f32>> = (0..30).map(|_| vector(1.0)).collect();
        let mut matrix = VectorMatrix::with_capacity(rows, dimension);
        for row in 0..rows {
            let noise = vector(0.5);
            let values = centres[row % 30].iter().zip(noise).map(|(centre, noise)| centre + noise).collect();
            matrix.push(&Embedding::normalised(values).unwrap()).unwrap();
        }
        matrix.finish()
    }
}
