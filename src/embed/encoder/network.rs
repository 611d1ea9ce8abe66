//! The encoder's weights and its forward pass. Sequences of a batch are laid end to end, without padding.

use std::ops::Range;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::attention::{Attention, AttentionScratch};
use crate::byte::Activations;
use crate::cpu::Cpu;
use crate::error::EncoderError;
use crate::finish::Finish;
use crate::layer::Layer;
use crate::linear::Precision;
use crate::norm::LayerNorm;
use crate::shape::Shape;
use crate::weights::WeightFile;

/// Packed for the CPU at hand; shared by all threads.
pub(super) struct Network {
    cpu: Cpu,
    shape: Shape,
    /// (vocabulary, hidden)
    words: Vec<f32>,
    /// (positions, hidden), with the embedding of token type 0 added.
    positions: Vec<f32>,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

/// The tokens of a batch: every id is in the vocabulary, every sequence has from one to the most positions.
pub(super) struct Sequences<'a>(&'a [&'a [u32]]);

/// Memory of the forward pass, kept from one to the next.
pub(super) struct Scratch {
    /// (tokens, hidden)
    hidden: Vec<f32>,
    /// (tokens, 3 hidden)
    projected: Vec<f32>,
    /// (tokens, hidden)
    context: Vec<f32>,
    /// (tokens, intermediate)
    wide: Vec<f32>,
    codes: Activations,
    attention: AttentionScratch,
}

impl Network {
    pub fn load(cpu: Cpu, precision: Precision, shape: Shape, file: &WeightFile) -> Result<Self, EncoderError> {
        let (hidden, epsilon) = (shape.hidden_size, shape.layer_norm_eps);
        let embeddings = file.scope("embeddings");
        let words = embeddings.tensor("word_embeddings.weight", &[shape.vocab_size, hidden])?;
        let kinds = embeddings.tensor("token_type_embeddings.weight", &[shape.type_vocab_size, hidden])?;
        let mut positions =
            embeddings.tensor("position_embeddings.weight", &[shape.max_position_embeddings, hidden])?;
        for position in positions.chunks_exact_mut(hidden) {
            position.iter_mut().zip(&kinds).for_each(|(value, kind)| *value += kind);
        }
        let norm = embeddings.scope("LayerNorm").layer_norm(hidden, epsilon)?;
        // Packing is most of the time that loading takes.
        let layers = (0..shape.num_hidden_layers)
            .into_par_iter()
            .map(|number| Layer::load(cpu, precision, &shape, &file.scope(format!("encoder.layer.{number}"))))
            .collect::<Result<Vec<Layer>, EncoderError>>()?;
        Ok(Self { cpu, shape, words, positions, norm, layers })
    }

    pub fn hidden(&self) -> usize {
        self.shape.hidden_size
    }

    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// Checks a batch. `TokenOutOfRange`, `NoTokens` or `TooManyTokens` for what the model cannot read.
    pub fn check<'a>(&self, batch: &'a [&'a [u32]]) -> Result<Sequences<'a>, EncoderError> {
        let Shape { vocab_size: vocabulary, max_position_embeddings: most, .. } = self.shape;
        for tokens in batch {
            if tokens.is_empty() {
                return Err(EncoderError::NoTokens);
            }
            if tokens.len() > most {
                return Err(EncoderError::TooManyTokens { tokens: tokens.len(), most });
            }
            if let Some(&id) = tokens.iter().find(|id| **id as usize >= vocabulary) {
                return Err(EncoderError::TokenOutOfRange { id, vocabulary });
            }
        }
        Ok(Sequences(batch))
    }

    pub fn scratch(&self) -> Scratch {
        Scratch {
            hidden: Vec::new(),
            projected: Vec::new(),
            context: Vec::new(),
            wide: Vec::new(),
            codes: Activations::default(),
            attention: AttentionScratch::new(self.cpu, self.shape.heads()),
        }
    }

    /// Computes the last layer's output: (tokens, hidden). A warm `scratch` that has seen as many tokens before is not
    /// allocated to.
    pub fn forward<'s>(&self, sequences: &Sequences<'_>, scratch: &'s mut Scratch) -> &'s [f32] {
        let Self { cpu, shape, .. } = self;
        let (cpu, hidden, tokens) = (*cpu, shape.hidden_size, sequences.tokens());
        scratch.hidden.resize(tokens * hidden, 0.0);
        scratch.projected.resize(tokens * 3 * hidden, 0.0);
        scratch.context.resize(tokens * hidden, 0.0);
        scratch.wide.resize(tokens * shape.intermediate_size, 0.0);
        let Scratch { hidden: state, projected, context, wide, codes, attention } = scratch;
        codes.reserve(tokens, shape.intermediate_size.max(hidden));
        self.look_up(sequences, state);
        self.norm.apply(cpu, state);
        for layer in &self.layers {
            layer.projection.apply(cpu, state, codes, projected, Finish::Store);
            for span in sequences.spans() {
                let context = &mut context[span.start * hidden..span.end * hidden];
                let projected = &projected[span.start * 3 * hidden..span.end * 3 * hidden];
                Attention { heads: shape.heads(), projected, context, scratch: attention }.run(cpu);
            }
            layer.attended.apply(cpu, context, codes, state, Finish::Add);
            layer.attended_norm.apply(cpu, state);
            layer.widened.apply(cpu, state, codes, wide, Finish::Activate(shape.activation));
            layer.narrowed.apply(cpu, wide, codes, state, Finish::Add);
            layer.narrowed_norm.apply(cpu, state);
        }
        state
    }

    /// Adds word and position embeddings.
    fn look_up(&self, sequences: &Sequences<'_>, state: &mut [f32]) {
        let hidden = self.hidden();
        let tokens = sequences.0.iter().flat_map(|tokens| tokens.iter().enumerate());
        for ((position, &id), state) in tokens.zip(state.chunks_exact_mut(hidden)) {
            let word = &self.words[id as usize * hidden..][..hidden];
            let position = &self.positions[position * hidden..][..hidden];
            for ((state, word), position) in state.iter_mut().zip(word).zip(position) {
                *state = word + position;
            }
        }
    }
}

impl Sequences<'_> {
    pub fn tokens(&self) -> usize {
        self.0.iter().map(|tokens| tokens.len()).sum()
    }

    /// Where each sequence lies among all tokens.
    pub fn spans(&self) -> impl Iterator<Item = Range<usize>> {
        self.0.iter().scan(0, |end, tokens| {
            let start = *end;
            *end += tokens.len();
            Some(start..*end)
        })
    }
}
