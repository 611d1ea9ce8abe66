//! Matrix products in single precision with weights packed for the vectors at hand.

use pulp::{Simd, WithSimd};

use crate::cpu::{Cpu, Fetch};
use crate::finish::Finish;

/// Rows of a register tile: with two vectors of columns that makes 12 sums, 2 vectors of weights and one of input,
/// which fit the 16 registers of AVX2.
const ROWS: usize = 6;

/// Most columns of a tile: two vectors of 16.
const MAX_COLUMNS: usize = 32;

/// A matrix of `inputs` x `outputs` in panels of columns: [panel][input][column of the panel], the last panel padded
/// with zeros.
pub(super) struct Panels {
    data: Vec<f32>,
    inputs: usize,
    outputs: usize,
    /// Columns of a panel: two vectors.
    width: usize,
}

impl Panels {
    /// A matrix of the given shape, all zero. It is meant to be kept and filled again and again.
    pub fn zeros(cpu: Cpu, inputs: usize, outputs: usize) -> Self {
        let width = panel_width(cpu);
        Self { data: vec![0.0; inputs * outputs.next_multiple_of(width)], inputs, outputs, width }
    }

    /// Packs `weights`, row-major (outputs, inputs) as a linear layer's are.
    pub fn of_linear(cpu: Cpu, weights: &[f32], inputs: usize, outputs: usize) -> Self {
        let mut panels = Self::zeros(cpu, inputs, outputs);
        panels.fill_transposed(weights, inputs, outputs, inputs);
        panels
    }

    /// Takes a matrix of another shape, given transposed: element (input, output) is at `output * stride + input`.
    /// Allocates only if the matrix is larger than any before.
    pub fn fill_transposed(&mut self, from: &[f32], inputs: usize, outputs: usize, stride: usize) {
        self.reshape(inputs, outputs);
        let width = self.width;
        for (panel, data) in self.data.chunks_exact_mut(inputs * width).enumerate() {
            for column in 0..width {
                let output = panel * width + column;
                let source = if output < outputs { from.get(output * stride..).unwrap_or(&[]) } else { &[] };
                let source = source.iter().copied().chain(std::iter::repeat(0.0));
                for (row, value) in data.chunks_exact_mut(width).zip(source) {
                    row[column] = value;
                }
            }
        }
    }

    /// Takes a matrix of another shape: element (input, output) is at `input * stride + output`.
    pub fn fill(&mut self, from: &[f32], inputs: usize, outputs: usize, stride: usize) {
        self.reshape(inputs, outputs);
        let width = self.width;
        for (panel, data) in self.data.chunks_exact_mut(inputs * width).enumerate() {
            let first = panel * width;
            let columns = width.min(outputs - first);
            for (row, source) in data.chunks_exact_mut(width).zip(from.chunks(stride)) {
                let (taken, padding) = row.split_at_mut(columns);
                taken.copy_from_slice(&source[first..first + columns]);
                padding.fill(0.0);
            }
        }
    }

    fn reshape(&mut self, inputs: usize, outputs: usize) {
        (self.inputs, self.outputs) = (inputs, outputs);
        self.data.resize(inputs * outputs.next_multiple_of(self.width), 0.0);
    }

    /// Columns of the panels of so many outputs.
    pub fn padded(&self, outputs: usize) -> usize {
        outputs.next_multiple_of(self.width)
    }
}

/// Columns of a panel on `cpu`.
fn panel_width(cpu: Cpu) -> usize {
    struct Width;
    impl WithSimd for Width {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            2 * S::F32_LANES
        }
    }
    cpu.arch.dispatch(Width)
}

/// One product: `out` = finish(`input` x `weights` + `bias`).
pub(super) struct Product<'a> {
    /// (rows, inputs), rows `input_stride` apart.
    pub input: &'a [f32],
    pub input_stride: usize,
    pub rows: usize,
    pub weights: &'a Panels,
    /// One for each output.
    pub bias: &'a [f32],
    pub finish: Finish,
    /// (rows, outputs), rows `out_stride` apart.
    pub out: &'a mut [f32],
    pub out_stride: usize,
    pub fetch: Fetch,
}

/// Fetches the next panel while the tiles of one are computed, in steps of equal size.
struct Ahead {
    fetch: Fetch,
    at: *const u8,
    /// Bytes.
    step: usize,
}

impl Ahead {
    #[inline(always)]
    fn of(fetch: Fetch, weights: &Panels, panel: usize, rows: usize) -> Self {
        let row = weights.width * size_of::<f32>();
        let at = weights.data.as_ptr().cast::<u8>().wrapping_add(panel * weights.inputs * row);
        Self { fetch, at, step: row / rows.div_ceil(ROWS).max(1) }
    }

