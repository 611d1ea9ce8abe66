//! The product of quantised rows with weights in bytes.

use pulp::{Simd, WithSimd};

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
use super::plain::Plain;
use super::{Activations, ByteWeights, COLUMNS, Kernel, Rows};
use crate::cpu::{ByteArch, Cpu};
use crate::finish::Finish;

/// Rows that are computed together: their sums (8 KiB) and one group of their codes (4 KiB) stay in the first cache.
const ROWS: usize = 64;

/// One product: `out` = finish(`input` x `weights` + `bias`).
pub(crate) struct Product<'a> {
    pub input: &'a Activations,
    pub weights: &'a ByteWeights,
    pub bias: &'a [f32],
    pub finish: Finish,
    /// (rows, outputs).
    pub out: &'a mut [f32],
}

impl Product<'_> {
    pub fn run(self, cpu: Cpu) {
        match cpu.bytes {
            #[cfg(target_arch = "x86_64")]
            ByteArch::Avx2(simd) => simd.vectorize(WithAvx2(self, Avx2 { simd, fetch: cpu.fetch })),
            #[cfg(target_arch = "x86_64")]
            ByteArch::Vnni(vnni) => vnni.run(self),
            ByteArch::Portable => cpu.arch.dispatch(Portable(self)),
        }
    }

    /// Everything, with the sums of `kernel`.
    #[inline(always)]
    pub(super) fn with_kernel<S: Simd>(self, kernel: impl Kernel) {
        let Self { input, weights, bias, finish, out } = self;
        let (groups, outputs) = (weights.groups(), weights.outputs);
        let mut sums = [[0.0f32; COLUMNS]; ROWS];
        for (panel, blocks) in weights.blocks.chunks_exact(groups.max(1)).enumerate() {
            let following = weights.blocks.get((panel + 1) * groups);
            let columns = panel * COLUMNS..outputs.min((panel + 1) * COLUMNS);
            for (first, out) in (0..input.rows()).step_by(ROWS).zip(out.chunks_mut(ROWS * outputs)) {
                let rows = first..input.rows().min(first + ROWS);
                let sums = &mut sums[..rows.len()];
                sums.fill([0.0; COLUMNS]);
                for (group, block) in blocks.iter().enumerate() {
                    let Rows { codes, scales } = input.group(group);
                    let rows = Rows { codes: &codes[rows.clone()], scales: &scales[rows.clone()] };
                    let next = blocks.get(group + 1).or(following).unwrap_or(block);
                    kernel.add(rows, block, next, sums);
                }
                let bias = &bias[columns.clone()];
                for (out, sums) in out.chunks_exact_mut(outputs).zip(sums) {
                    let out = &mut out[columns.clone()];
                    // The length is a constant here: the loops have no rest.
                    match (<&mut [f32; COLUMNS]>::try_from(&mut *out), <&[f32; COLUMNS]>::try_from(bias)) {
                        (Ok(out), Ok(bias)) => finish.row::<S>(out, sums, bias),
                        (_, _) => finish.row::<S>(out, &sums[..columns.len()], bias),
                    }
                }
            }
        }
    }
}

/// A closure for [`pulp::x86::V3::vectorize`].
#[cfg(target_arch = "x86_64")]
struct WithAvx2<'a>(Product<'a>, Avx2);

#[cfg(target_arch = "x86_64")]
impl pulp::NullaryFnOnce for WithAvx2<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.0.with_kernel::<pulp::x86::V3>(self.1);
    }
}

struct Portable<'a>(Product<'a>);

impl WithSimd for Portable<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.with_kernel::<S>(Plain::new(simd));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::GROUP;
    use super::*;
    use crate::cpu::InstructionSet;

    /// A product on one instruction set.
    fn product(set: InstructionSet, input: &[f32], inputs: usize, weights: &[f32], bias: &[f32]) -> Vec<f32> {
        let cpu = Cpu::detect(Some(set));
        let outputs = bias.len();
        let weights = ByteWeights::of_linear(weights, inputs, outputs);
        let mut codes = Activations::default();
        codes.quantise(cpu, input, inputs);
        let mut out = vec![0.0; input.len() / inputs * outputs];
        Product { input: &codes, weights: &weights, bias, finish: Finish::Store, out: &mut out }.run(cpu);
        out
    }

    fn exact(input: &[f32], inputs: usize, weights: &[f32], bias: &[f32]) -> Vec<f32> {
        let rows = input.chunks_exact(inputs);
        let outputs = weights.chunks_exact(inputs).zip(bias);
        rows.flat_map(|row| {
            outputs.clone().map(|(weights, bias)| bias + row.iter().zip(weights).map(|(a, b)| a * b).sum::<f32>())
        })
        .collect()
    }

    fn matrix(length: usize, bound: f32) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-bound..bound, length)
    }

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_same_and_nearly_the_exact_product(
            (rows, inputs, outputs, input, weights) in (1usize..10, 1usize..200, 1usize..40).prop_flat_map(
                |(rows, inputs, outputs)| (
                    Just(rows), Just(inputs), Just(outputs), matrix(rows * inputs, 5.0), matrix(inputs * outputs, 0.3),
                ),
            ),
        ) {
            let bias: Vec<f32> = (0..outputs).map(|output| output as f32 / 10.0).collect();
            let plain = product(InstructionSet::Portable, &input, inputs, &weights, &bias);
            let wide = product(InstructionSet::Avx512, &input, inputs, &weights, &bias);
            let middle = product(InstructionSet::Avx2, &input, inputs, &weights, &bias);
            let exact = exact(&input, inputs, &weights, &bias);
            prop_assert_eq!(plain.len(), rows * outputs);
            // An input is off by at most half of 10 / 127, a weight by half of 0.3 / 127 or a little more.
            let bound = (inputs as f32).sqrt() * 4.0 * (0.04 * 0.3 + 5.0 * 0.0015);
            for (((plain, wide), middle), exact) in plain.iter().zip(&wide).zip(&middle).zip(&exact) {
                prop_assert!((plain - middle).abs() < 1e-3 && (plain - wide).abs() < 1e-3, "{plain} {middle} {wide}");
                prop_assert!((plain - exact).abs() < bound, "{plain} is not {exact}, {inputs} inputs");
            }
        }
    }

    #[test]
    fn the_worst_sums_do_not_overflow() {
        // All weights of one sign and size, and activations at both ends of their range.
        for (weight, low, high) in [(1.0, 0.0, 3.0), (-1.0, 0.0, 3.0), (1.0, -3.0, 0.0), (1.0, -3.0, 3.0)] {
            let inputs = 2 * GROUP;
            let input: Vec<f32> = (0..inputs).map(|at| if at % GROUP == 7 { low } else { high }).collect();
            let weights = vec![weight; inputs * 3];
            let expected: f32 = input.iter().sum::<f32>() * weight;
            for set in [InstructionSet::Portable, InstructionSet::Avx2, InstructionSet::Avx512] {
                for found in product(set, &input, inputs, &weights, &[0.0; 3]) {
                    assert!((found / expected - 1.0).abs() < 0.02, "{set:?}: {found}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn zeros_and_tiny_numbers_are_no_trouble() {
        for value in [0.0, 1e-30, -1e-38, 1e-45] {
            for (input, weight) in [(value, 1.0), (1.0, value)] {
                let found = product(InstructionSet::Avx512, &[input; 70], 70, &[weight; 70], &[0.5]);
                assert!((found[0] - 0.5 - 70.0 * value).abs() < 1e-3, "{found:?}");
            }
        }
    }
}
