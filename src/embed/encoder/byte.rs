//! Matrix products on bytes: weights of 8 bits with one scale for each output and group of inputs, activations of 7
//! bits with one scale and zero point for each row and group.
//!
//! Seven bits, because AVX2 adds products of bytes in 16 bits: 127 x (127 + 127) just fits, and eight products still
//! fit if what the middle of the range contributes is taken off first (`Step::offset`). So the sums are exact, and the
//! same on every CPU. Groups of 64 inputs make up for the bit: an outlier spoils the scale of its group only. Against
//! single precision that gave a mean cosine of 0.9993 where eight bits with one scale a row gave 0.9990.

use pulp::{Simd, WithSimd};

#[cfg(target_arch = "x86_64")]
use crate::cpu::ByteArch;
use crate::cpu::Cpu;
use crate::finish::Finish;
use crate::math;

/// Inputs that share their scales.
pub(super) const GROUP: usize = 64;

/// Inputs of one [`Step`]: four times the four bytes that an instruction multiplies and adds for each column.
pub(super) const STEP: usize = 16;

/// Steps of a group.
pub(super) const STEPS: usize = GROUP / STEP;

/// The activations of one row and group.
pub(super) type Codes = [[u8; STEP]; STEPS];

/// Columns of a panel.
pub(super) const COLUMNS: usize = 16;

/// Largest activation; its middle stands for what `Step::offset` takes off.
const MAX_CODE: f32 = 127.0;
pub(super) const CENTRE: i32 = 64;

/// Bound on the sizes of the eight weights that are added in 16 bits: 64 x 511 < 2^15.
const MAX_LANE: f32 = 511.0;

/// Rows of a register tile.
const ROWS: usize = 8;

/// The weights of 8 columns and 16 inputs: `weights[quad][4 * column + input of the quad]`.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Step {
    /// For each column two numbers of 16 bits: -[`CENTRE`] times the sum of the weights whose products an instruction
    /// adds there (the first, or the last two of each quad).
    pub offset: [u8; 32],
    pub weights: [[u8; 32]; 4],
}

/// A vector of VNNI: four inputs of 16 columns.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Wide(pub [u8; 64]);

/// The weights of one panel and group: [step][half of the panel].
pub(super) type Steps = [[Step; 2]; STEPS];

/// The same for VNNI: [quad].
#[cfg(target_arch = "x86_64")]
pub(super) type Quads = [Wide; GROUP / 4];

/// Packed weights: [panel][group].
enum Panels {
    Steps(Vec<Steps>),
    #[cfg(target_arch = "x86_64")]
    Quads(Vec<Quads>),
}

/// A linear layer's weights in bytes.
pub(super) struct ByteWeights {
    panels: Panels,
    inputs: usize,
    outputs: usize,
    /// What a weight of 1 stands for: [panel][group][column].
    scales: Vec<[f32; COLUMNS]>,
    /// The sums of the weights, times their scale: likewise.
    totals: Vec<[f32; COLUMNS]>,
}

impl ByteWeights {
    /// Quantises and packs `weights`, row-major (outputs, inputs).
    pub fn of_linear(cpu: Cpu, weights: &[f32], inputs: usize, outputs: usize) -> Self {
        let groups = inputs.div_ceil(GROUP);
        let panels = outputs.div_ceil(COLUMNS);
        let mut packed = Self {
            panels: match cpu.bytes {
                #[cfg(target_arch = "x86_64")]
                ByteArch::Vnni(_) => Panels::Quads(Vec::with_capacity(panels * groups)),
                _ => Panels::Steps(Vec::with_capacity(panels * groups)),
            },
            inputs,
            outputs,
            scales: vec![[0.0; COLUMNS]; panels * groups],
            totals: vec![[0.0; COLUMNS]; panels * groups],
        };
        for panel in 0..panels {
            for group in 0..groups {
                packed.push_group(weights, panel, group, panel * groups + group);
            }
        }
        packed
    }

