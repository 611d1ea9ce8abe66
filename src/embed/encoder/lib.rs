//! A BERT encoder for inference on CPUs: the forward pass is the floor under every decision, so it has its own code.
//!
//! What candle-transformers computes, computed otherwise: weights packed once for the vectors at hand, query, key and
//! value in one product, bias, activation and residual applied while the product is in registers, products of bytes
//! (`Precision::Int8`) where they are faster, sequences end to end instead of padded, and no memory allocated by a
//! warm forward pass. [`CandleBert`] stays as what tests compare with.

mod attention;
mod byte;
mod candle;
mod cpu;
mod error;
mod finish;
mod float;
mod layer;
mod linear;
mod math;
mod network;
mod norm;
mod shape;
mod source;
mod weights;

use std::ops::Range;
use std::sync::Arc;

pub use candle::CandleBert;
pub use cpu::InstructionSet;
pub use error::EncoderError;
pub use linear::Precision;
pub use source::{BertSource, Pooling};

use self::cpu::Cpu;
use self::network::{Network, Scratch};
use self::shape::Shape;
use self::weights::WeightFile;

/// How the encoder computes.
#[derive(Debug, Clone, Copy, Default)]
pub struct EncoderConfig {
    pub precision: Precision,
    /// Instructions beyond these are not used, `None`: the best there are.
    pub instruction_set: Option<InstructionSet>,
}

/// The encoder of one thread. Clones share the weights, and have memory of their own.
pub struct Encoder {
    network: Arc<Network>,
    pooling: Pooling,
    scratch: Scratch,
}

impl Encoder {
    /// Loads config.json and model.safetensors and packs the weights.
    ///
    /// Errors: `Read`; `BadConfig` for a file that no BERT has, or that disagrees with `source`; `BadWeights` for
    /// tensors that are missing or of another shape; `WeightNotFinite`.
    pub fn load(source: &BertSource, config: EncoderConfig) -> Result<Self, EncoderError> {
        let shape = read_shape(source)?;
        let cpu = Cpu::detect(config.instruction_set);
        let network = Network::load(cpu, config.precision, shape, &WeightFile::open(&source.weights)?)?;
        let scratch = network.scratch();
        Ok(Self { network: Arc::new(network), pooling: source.pooling, scratch })
    }

    /// The instructions that are used, for logs.
    pub fn instructions(&self) -> &'static str {
        self.network.cpu().describe()
    }

    /// One pooled vector, not normalised, for each row of token ids: (batch, hidden).
    ///
    /// Errors: `TokenOutOfRange`, `NoTokens`, `TooManyTokens`.
    pub fn encode(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<f32>>, EncoderError> {
        let sequences = self.network.check(batch)?;
        let (pooling, hidden) = (self.pooling, self.network.hidden());
        let output = self.network.forward(&sequences, &mut self.scratch);
        let pooled = |span: Range<usize>| pool(&output[span.start * hidden..span.end * hidden], hidden, pooling);
        Ok(sequences.spans().map(pooled).collect())
    }
}

impl Clone for Encoder {
    fn clone(&self) -> Self {
        Self { network: Arc::clone(&self.network), pooling: self.pooling, scratch: self.network.scratch() }
    }
}

/// One vector of a sequence's output, (tokens, hidden).
fn pool(output: &[f32], hidden: usize, pooling: Pooling) -> Vec<f32> {
    match pooling {
        Pooling::Cls => output[..hidden].to_vec(),
        Pooling::Mean => {
            let mut mean = vec![0.0; hidden];
            for row in output.chunks_exact(hidden) {
                mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value);
            }
            let tokens = (output.len() / hidden) as f32;
            mean.iter_mut().for_each(|mean| *mean /= tokens);
            mean
        }
    }
}

fn read_shape(source: &BertSource) -> Result<Shape, EncoderError> {
    let path = &source.config;
    let bad = |what: String| EncoderError::BadConfig { path: path.clone(), what };
    let text = std::fs::read_to_string(path).map_err(|source| EncoderError::Read { path: path.clone(), source })?;
    let shape = Shape::parse(&text).map_err(bad)?;
    if shape.hidden_size != source.dimension {
        return Err(bad(format!("hidden_size is {}, the model's dimension {}", shape.hidden_size, source.dimension)));
    }
    if shape.max_position_embeddings < source.max_tokens {
        let (positions, tokens) = (shape.max_position_embeddings, source.max_tokens);
        return Err(bad(format!("max_position_embeddings is {positions}, less than max_tokens {tokens}")));
    }
    Ok(shape)
}
