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
mod team;
mod weights;

use std::sync::{Arc, Mutex};

pub use candle::CandleBert;
pub use cpu::InstructionSet;
pub use error::EncoderError;
pub use linear::Precision;
pub use source::{BertSource, Pooling};

use self::cpu::Cpu;
use self::network::{Alone, Network, Scratch, Sequences};
use self::shape::Shape;
use self::team::Team;
use self::weights::WeightFile;

/// How the encoder computes.
#[derive(Debug, Clone, Copy, Default)]
pub struct EncoderConfig {
    pub precision: Precision,
    /// Instructions beyond these are not used, `None`: the best there are.
    pub instruction_set: Option<InstructionSet>,
}

/// The encoder of one thread. Clones share the weights and the helpers, and have memory of their own.
pub struct Encoder {
    network: Arc<Network>,
    pooling: Pooling,
    scratch: Scratch,
    /// Taken by one clone at a time.
    team: Option<Arc<Mutex<Team>>>,
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
        Ok(Self { network: Arc::new(network), pooling: source.pooling, scratch, team: None })
    }

    /// The instructions that are used, for logs.
    pub fn instructions(&self) -> &'static str {
        self.network.cpu().describe()
    }

    /// With so many threads that help with single prompts ([`Self::encode_together`]). Each calls `begin` first; then
    /// they sleep until they are needed.
    ///
    /// Errors: `Helper` if the system starts no more threads.
    pub fn with_helpers(self, helpers: usize, begin: impl Fn() + Clone + Send + 'static) -> Result<Self, EncoderError> {
        let team = match helpers {
            0 => None,
            _ => Some(Team::start(&self.network, helpers, begin).map_err(EncoderError::Helper)?),
        };
        Ok(Self { team: team.map(|team| Arc::new(Mutex::new(team))), ..self })
    }

    /// One pooled vector, not normalised, for each row of token ids: (batch, hidden).
    ///
    /// Apart from those vectors, nothing is allocated once a batch of as many tokens, with as long a row, has been
    /// seen. Errors: `TokenOutOfRange`, `NoTokens`, `TooManyTokens`.
    pub fn encode(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<f32>>, EncoderError> {
        let sequences = self.network.check(batch)?;
        Ok(self.encode_alone(&sequences))
    }

    /// The same for one prompt, by this thread and the helpers, if no other clone has them at the moment. The result is
    /// the same to the bit.
    pub fn encode_together(&mut self, prompt: &[u32]) -> Result<Together, EncoderError> {
        let batch = [prompt];
        let sequences = self.network.check(&batch)?;
        let shared = self.team.clone();
        let team = shared.as_ref().and_then(|team| team.try_lock().ok());
        if let Some(mut team) = team {
            let mut pool = Pool::new(self.pooling, self.network.hidden());
            if team.forward(&self.network, &sequences, &mut self.scratch, |row| pool.add(row)).is_ok() {
                return Ok(Together { vector: pool.finish(), helped: true });
            }
        }
        // Without helpers, or as one of them has ended.
        let mut vectors = self.encode_alone(&sequences);
        let vector = vectors.pop().ok_or(EncoderError::NoTokens)?;
        Ok(Together { vector, helped: false })
    }

    fn encode_alone(&mut self, sequences: &Sequences<'_>) -> Vec<Vec<f32>> {
        let (pooling, hidden) = (self.pooling, self.network.hidden());
        let Ok(output) = self.network.forward(sequences, &mut Alone, &mut self.scratch);
        let pooled = |span: std::ops::Range<usize>| {
            let mut pool = Pool::new(pooling, hidden);
            output[span.start * hidden..span.end * hidden].chunks_exact(hidden).for_each(|row| pool.add(row));
            pool.finish()
        };
        let mut vectors = Vec::with_capacity(sequences.all().len());
        vectors.extend(sequences.spans().map(pooled));
        vectors
    }
}

impl Clone for Encoder {
    fn clone(&self) -> Self {
        let Self { network, pooling, team, .. } = self;
        Self { network: Arc::clone(network), pooling: *pooling, scratch: network.scratch(), team: team.clone() }
    }
}

/// See [`Encoder::encode_together`].
#[derive(Debug, Clone, PartialEq)]
pub struct Together {
    /// (hidden), pooled, not normalised.
    pub vector: Vec<f32>,
    /// Whether helpers took part: none were free, or one has ended, and this thread computed all of it.
    pub helped: bool,
}

/// One vector of a sequence's output, which comes row by row.
struct Pool {
    pooling: Pooling,
    sum: Vec<f32>,
    rows: usize,
}

impl Pool {
    fn new(pooling: Pooling, hidden: usize) -> Self {
        Self { pooling, sum: vec![0.0; hidden], rows: 0 }
    }

    fn add(&mut self, row: &[f32]) {
        if self.rows == 0 || self.pooling == Pooling::Mean {
            self.sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        self.rows += 1;
    }

    fn finish(mut self) -> Vec<f32> {
        if self.pooling == Pooling::Mean {
            let rows = self.rows as f32;
            self.sum.iter_mut().for_each(|sum| *sum /= rows);
        }
        self.sum
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
