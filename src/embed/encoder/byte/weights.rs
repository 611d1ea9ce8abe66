//! Weights in bytes, in the order in which kernels read them: the same for all of them.

use super::{COLUMNS, GROUP, LANE, MAX_CODE, QUAD, QUADS, STEP};
use crate::math;

/// The weights of one panel and group: all that a kernel reads for it lies together.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Block {
    /// [quad][[`QUAD`] x column + input of the quad]
    pub codes: [[u8; QUAD * COLUMNS]; QUADS],
    /// What a weight of 1 stands for.
    pub scales: [f32; COLUMNS],
    /// The sums of the weights, times their scale.
    pub totals: [f32; COLUMNS],
}

/// Bytes that a CPU fetches at once.
#[cfg(target_arch = "x86_64")]
pub(super) const LINE: usize = 64;

#[cfg(target_arch = "x86_64")]
impl Block {
    pub const LINES: usize = size_of::<Self>() / LINE;
}

/// A linear layer's weights in bytes.
pub(crate) struct ByteWeights {
    /// [panel][group]; inputs and outputs that there are not have weights of 0.
    pub(super) blocks: Vec<Block>,
    inputs: usize,
    pub(super) outputs: usize,
}

impl ByteWeights {
    /// Quantises and packs `weights`, row-major (outputs, inputs).
    pub fn of_linear(weights: &[f32], inputs: usize, outputs: usize) -> Self {
        let (panels, groups) = (outputs.div_ceil(COLUMNS), inputs.div_ceil(GROUP));
        let places = (0..panels).flat_map(|panel| (0..groups).map(move |group| (panel, group)));
        let blocks = places.map(|(panel, group)| Block::of(weights, (inputs, outputs), panel, group)).collect();
        Self { blocks, inputs, outputs }
    }

    /// Of one panel.
    pub(super) fn groups(&self) -> usize {
        self.inputs.div_ceil(GROUP)
    }
}

impl Block {
    const ZERO: Self = Self { codes: [[0; QUAD * COLUMNS]; QUADS], scales: [0.0; COLUMNS], totals: [0.0; COLUMNS] };

    fn of(weights: &[f32], (inputs, outputs): (usize, usize), panel: usize, group: usize) -> Self {
        let mut block = Self::ZERO;
        let (first, from) = (panel * COLUMNS, group * GROUP);
        let present = GROUP.min(inputs - from);
        for (column, output) in (first..outputs.min(first + COLUMNS)).enumerate() {
            let (codes, scale) = quantise(&weights[output * inputs + from..][..present]);
            for (quad, codes) in block.codes.iter_mut().zip(codes.as_chunks::<QUAD>().0) {
                quad[QUAD * column..][..QUAD].copy_from_slice(&codes.map(i8::cast_unsigned));
            }
            block.scales[column] = scale;
            block.totals[column] = scale * codes.iter().map(|code| i32::from(*code)).sum::<i32>() as f32;
        }
        block
    }
}

/// Quantises the weights of one output and group, such that no sum of 16 bits can overflow; also returns the scale.
fn quantise(weights: &[f32]) -> ([i8; GROUP], f32) {
    let mut codes = [0; GROUP];
    let largest = weights.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
    let heaviest = weights.chunks(QUAD * STEP).flat_map(lanes).fold(0.0f32, f32::max);
    // Rounding may add one half to each of the eight weights of a lane.
    let scale = (largest / MAX_CODE).max(heaviest / (LANE as f32 - 4.0));
    if scale > 1e-30 {
        let inverse = 1.0 / scale;
        for (code, weight) in codes.iter_mut().zip(weights) {
            *code = math::round((weight * inverse).clamp(-MAX_CODE, MAX_CODE)) as i8;
        }
    }
    (codes, scale)
}

/// Sums of the positive and of the negative weights of a step that are added in 16 bits: those of the first, and those
/// of the last two inputs of each quad. Their sizes.
fn lanes(step: &[f32]) -> [f32; 4] {
    let mut sums = [0.0; 4];
    for (at, weight) in step.iter().enumerate() {
        let lane = at % QUAD / 2;
        sums[2 * lane + usize::from(*weight < 0.0)] += weight.abs();
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_sum_of_16_bits_can_overflow(
            weights in prop::collection::vec(-1.0f32..1.0, 1..=GROUP), sign in prop::sample::select(vec![-1.0, 0.0, 1.0]),
        ) {
            // All of one sign is the worst case.
            let weights: Vec<f32> =
                weights.iter().map(|weight| if sign == 0.0 { *weight } else { sign * weight.abs() }).collect();
            let (codes, scale) = quantise(&weights);
            for (code, weight) in codes.iter().zip(&weights) {
                prop_assert!((f32::from(*code) * scale - weight).abs() <= 0.501 * scale);
            }
            for step in codes.chunks(QUAD * STEP) {
                for lane in 0..2 {
                    let codes = || step.iter().enumerate().filter(|(at, _)| at % QUAD / 2 == lane).map(|(_, code)| i32::from(*code));
                    prop_assert!(codes().filter(|code| *code > 0).sum::<i32>() <= LANE);
                    prop_assert!(codes().filter(|code| *code < 0).sum::<i32>() >= -LANE);
                }
            }
        }
    }
}
