//! A linear layer in the precision that was chosen.

use crate::byte::{self, Activations, ByteWeights};
use crate::cpu::Cpu;
use crate::finish::Finish;
use crate::float::{self, Panels};

/// Precision of the linear layers; the rest is always computed in single precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Bytes for weights and activations: `cargo bench --bench encoder` tells how much faster that is.
    #[default]
    Int8,
    /// Single precision throughout.
    F32,
}

impl Precision {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::F32 => "f32",
        }
    }
}

/// Weights and bias, packed for the CPU at hand.
pub(super) struct Linear {
    weights: Weights,
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

enum Weights {
    Float(Panels),
    Byte(ByteWeights),
}

impl Linear {
    /// `weights` are row-major (outputs, inputs); there is one `bias` for each output.
    pub fn new(cpu: Cpu, precision: Precision, weights: &[f32], bias: Vec<f32>) -> Self {
        let outputs = bias.len();
        let inputs = weights.len() / outputs.max(1);
        let weights = match precision {
            Precision::F32 => Weights::Float(Panels::of_linear(cpu, weights, inputs, outputs)),
            Precision::Int8 => Weights::Byte(ByteWeights::of_linear(weights, inputs, outputs)),
        };
        Self { weights, bias, inputs, outputs }
    }

    /// `input` is (rows, inputs), `out` (rows, outputs); `codes` is memory to quantise in.
    pub fn apply(&self, cpu: Cpu, input: &[f32], codes: &mut Activations, out: &mut [f32], finish: Finish) {
        let rows = input.len() / self.inputs.max(1);
        let bias = &self.bias;
        match &self.weights {
            Weights::Float(weights) => {
                let (input_stride, out_stride) = (self.inputs, self.outputs);
                let fetch = cpu.fetch;
                let product =
                    float::Product { input, input_stride, rows, weights, bias, finish, out, out_stride, fetch };
                cpu.arch.dispatch(product);
            }
            Weights::Byte(weights) => {
                codes.quantise(cpu, input, self.inputs);
                byte::Product { input: codes, weights, bias, finish, out }.run(cpu);
            }
        }
    }
}
