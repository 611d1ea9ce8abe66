//! Nearest prompts within the training set: for near-duplicates, folds, votes and familiarity.

use ndarray::{ArrayView2, Axis, Slice};
use rayon::prelude::*;

use crate::error::FitError;

/// Neighbours kept of a prompt: 20 of them vote, and those in the prompt's own fold do not.
pub(crate) const KEPT: usize = 64;

/// Queries whose similarities to all rows are computed at a time.
const BLOCK_ROWS: usize = 128;

/// Similarities that a thread holds at a time, at most: 16 MB.
const BLOCK_VALUES: usize = 4_000_000;

/// Cosine similarity from which two prompts are near-duplicates.
pub(crate) const DUPLICATE: f32 = 0.95;

/// Cosine similarity from which two prompts ask the same in other words.
pub(crate) const PARAPHRASE: f32 = 0.9;

/// (row, cosine similarity), nearest first; ties by row.
pub(crate) type Nearest = Vec<(u32, f32)>;

/// The `count` nearest rows of each query among those that `keep(query, row)`. Work: queries · rows · dimension.
pub(crate) fn nearest(
    queries: ArrayView2<f32>,
    rows: ArrayView2<f32>,
    count: usize,
    keep: &(dyn Fn(usize, usize) -> bool + Sync),
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Nearest>, FitError> {
    let block = BLOCK_ROWS.min(BLOCK_VALUES / rows.nrows().max(1)).max(1);
    let blocks: Vec<usize> = (0..queries.nrows()).step_by(block).collect();
    let parts: Option<Vec<Vec<Nearest>>> = blocks
        .into_par_iter()
        .map(|from| {
            if cancelled() {
                return None;
            }
            let to = (from + block).min(queries.nrows());
            let similarities = queries.slice_axis(Axis(0), Slice::from(from..to)).dot(&rows.t());
            let nearest = |(query, values): (usize, ndarray::ArrayView1<f32>)| {
                largest(values.iter(), count, &|row| keep(query, row))
            };
            Some((from..to).zip(similarities.rows()).map(nearest).collect())
        })
        .collect();
    Ok(parts.ok_or(FitError::Cancelled)?.into_iter().flatten().collect())
}

/// Keeps a buffer of up to twice `count`; the `count`-th value found bounds what enters it.
fn largest<'a>(values: impl Iterator<Item = &'a f32>, count: usize, keep: &dyn Fn(usize) -> bool) -> Nearest {
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut kept: Nearest = Vec::with_capacity(2 * count + 1);
    let mut bound = f32::NEG_INFINITY;
    for (row, value) in values.enumerate() {
        if *value > bound && keep(row) {
            kept.push((row as u32, *value));
            if kept.len() > 2 * count {
                kept.select_nth_unstable_by(count, order);
                kept.truncate(count + 1);
                bound = kept[count].1;
            }
        }
    }
    kept.sort_unstable_by(order);
    kept.truncate(count);
    kept
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::random::SplitMix64;

    #[test]
    fn agrees_with_sorting() {
        let mut random = SplitMix64::new(5);
        let rows = Array2::from_shape_fn((300, 4), |_| random.below(1000) as f32 / 500.0 - 1.0);
        let found = nearest(rows.view(), rows.view(), 7, &|query, row| query != row, &|| false).unwrap();
        for (row, nearest) in found.iter().enumerate() {
            let others = (0..300).filter(|other| *other != row);
            let mut all: Nearest = others.map(|other| (other as u32, rows.row(row).dot(&rows.row(other)))).collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            assert_eq!(nearest.len(), 7);
            for (found, expected) in nearest.iter().zip(&all) {
                assert!((found.1 - expected.1).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn stops_when_told() {
        let rows = Array2::zeros((3, 2));
        assert_eq!(nearest(rows.view(), rows.view(), 1, &|_, _| true, &|| true), Err(FitError::Cancelled));
    }
}
