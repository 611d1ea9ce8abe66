//! Layer normalisation (Ba, Kiros and Hinton, <https://arxiv.org/abs/1607.06450>), in place.

use pulp::{Simd, WithSimd};

use crate::cpu::Cpu;
use crate::math;

/// Independent sums, which the compiler keeps in registers.
const LANES: usize = 32;

/// The layer's parameters, one of each for every component.
pub(super) struct LayerNorm {
    pub gain: Vec<f32>,
    pub shift: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl LayerNorm {
    /// Normalises each of the `rows`, row-major (rows, components).
    pub fn apply(&self, cpu: Cpu, rows: &mut [f32]) {
        cpu.arch.dispatch(Apply { norm: self, rows });
    }
}

struct Apply<'a> {
    norm: &'a LayerNorm,
    rows: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let components = self.norm.gain.len();
        for row in self.rows.chunks_exact_mut(components) {
            let mean = sum(row, |value| value) / components as f32;
            let variance = sum(row, |value| (value - mean) * (value - mean)) / components as f32;
            let factor = 1.0 / (variance + self.norm.epsilon).sqrt();
            for ((value, gain), shift) in row.iter_mut().zip(&self.norm.gain).zip(&self.norm.shift) {
                *value = math::mul_add::<S>((*value - mean) * factor, *gain, *shift);
            }
        }
    }
}

#[inline(always)]
fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += term(*value);
        }
    }
    math::fold(sums, |a, b| a + b) + rest.iter().map(|value| term(*value)).sum::<f32>()
}