    #[inline(always)]
    fn go(&mut self) {
        self.fetch.line(self.at);
        self.at = self.at.wrapping_add(self.step);
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let length = (self.weights.inputs * self.weights.width).max(1);
        for (panel, weights) in self.weights.data.chunks_exact(length).enumerate() {
            let mut ahead = Ahead::of(self.fetch, self.weights, panel + 1, self.rows);
            let mut row = 0;
            while row < self.rows {
                row += match self.rows - row {
                    ROWS.. => self.tile::<S, 6>(simd, row, panel, weights, &mut ahead),
                    5 => self.tile::<S, 5>(simd, row, panel, weights, &mut ahead),
                    4 => self.tile::<S, 4>(simd, row, panel, weights, &mut ahead),
                    3 => self.tile::<S, 3>(simd, row, panel, weights, &mut ahead),
                    2 => self.tile::<S, 2>(simd, row, panel, weights, &mut ahead),
                    _ => self.tile::<S, 1>(simd, row, panel, weights, &mut ahead),
                };
            }
        }
    }
}

impl Product<'_> {
    /// Computes `R` rows of one panel; returns `R`.
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(
        &mut self,
        simd: S,
        row: usize,
        panel: usize,
        weights: &[f32],
        ahead: &mut Ahead,
    ) -> usize {
        let inputs = self.weights.inputs;
        let mut rows: [&[f32]; R] = [&[]; R];
        for (r, input) in rows.iter_mut().enumerate() {
            *input = &self.input[(row + r) * self.input_stride..][..inputs];
        }
        let sums = sums::<S, R>(simd, rows, weights, ahead);
        let width = 2 * S::F32_LANES;
        let first = panel * width;
        let columns = width.min(self.weights.outputs - first);
        for (r, sums) in sums.iter().enumerate() {
            let mut values = [0.0f32; MAX_COLUMNS];
            values[..width].copy_from_slice(pulp::bytemuck::cast_slice(sums));
            let out = &mut self.out[(row + r) * self.out_stride + first..][..columns];
            let bias = &self.bias[first..first + columns];
            self.finish.row::<S>(out, &values[..columns], bias);
        }
        R
    }
}

/// Inner products of `R` rows with two vectors of columns.
#[inline(always)]
fn sums<S: Simd, const R: usize>(
    simd: S,
    mut rows: [&[f32]; R],
    weights: &[f32],
    ahead: &mut Ahead,
) -> [[S::f32s; 2]; R] {
    let (weights, _) = S::as_simd_f32s(weights);
    let (pairs, _) = weights.as_chunks::<2>();
    // One length for all, so that the loop needs no bounds checks.
    for row in &mut rows {
        *row = &row[..pairs.len()];
    }
    let mut sums = [[simd.splat_f32s(0.0); 2]; R];
    for (at, pair) in pairs.iter().enumerate() {
        ahead.go();
        for (row, sums) in rows.iter().zip(&mut sums) {
            let value = simd.splat_f32s(row[at]);
            sums[0] = simd.mul_add_e_f32s(value, pair[0], sums[0]);
            sums[1] = simd.mul_add_e_f32s(value, pair[1], sums[1]);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cpu::InstructionSet;

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_product(
            (rows, inputs, outputs) in (1usize..15, 1usize..40, 1usize..70),
            seed in 0u32..1000,
        ) {
            let number = |at: usize| ((at as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) % 1000) as f32 / 500.0 - 1.0;
            let input: Vec<f32> = (0..rows * inputs).map(number).collect();
            let weights: Vec<f32> = (0..inputs * outputs).map(|at| number(at + 77)).collect();
            let bias: Vec<f32> = (0..outputs).map(|at| number(at + 5)).collect();
            for set in [InstructionSet::Portable, InstructionSet::Avx2, InstructionSet::Avx512] {
                let cpu = Cpu::detect(Some(set));
                let packed = Panels::of_linear(cpu, &weights, inputs, outputs);
                let mut transposed = Panels::zeros(cpu, 1, 1);
                let turned: Vec<f32> =
                    (0..inputs * outputs).map(|at| weights[at % outputs * inputs + at / outputs]).collect();
                transposed.fill(&turned, inputs, outputs, outputs);
                for weights_packed in [&packed, &transposed] {
                    let mut out = vec![1.0; rows * outputs];
                    cpu.arch.dispatch(Product {
                        input: &input, input_stride: inputs, rows, weights: weights_packed, bias: &bias,
                        finish: Finish::Add, out: &mut out, out_stride: outputs, fetch: cpu.fetch,
                    });
                    for (at, found) in out.iter().enumerate() {
                        let (row, output) = (at / outputs, at % outputs);
                        let terms = (0..inputs).map(|k| input[row * inputs + k] * weights[output * inputs + k]);
                        let expected = 1.0 + bias[output] + terms.sum::<f32>();
                        prop_assert!((found - expected).abs() < 1e-4, "{set:?}: {found}, not {expected}");
                    }
                }
            }
        }
    }
}
