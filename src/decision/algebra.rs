//! The few products that a fit and a decision are made of, with the widest vectors that the CPU at hand has.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, Slice};
use pulp::Arch;

/// Independent sums that the compiler keeps in registers.
const LANES: usize = 32;

/// 1.5 · 2^23: added to a small number it leaves the nearest whole number in the low bits.
const ROUND: f32 = 12_582_912.0;

/// Products of slices, compiled once for each instruction set and chosen at run time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernels(Arch);

impl Kernels {
    pub(crate) fn new() -> Self {
        Self(Arch::new())
    }

    /// Inner products of `vector` with the rows of a row-major matrix, written to `out` (one a row).
    pub(crate) fn rows_dot(self, rows: &[f32], vector: &[f32], out: &mut [f32]) {
        self.0.dispatch(
            #[inline(always)]
            || {
                for (row, out) in rows.chunks_exact(vector.len().max(1)).zip(out.iter_mut()) {
                    *out = dot(row, vector);
                }
            },
        );
    }

    /// Sum of products of two slices of one length, summed in double precision by blocks.
    pub(crate) fn dot_wide(self, a: &[f32], b: &[f32]) -> f64 {
        self.0.dispatch(
            #[inline(always)]
            || a.chunks(1024).zip(b.chunks(1024)).map(|(a, b)| f64::from(dot(a, b))).sum(),
        )
    }

    /// y += Σ factor · x over (factor, x).
    pub(crate) fn add_scaled<'a>(self, y: &mut [f32], terms: impl Iterator<Item = (f32, &'a [f32])>) {
        self.0.dispatch(
            #[inline(always)]
            || {
                for (factor, x) in terms {
                    for (y, x) in y.iter_mut().zip(x) {
                        *y += factor * x;
                    }
                }
            },
        );
    }

    pub(crate) fn scale(self, y: &mut [f32], factor: f32) {
        self.0.dispatch(
            #[inline(always)]
            || y.iter_mut().for_each(|y| *y *= factor),
        );
    }

    /// Logits to log-probabilities in place; returns log Σ exp of the logits. An empty slice has -∞.
    pub(crate) fn log_softmax(self, logits: &mut [f32]) -> f32 {
        self.0.dispatch(
            #[inline(always)]
            || {
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let total: f32 = logits.iter().map(|logit| exp(*logit - largest)).sum();
                let log_total = largest + total.ln();
                logits.iter_mut().for_each(|logit| *logit -= log_total);
                log_total
            },
        )
    }

    /// Logits to probabilities in place; returns log Σ exp of the logits. An empty slice has -∞.
    pub(crate) fn softmax(self, logits: &mut [f32]) -> f32 {
        self.0.dispatch(
            #[inline(always)]
            || {
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                logits.iter_mut().for_each(|logit| *logit = exp(*logit - largest));
                let total: f32 = logits.iter().sum();
                let scale = 1.0 / total;
                logits.iter_mut().for_each(|logit| *logit *= scale);
                largest + total.ln()
            },
        )
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (chunks_a, rest_a) = a.as_chunks::<LANES>();
    let (chunks_b, rest_b) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (x, y) in chunks_a.iter().zip(chunks_b) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

/// e^x for x <= 0, to 2e-7 of its value, 0 below -87: 2^n times the Taylor polynomial of degree 6 on ±ln(2)/2.
/// It has no branch and no call, so loops over it become vector code.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = x.max(-87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    // ln 2 in two parts, so that the product with `whole` is exact enough.
    let r = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let polynomial =
        1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    polynomial * power
}

/// log Σ exp, stable; -∞ of nothing.
pub(crate) fn log_sum_exp(values: &[f32]) -> f32 {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if largest == f32::NEG_INFINITY {
        return largest;
    }
    largest + values.iter().map(|value| (value - largest).exp()).sum::<f32>().ln()
}

/// Index of the largest value; the first of equals, 0 of nothing.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// The inverse of a symmetric positive definite matrix, by Cholesky, in double precision. A pivot that rounding made
/// negative is raised to the smallest that keeps the result finite.
pub(crate) fn invert(matrix: ArrayView2<f64>) -> Array2<f64> {
    let lower = cholesky(matrix);
    let inverse = invert_lower(&lower);
    inverse.t().dot(&inverse)
}

fn cholesky(matrix: ArrayView2<f64>) -> Array2<f64> {
    let n = matrix.nrows();
    let floor = matrix.diag().iter().copied().fold(0.0, f64::max) * 1e-12 + f64::MIN_POSITIVE;
    let mut lower = Array2::<f64>::zeros((n, n));
    for i in 0..n {
        for j in 0..=i {
            let done = head(&lower, i, j).dot(&head(&lower, j, j));
            let rest = matrix[[i, j]] - done;
            lower[[i, j]] = if i == j { rest.max(floor).sqrt() } else { rest / lower[[j, j]] };
        }
    }
    lower
}

/// The first `length` values of a row.
fn head(matrix: &Array2<f64>, row: usize, length: usize) -> ArrayView1<'_, f64> {
    matrix.row(row).slice_axis_move(Axis(0), Slice::from(..length))
}

/// The inverse of a lower triangular matrix: row i is (eᵢ - Σ Lᵢⱼ rowⱼ) / Lᵢᵢ.
fn invert_lower(lower: &Array2<f64>) -> Array2<f64> {
    let n = lower.nrows();
    let mut inverse = Array2::<f64>::zeros((n, n));
    for i in 0..n {
        let (above, mut current) = inverse.view_mut().split_at(ndarray::Axis(0), i);
        let mut row = current.row_mut(0);
        row[i] = 1.0;
        for j in 0..i {
            row.scaled_add(-lower[[i, j]], &above.row(j));
        }
        row /= lower[[i, i]];
    }
    inverse
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exp_is_the_exponential(x in -86.0f32..0.0) {
            prop_assert!((exp(x) / x.exp() - 1.0).abs() < 1e-6);
        }

        #[test]
        fn softmax_adds_up_to_one(mut logits in prop::collection::vec(-50.0f32..50.0, 1..200)) {
            let expected = log_sum_exp(&logits);
            prop_assert!((Kernels::new().softmax(&mut logits) - expected).abs() < 1e-4);
            prop_assert!((logits.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        }

        #[test]
        fn an_inverse_undoes(values in prop::collection::vec(-1.0f64..1.0, 36)) {
            let square = Array2::from_shape_vec((6, 6), values).unwrap();
            let matrix = square.dot(&square.t()) + Array2::<f64>::eye(6) * 0.1;
            let product = matrix.dot(&invert(matrix.view()));
            let error = (&product - &Array2::<f64>::eye(6)).iter().fold(0.0f64, |worst, value| worst.max(value.abs()));
            prop_assert!(error < 1e-8);
        }

        #[test]
        fn rows_dot_agrees_with_the_plain_sum(rows in 1usize..5, vector in prop::collection::vec(-1.0f32..1.0, 1..100)) {
            let matrix: Vec<f32> = (0..rows * vector.len()).map(|index| (index % 7) as f32 - 3.0).collect();
            let mut out = vec![0.0; rows];
            Kernels::new().rows_dot(&matrix, &vector, &mut out);
            for (row, out) in matrix.chunks(vector.len()).zip(&out) {
                let plain: f32 = row.iter().zip(&vector).map(|(a, b)| a * b).sum();
                prop_assert!((plain - out).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn nothing_has_no_mass() {
        assert_eq!(log_sum_exp(&[]), f32::NEG_INFINITY);
        assert_eq!(argmax(&[]), 0);
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
    }
}