    fn push_group(&mut self, weights: &[f32], panel: usize, group: usize, at: usize) {
        let from = group * GROUP;
        let present = GROUP.min(self.inputs - from);
        let mut codes = [[0i8; GROUP]; COLUMNS];
        for (column, codes) in codes.iter_mut().enumerate() {
            let output = panel * COLUMNS + column;
            if output < self.outputs {
                let row = &weights[output * self.inputs + from..][..present];
                let scale = quantise_weights(row, codes);
                self.scales[at][column] = scale;
                self.totals[at][column] = scale * codes.iter().map(|code| i32::from(*code)).sum::<i32>() as f32;
            }
        }
        match &mut self.panels {
            Panels::Steps(packed) => {
                let (halves, _) = codes.as_chunks::<8>();
                let step = |at: usize, half: usize| {
                    halves.get(half).map_or(Step::ZERO, |columns| Step::of(columns, at * STEP))
                };
                packed.push(std::array::from_fn(|at| [step(at, 0), step(at, 1)]));
            }
            #[cfg(target_arch = "x86_64")]
            Panels::Quads(packed) => packed.push(std::array::from_fn(|quad| Wide::of(&codes, quad * 4))),
        }
    }

    fn groups(&self) -> usize {
        self.inputs.div_ceil(GROUP)
    }
}

impl Step {
    const ZERO: Self = Self { offset: [0; 32], weights: [[0; 32]; 4] };

    /// Of the weights from input `from` on.
    fn of(columns: &[[i8; GROUP]; 8], from: usize) -> Self {
        let mut step = Self::ZERO;
        for (column, codes) in columns.iter().enumerate() {
            let mut lanes = [0i32; 2];
            for (at, code) in codes[from..from + STEP].iter().enumerate() {
                step.weights[at / 4][4 * column + at % 4] = *code as u8;
                lanes[at % 4 / 2] += i32::from(*code);
            }
            for (lane, sum) in lanes.iter().enumerate() {
                let offset = (-CENTRE * sum) as i16;
                step.offset[4 * column + 2 * lane..][..2].copy_from_slice(&offset.to_le_bytes());
            }
        }
        step
    }
}

#[cfg(target_arch = "x86_64")]
impl Wide {
    /// Of four weights from input `from` on.
    fn of(columns: &[[i8; GROUP]; COLUMNS], from: usize) -> Self {
        let mut vector = [0u8; 64];
        for (lane, codes) in vector.as_chunks_mut::<4>().0.iter_mut().zip(columns) {
            lane.iter_mut().zip(&codes[from..from + 4]).for_each(|(byte, code)| *byte = *code as u8);
        }
        Self(vector)
    }
}

/// Quantises the weights of one output and group, such that no sum of 16 bits can overflow; returns the scale.
fn quantise_weights(weights: &[f32], codes: &mut [i8; GROUP]) -> f32 {
    let largest = weights.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
    let heaviest = weights.chunks(STEP).flat_map(lanes).fold(0.0f32, f32::max);
    // Rounding may add one half to each of the eight weights of a lane.
    let scale = (largest / MAX_CODE).max(heaviest / (MAX_LANE - 4.0));
    if scale > 1e-30 {
        let inverse = 1.0 / scale;
        for (code, weight) in codes.iter_mut().zip(weights) {
            *code = math::round((weight * inverse).clamp(-MAX_CODE, MAX_CODE)) as i8;
        }
    }
    scale
}

/// Sums of the sizes of those weights of a step that are added in 16 bits.
fn lanes(step: &[f32]) -> [f32; 2] {
    let mut sums = [0.0; 2];
    for (at, weight) in step.iter().enumerate() {
        sums[at % 4 / 2] += weight.abs();
    }
    sums
}

/// Quantised rows, kept and filled again and again.
#[derive(Default)]
pub(super) struct Activations {
    /// (rows, groups), each code from 0 to 127; what pads the last group meets weights of 0.
    codes: Vec<Codes>,
    /// For each row and group what a step of 1 stands for, and what the kernel's centre stands for.
    scales: Vec<(f32, f32)>,
    inputs: usize,
}

impl Activations {
    /// Room for `rows` of `inputs`, so that filling it allocates nothing.
    pub fn reserve(&mut self, rows: usize, inputs: usize) {
        let groups = rows * inputs.div_ceil(GROUP);
        self.codes.reserve(groups.saturating_sub(self.codes.len()));
        self.scales.reserve(groups.saturating_sub(self.scales.len()));
    }

    /// Quantises `rows`, row-major (rows, inputs), each group between its own least and greatest value.
    pub fn quantise(&mut self, cpu: Cpu, rows: &[f32], inputs: usize) {
        let groups = rows.len() / inputs.max(1) * inputs.div_ceil(GROUP);
        self.inputs = inputs;
        self.codes.resize(groups, Codes::default());
        self.scales.resize(groups, (0.0, 0.0));
        cpu.arch.dispatch(Quantise { rows, centre: cpu.bytes.centre(), to: self });
    }
}

