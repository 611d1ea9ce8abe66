//! Which rows may be among the nearest, found by reading a quarter of the memory: inner products with vectors rounded
//! to a byte a component, and a bound on how far they can be off.
//!
//! A scan of single precision waits for memory, and all the more while embedding threads use the same caches.

use super::code_dot::CodeDot;
use super::codes::{QueryCodes, coarse, step_for};
use super::matrix::VectorMatrix;
use super::plane::Plane;

pub(super) struct Sieve {
    coarse: Plane,
    /// What a unit of the coarse bytes stands for.
    unit: f32,
    /// The greatest norm of what the coarse bytes leave out of a row.
    left_out: f32,
    /// The greatest norm of a row.
    norm: f32,
    dot: CodeDot,
}

impl Sieve {
    pub(super) fn new(vectors: &VectorMatrix) -> Self {
        let step = step_for(vectors);
        let unit = 256.0 * step;
        let coarse = coarse(vectors, step);
        let (mut left_out, mut norm) = (0f32, 0f32);
        for (row, vector) in vectors.iter().enumerate() {
            let (mut squares_left, mut squares) = (0f32, 0f32);
            for (code, value) in coarse.row(row).iter().zip(vector) {
                squares_left += (value - f32::from(*code) * unit).powi(2);
                squares += value * value;
            }
            (left_out, norm) = (left_out.max(squares_left.sqrt()), norm.max(squares.sqrt()));
        }
        Self { coarse, unit, left_out, norm, dot: CodeDot::new() }
    }

    /// Rows, in order, that hold the `k` with the greatest inner products with `query`; `None` if that cannot be told.
    pub(super) fn pass(&self, query: &[f32], k: usize) -> Option<Vec<u32>> {
        if k == 0 || k >= self.coarse.rows() {
            return None;
        }
        let codes = QueryCodes::of(query, self.coarse.stride());
        let rows: Vec<u32> = (0..self.coarse.rows() as u32).collect();
        let mut scores = Vec::new();
        self.dot.of_query(&codes.values, self.coarse.all(), &rows, &mut scores);
        let least = self.least(query, &codes, kth(&scores, k)?)?;
        Some(rows.into_iter().zip(scores).filter(|(_, score)| f64::from(*score) >= least).map(|(row, _)| row).collect())
    }

    /// The least score that a row may have whose true product is as great as the least of the `k` best. Cauchy and
    /// Schwarz bound by how much any true product and its score can differ.
    fn least(&self, query: &[f32], codes: &QueryCodes, kth: i32) -> Option<f64> {
        let squares: f64 = query.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
        let norm = squares.sqrt() as f32;
        if !norm.is_normal() {
            return None;
        }
        let rounded = 0.5 * codes.step * (query.len() as f32).sqrt();
        let off =
            norm * self.left_out + rounded * (self.norm + self.left_out) + norm * self.norm * rounding(query.len());
        let least = f64::from(kth) - 2.0 * f64::from(off) / (f64::from(self.unit) * f64::from(codes.step));
        least.is_finite().then_some(least)
    }
}

/// What an inner product of so many components may be off in single precision, relative to the norms: less than one
/// unit in the last place for each sum, in whatever order (Higham 2002, section 3.1; half of it would do).
fn rounding(components: usize) -> f32 {
    components as f32 * f32::EPSILON
}

/// The `k`th greatest.
fn kth(scores: &[i32], k: usize) -> Option<i32> {
    let mut scores = scores.to_vec();
    let at = scores.len().checked_sub(k)?;
    (at < scores.len()).then(|| *scores.select_nth_unstable(at).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::dot::Dot;
    use super::super::tests_support::random_matrix;
    use super::*;

    #[test]
    fn few_rows_pass() {
        let vectors = random_matrix(3_000, 384, 5);
        let sieve = Sieve::new(&vectors);
        let passed: usize = (0..50).map(|row| sieve.pass(vectors.row(row * 7), 20).unwrap().len()).sum();
        assert!(passed < 50 * 150, "{passed} rows passed for 50 queries");
    }

    #[test]
    fn what_cannot_be_told_is_not() {
        let sieve = Sieve::new(&random_matrix(30, 8, 5));
        assert!(sieve.pass(&[0.1; 8], 0).is_none());
        assert!(sieve.pass(&[0.1; 8], 30).is_none());
        assert!(sieve.pass(&[f32::NAN; 8], 3).is_none());
        assert!(sieve.pass(&[f32::INFINITY; 8], 3).is_none());
        assert!(sieve.pass(&[0.0; 8], 3).is_none_or(|rows| rows.len() == 30));
    }

    proptest! {
        #[test]
        fn the_nearest_always_pass(seed in 0u64..1_000, k in 1usize..40, scale in 0.01f32..100.0, values in prop::collection::vec(-1.0f32..1.0, 70)) {
            let vectors = random_matrix(200, 70, seed);
            let query: Vec<f32> = values.iter().map(|value| value * scale).collect();
            let dot = Dot::new();
            let mut all: Vec<(f32, u32)> = vectors.iter().zip(0..).map(|(row, at)| (dot.of(&query, row), at)).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let passed = Sieve::new(&vectors).pass(&query, k).unwrap();
            for (_, row) in &all[..k] {
                prop_assert!(passed.binary_search(row).is_ok(), "row {row} of {} that passed", passed.len());
            }
        }
    }
}
