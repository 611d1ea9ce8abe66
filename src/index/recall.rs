//! How many of the true nearest an approximate index finds.

use rayon::prelude::*;

use super::flat::FlatIndex;
use super::frozen::HnswIndex;

/// Queries sampled from the rows, evenly spread: at most so many, and no fewer than so many.
const QUERIES: std::ops::RangeInclusive<usize> = 60..=200;

/// Vectors compared in all, which bounds the time: some ten seconds of one core.
const COMPARED: usize = 60_000_000;

/// Two similarities closer than this are a tie: either row is as right as the other.
const TIE: f32 = 1e-5;

/// How far a query is moved from the row that it is made of, towards another row: near enough to lie where the data
/// lies, far enough not to be in the index.
const STEP: f32 = 0.15;

/// Mean share of the ten nearest rows that `hnsw` finds, over rows that were moved a little; on rayon's pool.
pub(super) fn at_10(hnsw: &HnswIndex, flat: &FlatIndex) -> f32 {
    let vectors = flat.vectors();
    let rows = vectors.rows();
    if rows == 0 {
        return 1.0;
    }
    let queries = (COMPARED / rows).clamp(*QUERIES.start(), *QUERIES.end());
    let sampled: Vec<usize> = (0..rows).step_by(rows.div_ceil(queries).max(1)).collect();
    let of_query = |row: usize| {
        let query = moved(vectors.row(row), vectors.row((row + 1) % rows));
        let exact = flat.nearest_to(&query, 10);
        let Some(least) = exact.last().map(|hit| hit.similarity - TIE) else { return (0, 0) };
        // The index rounds similarities: they are taken from the vectors themselves.
        let near = |row: u32| flat.similarity(&query, row) >= least;
        (hnsw.nearest_to(&query, 10).iter().filter(|hit| near(hit.row)).count(), exact.len())
    };
    let (found, wanted) =
        sampled.into_par_iter().map(of_query).reduce(|| (0, 0), |one, other| (one.0 + other.0, one.1 + other.1));
    if wanted == 0 { 1.0 } else { found as f32 / wanted as f32 }
}

/// Not normalised: scaling a query does not change the order of its neighbours by inner product.
fn moved(row: &[f32], other: &[f32]) -> Vec<f32> {
    row.iter().zip(other).map(|(x, y)| x + STEP * (y - x)).collect()
}
