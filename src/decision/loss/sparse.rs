//! The loss on word and character n-grams: by rows for the logits, by columns for the gradient, so that no two threads
//! write to one place.

use ndarray::Array2;
use rayon::prelude::*;

use super::{CURVATURE, Targets, residuals};
use crate::algebra::Kernels;
use crate::lbfgs::Objective;

const BLOCK_ROWS: usize = 64;
const BLOCK_COLUMNS: usize = 128;

/// A sparse matrix, by rows and by columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct SparseRows {
    rows: Vec<Vec<(u32, f32)>>,
    columns: Vec<Vec<(u32, f32)>>,
}

impl SparseRows {
    pub(crate) fn new(rows: Vec<Vec<(u32, f32)>>, columns: usize) -> Self {
        let mut by_column = vec![Vec::new(); columns];
        for (row, values) in rows.iter().enumerate() {
            for (column, value) in values {
                by_column[*column as usize].push((row as u32, *value));
            }
        }
        Self { rows, columns: by_column }
    }

    pub(crate) fn row(&self, row: usize) -> &[(u32, f32)] {
        &self.rows[row]
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns.len()
    }
}

/// Mean cross-entropy plus λ/2N ‖W‖². Points are row-major (features + 1, classes); the last row is the bias.
pub(crate) struct SparseLoss<'a> {
    rows: &'a SparseRows,
    targets: Targets<'a>,
    ridge: f32,
    /// One a feature, and one for the bias.
    inverse_curvature: Vec<f32>,
    logits: Array2<f32>,
}

impl<'a> SparseLoss<'a> {
    pub(crate) fn new(rows: &'a SparseRows, targets: Targets<'a>, ridge: f32) -> Self {
        let total = targets.total();
        let invert = |mean_square: f32| {
            let curvature = CURVATURE as f32 / targets.count as f32 * mean_square + ridge / total;
            1.0 / curvature
        };
        let mut inverse_curvature: Vec<f32> = rows
            .columns
            .par_iter()
            .map(|column| {
                let sum: f32 = column.iter().map(|(row, value)| targets.weights[*row as usize] * value * value).sum();
                invert(sum / total)
            })
            .collect();
        inverse_curvature.push(invert(1.0));
        let logits = Array2::zeros((rows.rows.len(), targets.count));
        Self { rows, targets, ridge, inverse_curvature, logits }
    }

    /// Fills `logits` with weighted residuals; returns the weighted cross-entropies' sum.
    fn forward(&mut self, point: &[f32]) -> f64 {
        let classes = self.targets.count;
        let kernels = Kernels::new();
        let (rows, targets) = (self.rows, self.targets);
        let Some(logits) = self.logits.as_slice_mut() else { return f64::INFINITY };
        let losses: Vec<f64> = logits
            .par_chunks_mut(BLOCK_ROWS * classes)
            .enumerate()
            .map(|(block, logits)| {
                let from = block * BLOCK_ROWS;
                let mut loss = 0.0;
                for (row, logits) in (from..).zip(logits.chunks_exact_mut(classes)) {
                    if targets.weights[row] == 0.0 {
                        continue;
                    }
                    sparse_logits(point, rows.row(row), logits, kernels);
                    let Ok(view) = ndarray::ArrayViewMut2::from_shape((1, classes), logits) else { continue };
                    loss += residuals(view, &targets.classes[row..=row], &targets.weights[row..=row], kernels);
                }
                loss
            })
            .collect();
        losses.iter().sum()
    }
}

/// Logits of a row of n-grams: bias + Σ value · weights of the feature.
pub(crate) fn sparse_logits(point: &[f32], row: &[(u32, f32)], logits: &mut [f32], kernels: Kernels) {
    let classes = logits.len();
    let weights = |feature: usize| &point[feature * classes..(feature + 1) * classes];
    logits.copy_from_slice(&point[point.len() - classes..]);
    kernels.add_scaled(logits, row.iter().map(|(column, value)| (*value, weights(*column as usize))));
}

impl Objective for SparseLoss<'_> {
    fn evaluate(&mut self, point: &[f32], gradient: &mut [f32]) -> f64 {
        let classes = self.targets.count;
        let loss = self.forward(point);
        let total = self.targets.total();
        let (ridge, kernels) = (self.ridge / total, Kernels::new());
        let (rows, weights) = (self.rows, self.targets.weights);
        let residuals = self.logits.as_slice().unwrap_or_default();
        gradient
            .par_chunks_mut(BLOCK_COLUMNS * classes)
            .zip(point.par_chunks(BLOCK_COLUMNS * classes))
            .enumerate()
            .for_each(|(block, (gradient, point))| {
                let slots = gradient.chunks_exact_mut(classes).zip(point.chunks_exact(classes));
                for (column, (gradient, point)) in (block * BLOCK_COLUMNS..).zip(slots) {
                    gradient.iter_mut().zip(point).for_each(|(gradient, weight)| *gradient = ridge * weight);
                    let residual = |row: usize| &residuals[row * classes..(row + 1) * classes];
                    match rows.columns.get(column) {
                        Some(entries) => {
                            let used = entries.iter().filter(|(row, _)| weights[*row as usize] > 0.0);
                            kernels.add_scaled(
                                gradient,
                                used.map(|(row, value)| (value / total, residual(*row as usize))),
                            );
                        }
                        None => {
                            let used = (0..rows.rows.len()).filter(|row| weights[*row] > 0.0);
                            kernels.add_scaled(gradient, used.map(|row| (1.0 / total, residual(row))));
                        }
                    }
                }
            });
        loss / f64::from(total) + f64::from(ridge) / 2.0 * kernels.dot_wide(point, point)
    }

    fn precondition(&self, direction: &mut [f32]) {
        for (values, inverse) in direction.chunks_exact_mut(self.targets.count).zip(&self.inverse_curvature) {
            values.iter_mut().for_each(|value| *value *= inverse);
        }
    }
}
