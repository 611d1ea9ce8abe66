//! The loss on embeddings. Products of matrices by blocks of rows; partial sums are added in a fixed order, so that a
//! fit does not depend on the number of threads.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, Slice};
use rayon::prelude::*;

use super::{CURVATURE, Targets, residuals};
use crate::algebra::{Kernels, invert};
use crate::lbfgs::Objective;

/// Rows of a block at least, and blocks at most.
const BLOCK_ROWS: usize = 256;
const MAX_BLOCKS: usize = 16;

/// Embeddings with a constant last column, for the bias.
#[derive(Debug, Clone)]
pub(crate) struct Design(Array2<f32>);

impl Design {
    pub(crate) fn new<'a>(rows: impl ExactSizeIterator<Item = ArrayView1<'a, f32>>, dimension: usize) -> Self {
        let mut design = Array2::ones((rows.len(), dimension + 1));
        for (mut to, from) in design.rows_mut().into_iter().zip(rows) {
            to.slice_axis_mut(Axis(0), Slice::from(..dimension)).assign(&from);
        }
        Self(design)
    }

    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        Self(self.0.select(Axis(0), rows))
    }

    /// Embedding and a last 1.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        self.0.row(row).to_slice().unwrap_or_default()
    }

    /// The first `rows` embeddings without the constant column.
    pub(crate) fn embeddings(&self, rows: usize) -> ArrayView2<'_, f32> {
        let dimension = self.0.ncols() - 1;
        self.0.slice_axis(Axis(0), Slice::from(..rows)).slice_axis_move(Axis(1), Slice::from(..dimension))
    }

    pub(crate) fn view(&self) -> ArrayView2<'_, f32> {
        self.0.view()
    }

    /// Mean of x xᵀ under the weights, (dimension + 1) squared.
    pub(crate) fn moments(&self, weights: &[f32]) -> Array2<f32> {
        let size = self.0.ncols();
        let total = weights.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        let partial: Vec<Array2<f32>> = blocks(self.0.nrows())
            .into_par_iter()
            .map(|range| {
                let rows = self.0.slice_axis(Axis(0), Slice::from(range.clone()));
                let mut scaled = rows.to_owned();
                for (mut row, weight) in scaled.rows_mut().into_iter().zip(&weights[range]) {
                    row *= weight / total;
                }
                scaled.t().dot(&rows)
            })
            .collect();
        partial.into_iter().fold(Array2::zeros((size, size)), |sum, part| sum + part)
    }

    /// Approximate inverse Hessian of one class's weights: (c/K · moments + λ/N · 1)⁻¹, after Böhning's bound (1992).
    pub(crate) fn preconditioner(moments: &Array2<f32>, classes: usize, ridge_per_row: f64) -> Array2<f32> {
        let mut hessian = moments.mapv(|value| f64::from(value) * CURVATURE / classes.max(1) as f64);
        hessian.diag_mut().mapv_inplace(|value| value + ridge_per_row);
        invert(hessian.view()).mapv(|value| value as f32)
    }
}

/// Mean cross-entropy plus λ/2N ‖W‖². Points are row-major (classes, dimension + 1).
pub(crate) struct DenseLoss<'a> {
    pub(crate) design: &'a Design,
    pub(crate) targets: Targets<'a>,
    pub(crate) ridge: f32,
    pub(crate) preconditioner: &'a Array2<f32>,
}

impl DenseLoss<'_> {
    fn block(&self, range: std::ops::Range<usize>, weights: ArrayView2<f32>) -> (f64, Array2<f32>) {
        let rows = self.design.0.slice_axis(Axis(0), Slice::from(range.clone()));
        let mut logits = rows.dot(&weights.t());
        let (classes, row_weights) = (&self.targets.classes[range.clone()], &self.targets.weights[range]);
        let loss = residuals(logits.view_mut(), classes, row_weights, Kernels::new());
        (loss, logits.t().dot(&rows))
    }
}

impl Objective for DenseLoss<'_> {
    fn evaluate(&mut self, point: &[f32], gradient: &mut [f32]) -> f64 {
        let shape = (self.targets.count, self.design.0.ncols());
        let Ok(weights) = ArrayView2::from_shape(shape, point) else { return f64::INFINITY };
        let parts: Vec<(f64, Array2<f32>)> =
            blocks(self.design.0.nrows()).into_par_iter().map(|range| self.block(range, weights)).collect();
        let total = self.targets.total();
        let ridge = self.ridge / total;
        gradient.iter_mut().zip(point).for_each(|(gradient, weight)| *gradient = ridge * weight);
        let mut loss = f64::from(ridge) / 2.0 * Kernels::new().dot_wide(point, point);
        let kernels = Kernels::new();
        for (part, sums) in &parts {
            loss += part / f64::from(total);
            let sums = sums.as_slice().unwrap_or_default();
            kernels.add_scaled(gradient, std::iter::once((1.0 / total, sums)));
        }
        loss
    }

    fn precondition(&self, direction: &mut [f32]) {
        let size = self.design.0.ncols();
        let chunk = size * self.targets.count.div_ceil(MAX_BLOCKS).max(8);
        direction.par_chunks_mut(chunk).for_each(|part| {
            let rows = part.len() / size;
            let old = part.to_vec();
            let (Ok(old), Ok(mut new)) =
                (ArrayView2::from_shape((rows, size), &old), ArrayViewMut2::from_shape((rows, size), part))
            else {
                return;
            };
            general_mat_mul(1.0, &old, self.preconditioner, 0.0, &mut new);
        });
    }
}

fn blocks(rows: usize) -> Vec<std::ops::Range<usize>> {
    let size = rows.div_ceil(MAX_BLOCKS).max(BLOCK_ROWS);
    (0..rows).step_by(size).map(|from| from..(from + size).min(rows)).collect()
}
