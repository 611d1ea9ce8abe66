//! Activations in bytes, made anew for each product.

use pulp::{Simd, WithSimd};

use super::{GROUP, MAX_CODE, Rows};
use crate::cpu::Cpu;
use crate::math;

/// The activations of one row and group, each from 0 to 127; what pads the last group meets weights of 0.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Codes(pub [u8; GROUP]);

/// What the codes of one row and group stand for: `offset` + `step` x code. Not a number where an activation is not
/// finite, so that it spoils the product as it would in single precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub step: f32,
    pub offset: f32,
}

/// Quantised rows, kept and filled again and again.
#[derive(Default)]
pub(crate) struct Activations {
    /// (groups, rows): a kernel reads one group of many rows.
    codes: Vec<Codes>,
    scales: Vec<Scale>,
    rows: usize,
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
        self.rows = rows.len() / inputs.max(1);
        let groups = self.rows * inputs.div_ceil(GROUP);
        self.codes.resize(groups, Codes([0; GROUP]));
        self.scales.resize(groups, Scale { step: 0.0, offset: 0.0 });
        cpu.arch.dispatch(Quantise { rows, inputs, to: self });
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn group(&self, group: usize) -> Rows<'_> {
        let span = group * self.rows..(group + 1) * self.rows;
        Rows { codes: &self.codes[span.clone()], scales: &self.scales[span] }
    }
}

struct Quantise<'a> {
    rows: &'a [f32],
    inputs: usize,
    to: &'a mut Activations,
}

impl WithSimd for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Activations { codes, scales, rows } = self.to;
        for (row, values) in self.rows.chunks_exact(self.inputs).enumerate() {
            let places = codes[row..].iter_mut().step_by(*rows).zip(scales[row..].iter_mut().step_by(*rows));
            for (values, (Codes(codes), scale)) in values.chunks(GROUP).zip(places) {
                *scale = match <&[f32; GROUP]>::try_from(values) {
                    // The length is a constant here: the loops have no rest.
                    Ok(values) => quantise_group(values, codes),
                    Err(_) => quantise_group(values, codes),
                };
            }
        }
    }
}

#[inline(always)]
fn quantise_group(values: &[f32], codes: &mut [u8; GROUP]) -> Scale {
    let Range { least, greatest, nothing } = Range::of(values);
    let step = (greatest - least) * (1.0 / MAX_CODE) + nothing;
    // A group that is all but zero stays zero.
    let inverse = if step > 1e-30 { 1.0 / step } else { 0.0 };
    let zero = math::round(-least * inverse);
    for (code, value) in codes.iter_mut().zip(values) {
        // Not fused: every instruction set must round to the same code.
        let code_value = *value * inverse + zero;
        let code_value = if code_value < 0.0 { 0.0 } else { code_value };
        let code_value = if code_value > MAX_CODE { MAX_CODE } else { code_value };
        *code = math::round_to_byte(code_value);
    }
    Scale { step, offset: -step * zero }
}

/// Values that are looked at together.
const LANES: usize = 16;

struct Range {
    /// Of the values and 0.
    least: f32,
    greatest: f32,
    /// 0, or not a number if one of the values is not finite.
    nothing: f32,
}

impl Range {
    #[inline(always)]
    fn of(values: &[f32]) -> Self {
        let (mut least, mut greatest, mut nothing) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for at in 0..LANES {
                least[at] = lesser(chunk[at], least[at]);
                greatest[at] = greater(chunk[at], greatest[at]);
                nothing[at] += chunk[at] * 0.0;
            }
        }
        for value in rest {
            least[0] = lesser(*value, least[0]);
            greatest[0] = greater(*value, greatest[0]);
            nothing[0] += *value * 0.0;
        }
        Self {
            least: math::fold(least, lesser),
            greatest: math::fold(greatest, greater),
            nothing: math::fold(nothing, |a, b| a + b),
        }
    }
}

/// As the instructions have it: `b` where one of them is not a number.
#[inline(always)]
fn lesser(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::InstructionSet;

    #[test]
    fn what_is_not_finite_is_not_lost() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (inputs, at) in [(64, 0), (70, 69), (70, 5)] {
                for set in [InstructionSet::Portable, InstructionSet::Avx2, InstructionSet::Avx512] {
                    let mut values = vec![1.0; 2 * inputs];
                    values[inputs + at] = bad;
                    let mut codes = Activations::default();
                    codes.quantise(Cpu::detect(Some(set)), &values, inputs);
                    let groups = inputs.div_ceil(GROUP);
                    for group in 0..groups {
                        let [first, second] = codes.group(group).scales else { panic!("two rows") };
                        assert!(first.step.is_finite() && first.offset.is_finite(), "{set:?} {bad} {inputs} {at}");
                        assert_eq!(second.step.is_nan(), at / GROUP == group, "{set:?} {bad} {inputs} {at}");
                    }
                }
            }
        }
    }
}