struct Quantise<'a> {
    rows: &'a [f32],
    centre: f32,
    to: &'a mut Activations,
}

impl WithSimd for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let inputs = self.to.inputs;
        let groups = inputs.div_ceil(GROUP);
        let codes = self.to.codes.chunks_exact_mut(groups);
        let scales = self.to.scales.chunks_exact_mut(groups);
        for ((row, codes), scales) in self.rows.chunks_exact(inputs).zip(codes).zip(scales) {
            for ((values, codes), scale) in row.chunks(GROUP).zip(codes).zip(scales) {
                let codes = codes.as_flattened_mut();
                *scale = match (<&[f32; GROUP]>::try_from(values), <&mut [u8; GROUP]>::try_from(&mut *codes)) {
                    // The length is a constant here: the loops have no rest.
                    (Ok(values), Ok(codes)) => quantise_group(values, codes, self.centre),
                    (_, _) => quantise_group(values, codes, self.centre),
                };
            }
        }
    }
}

/// Returns the scale, and what the code `centre` stands for.
#[inline(always)]
fn quantise_group(values: &[f32], codes: &mut [u8], centre: f32) -> (f32, f32) {
    let (least, greatest) = range(values);
    let span = greatest - least;
    // A group of numbers so small that their inverse could overflow is a group of zeros.
    let scale = if span > 1e-30 { span / MAX_CODE } else { 1.0 };
    let inverse = 1.0 / scale;
    let zero = math::round(-least * inverse);
    for (code, value) in codes.iter_mut().zip(values) {
        // Not fused: every instruction set must round to the same code.
        let code_value = *value * inverse + zero;
        let code_value = if code_value < 0.0 { 0.0 } else { code_value };
        let code_value = if code_value > MAX_CODE { MAX_CODE } else { code_value };
        *code = math::round_to_byte(code_value);
    }
    (scale, scale * (centre - zero))
}

/// The least and the greatest of the values and 0.
#[inline(always)]
fn range(values: &[f32]) -> (f32, f32) {
    let (mut least, mut greatest) = ([0.0f32; 16], [0.0f32; 16]);
    let (chunks, rest) = values.as_chunks::<16>();
    for chunk in chunks {
        for ((least, greatest), value) in least.iter_mut().zip(&mut greatest).zip(chunk) {
            *least = if *value < *least { *value } else { *least };
            *greatest = if *value > *greatest { *value } else { *greatest };
        }
    }
    let least = least.iter().chain(rest).fold(0.0f32, |a, b| a.min(*b));
    let greatest = greatest.iter().chain(rest).fold(0.0f32, |a, b| a.max(*b));
    (least, greatest)
}

/// One product: `out` = finish(`input` x `weights` + `bias`).
pub(super) struct Product<'a> {
    pub input: &'a Activations,
    pub rows: usize,
    pub weights: &'a ByteWeights,
    pub bias: &'a [f32],
    pub finish: Finish,
    /// (rows, outputs).
    pub out: &'a mut [f32],
}

