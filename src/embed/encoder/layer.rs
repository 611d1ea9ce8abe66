//! One layer of the encoder: attention, then the feed-forward part, each with its residual and normalisation.

use crate::cpu::Cpu;
use crate::error::EncoderError;
use crate::linear::{Linear, Precision};
use crate::norm::LayerNorm;
use crate::shape::Shape;
use crate::weights::Scope;

pub(super) struct Layer {
    /// To query, key and value at once: (hidden, 3 hidden). The query is divided by the root of the head's size.
    pub projection: Linear,
    pub attended: Linear,
    pub attended_norm: LayerNorm,
    pub widened: Linear,
    pub narrowed: Linear,
    pub narrowed_norm: LayerNorm,
}

impl Layer {
    pub fn load(cpu: Cpu, precision: Precision, shape: &Shape, from: &Scope<'_>) -> Result<Self, EncoderError> {
        let (hidden, wide, epsilon) = (shape.hidden_size, shape.intermediate_size, shape.layer_norm_eps);
        let linear = |name: &str, inputs, outputs| -> Result<Linear, EncoderError> {
            let (weights, bias) = from.scope(name).linear(inputs, outputs)?;
            Ok(Linear::new(cpu, precision, &weights, bias))
        };
        Ok(Self {
            projection: projection(cpu, precision, shape, &from.scope("attention.self"))?,
            attended: linear("attention.output.dense", hidden, hidden)?,
            attended_norm: from.scope("attention.output.LayerNorm").layer_norm(hidden, epsilon)?,
            widened: linear("intermediate.dense", hidden, wide)?,
            narrowed: linear("output.dense", wide, hidden)?,
            narrowed_norm: from.scope("output.LayerNorm").layer_norm(hidden, epsilon)?,
        })
    }
}

fn projection(cpu: Cpu, precision: Precision, shape: &Shape, from: &Scope<'_>) -> Result<Linear, EncoderError> {
    let hidden = shape.hidden_size;
    let (mut weights, mut bias) = (Vec::with_capacity(3 * hidden * hidden), Vec::with_capacity(3 * hidden));
    let root = (shape.heads().size as f32).sqrt();
    for (name, divisor) in [("query", root), ("key", 1.0), ("value", 1.0)] {
        let (part, part_bias) = from.scope(name).linear(hidden, hidden)?;
        weights.extend(part.iter().map(|value| value / divisor));
        bias.extend(part_bias.iter().map(|value| value / divisor));
    }
    Ok(Linear::new(cpu, precision, &weights, bias))
}
