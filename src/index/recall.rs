//! How many of the true nearest an approximate index finds.

use super::flat::FlatIndex;
use super::hnsw::HnswIndex;
use super::matrix::VectorMatrix;

/// Queries sampled from the rows, evenly spread.
const QUERIES: usize = 200;

/// Two similarities closer than this are a tie: either row is as right as the other.
const TIE: f32 = 1e-5;

/// How far a query is moved from the row that it is made of, towards another row: near enough to lie where the data
/// lies, far enough not to be in the index.
const STEP: f32 = 0.15;

/// Mean share of the ten nearest rows that `hnsw` finds, over rows that were moved a little.
pub(super) fn at_10(hnsw: &HnswIndex, flat: &FlatIndex, vectors: &VectorMatrix) -> f32 {
    let rows = vectors.rows();
    if rows == 0 {
        return 1.0;
    }
    let step = rows.div_ceil(QUERIES).max(1);
    let (mut found, mut wanted) = (0usize, 0usize);
    for row in (0..rows).step_by(step) {
        let query = moved(vectors.row(row), vectors.row((row + 1) % rows));
        let exact = flat.nearest_to(&query, 10);
        let Some(least) = exact.last().map(|hit| hit.similarity - TIE) else { continue };
        wanted += exact.len();
        found += hnsw.nearest_to(&query, 10).iter().filter(|hit| hit.similarity >= least).count();
    }
    if wanted == 0 { 1.0 } else { found as f32 / wanted as f32 }
}

/// Not normalised: scaling a query does not change the order of its neighbours by inner product.
fn moved(row: &[f32], other: &[f32]) -> Vec<f32> {
    row.iter().zip(other).map(|(x, y)| x + STEP * (y - x)).collect()
}