impl Product<'_> {
    pub fn run(self, cpu: Cpu) {
        match (cpu.bytes, &self.weights.panels) {
            #[cfg(target_arch = "x86_64")]
            (ByteArch::Avx2(simd), Panels::Steps(weights)) => {
                simd.vectorize(Run(self, crate::avx2::Avx2 { simd, weights }));
            }
            #[cfg(target_arch = "x86_64")]
            (ByteArch::Vnni(vnni), Panels::Quads(quads)) => vnni.run(self, quads),
            (_, Panels::Steps(weights)) => cpu.arch.dispatch(Portable { product: self, weights }),
            #[cfg(target_arch = "x86_64")]
            (_, Panels::Quads(_)) => unreachable!("weights are packed for the CPU that they are used on"),
        }
    }

    /// Everything, with the sums of `kernel`.
    #[inline(always)]
    pub fn with_kernel<S: Simd>(mut self, kernel: impl Kernel) {
        for panel in 0..self.weights.outputs.div_ceil(COLUMNS) {
            let mut row = 0;
            while row < self.rows {
                row += match self.rows - row {
                    ROWS.. => self.tile::<S, ROWS>(kernel, row, panel),
                    4.. => self.tile::<S, 4>(kernel, row, panel),
                    2.. => self.tile::<S, 2>(kernel, row, panel),
                    _ => self.tile::<S, 1>(kernel, row, panel),
                };
            }
        }
    }

    /// Computes `R` rows of one panel; returns `R`.
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, kernel: impl Kernel, row: usize, panel: usize) -> usize {
        let groups = self.weights.groups();
        let mut codes: [&[Codes]; R] = [&[]; R];
        let mut scales: [&[(f32, f32)]; R] = [&[]; R];
        for (r, (codes, scales)) in codes.iter_mut().zip(&mut scales).enumerate() {
            *codes = &self.input.codes[(row + r) * groups..][..groups];
            *scales = &self.input.scales[(row + r) * groups..][..groups];
        }
        let mut values = [[0.0f32; COLUMNS]; R];
        let weight_scales = &self.weights.scales[panel * groups..][..groups];
        let totals = &self.weights.totals[panel * groups..][..groups];
        for group in 0..groups {
            let mut rows = [&codes[0][group]; R];
            for (row, codes) in rows.iter_mut().zip(&codes) {
                *row = &codes[group];
            }
            let sums = kernel.sums(rows, panel * groups + group);
            let (weight_scale, total) = (&weight_scales[group], &totals[group]);
            for ((sums, values), scales) in sums.iter().zip(&mut values).zip(&scales) {
                let (step, offset) = scales[group];
                for column in 0..COLUMNS {
                    let scaled = sums[column] as f32 * weight_scale[column];
                    let value = math::mul_add::<S>(scaled, step, values[column]);
                    values[column] = math::mul_add::<S>(total[column], offset, value);
                }
            }
        }
        let first = panel * COLUMNS;
        let columns = COLUMNS.min(self.weights.outputs - first);
        for (r, values) in values.iter().enumerate() {
            let out = &mut self.out[(row + r) * self.weights.outputs + first..][..columns];
            self.finish.row::<S>(out, &values[..columns], &self.bias[first..first + columns]);
        }
        R
    }
}

/// Sums of products of bytes.
pub(super) trait Kernel: Copy {
    /// For each row and column the sum over one group of (code - centre) x weight. `at` counts groups of all panels.
    fn sums<const R: usize>(self, rows: [&Codes; R], at: usize) -> [[i32; COLUMNS]; R];
}

/// A closure for [`Simd::vectorize`].
#[cfg(target_arch = "x86_64")]
struct Run<'a, K>(Product<'a>, K);

#[cfg(target_arch = "x86_64")]
impl pulp::NullaryFnOnce for Run<'_, crate::avx2::Avx2<'_>> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.0.with_kernel::<pulp::x86::V3>(self.1);
    }
}

struct Portable<'a> {
    product: Product<'a>,
    weights: &'a [Steps],
}

impl WithSimd for Portable<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.product.with_kernel::<S>(Plain(self.weights));
    }
}

/// Without any instruction by name: the compiler makes of it what the target has.
#[derive(Clone, Copy)]
struct Plain<'a>(&'a [Steps]);

impl Kernel for Plain<'_> {
    #[inline(always)]
    fn sums<const R: usize>(self, rows: [&Codes; R], at: usize) -> [[i32; COLUMNS]; R] {
        let mut sums = [[0i32; COLUMNS]; R];
        for (row, sums) in rows.iter().zip(&mut sums) {
            for (codes, halves) in row.iter().zip(&self.0[at]) {
                for (sums, step) in sums.as_chunks_mut::<8>().0.iter_mut().zip(halves) {
                    for (codes, weights) in codes.as_chunks::<4>().0.iter().zip(&step.weights) {
                        for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<4>().0) {
                            for (code, weight) in codes.iter().zip(weights) {
                                *sum += i32::from(*code) * i32::from(*weight as i8);
                            }
                        }
                    }
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cpu::InstructionSet;

    /// A product on one instruction set.
    fn product(set: InstructionSet, input: &[f32], inputs: usize, weights: &[f32], bias: &[f32]) -> Vec<f32> {
        let cpu = Cpu::detect(Some(set));
        let outputs = bias.len();
        let weights = ByteWeights::of_linear(cpu, weights, inputs, outputs);
        let mut codes = Activations::default();
        codes.quantise(cpu, input, inputs);
        let rows = input.len() / inputs;
        let mut out = vec![0.0; rows * outputs];
        Product { input: &codes, rows, weights: &weights, bias, finish: Finish::Store, out: &mut out }.run(cpu);
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
