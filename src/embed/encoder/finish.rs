//! What happens to a product while it is still in registers: bias, activation, residual.

use pulp::Simd;

use crate::math;

/// Activation of the feed-forward layer (`hidden_act` of config.json).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub(super) enum Activation {
    #[serde(rename = "gelu")]
    Gelu,
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh", alias = "gelu_approximate")]
    GeluTanh,
    #[serde(rename = "relu")]
    Relu,
}

/// How a product and its bias reach the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// Takes the place of what was there.
    Store,
    /// Is added to what was there: the residual connection.
    Add,
    /// Takes its place after the activation.
    Activate(Activation),
}

impl Finish {
    /// Finishes one row of a tile: `out`, `values` and `bias` are of one length.
    #[inline(always)]
    pub fn row<S: Simd>(self, out: &mut [f32], values: &[f32], bias: &[f32]) {
        match self {
            Self::Store => each(out, values, bias, |_, sum| sum),
            Self::Add => each(out, values, bias, |before, sum| before + sum),
            Self::Activate(Activation::Gelu) => each(out, values, bias, |_, sum| math::gelu::<S>(sum)),
            Self::Activate(Activation::GeluTanh) => each(out, values, bias, |_, sum| math::gelu_tanh::<S>(sum)),
            Self::Activate(Activation::Relu) => each(out, values, bias, |_, sum| if sum < 0.0 { 0.0 } else { sum }),
        }
    }
}

/// Values that are finished together.
const LANES: usize = 8;

#[inline(always)]
fn each(out: &mut [f32], values: &[f32], bias: &[f32], finish: impl Fn(f32, f32) -> f32) {
    let (chunks, rest) = out.as_chunks_mut::<LANES>();
    let ((value_chunks, value_rest), (bias_chunks, bias_rest)) =
        (values.as_chunks::<LANES>(), bias.as_chunks::<LANES>());
    for ((out, values), bias) in chunks.iter_mut().zip(value_chunks).zip(bias_chunks) {
        // Of its own, not written in place: the compiler need not ask whether `out` and the others overlap.
        let finished: [f32; LANES] = std::array::from_fn(|at| finish(out[at], values[at] + bias[at]));
        *out = finished;
    }
    for ((out, value), bias) in rest.iter_mut().zip(value_rest).zip(bias_rest) {
        *out = finish(*out, value + bias);
    }
}
