//! Multinomial logistic regression: mean weighted cross-entropy plus a ridge, on dense and on sparse features.

mod dense;
mod sparse;

use ndarray::ArrayViewMut2;

pub(crate) use dense::{DenseLoss, Design};
pub(crate) use sparse::{SparseLoss, SparseRows, sparse_logits};

use crate::algebra::Kernels;

/// Share of the largest possible curvature that the preconditioner reckons with: p (1 - p) of a class that is right,
/// averaged over the way to the optimum. Between 0.1 and 0.5 the number of iterations hardly changes.
const CURVATURE: f64 = 1.0;

/// The class and the weight of each row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets<'a> {
    pub(crate) classes: &'a [u32],
    /// Not negative; rows of weight 0 are left out.
    pub(crate) weights: &'a [f32],
    pub(crate) count: usize,
}

impl Targets<'_> {
    pub(crate) fn total(&self) -> f32 {
        self.weights.iter().sum::<f32>().max(f32::MIN_POSITIVE)
    }
}

/// Replaces logits (rows, classes) by the gradients of the weighted cross-entropies; returns their sum.
fn residuals(mut logits: ArrayViewMut2<f32>, classes: &[u32], weights: &[f32], kernels: Kernels) -> f64 {
    let mut loss = 0.0;
    for ((mut row, class), weight) in logits.rows_mut().into_iter().zip(classes).zip(weights) {
        let Some(row) = row.as_slice_mut() else { continue };
        let class = *class as usize;
        let right = row[class];
        loss += f64::from(weight * (kernels.softmax(row) - right));
        row[class] -= 1.0;
        row.iter_mut().for_each(|value| *value *= weight);
    }
    loss
}
