//! The encoder's weights and its forward pass. Sequences of a batch are laid end to end, without padding.

use std::convert::Infallible;
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

/// How the threads that compute one batch share it.
pub(super) trait Meeting {
    type Error;

    /// The tokens, among all of the batch, that the caller computes.
    fn own(&self, tokens: usize) -> Range<usize>;

    /// Fills in the keys and values of the tokens of others: `projected` is (tokens, 3 `hidden`), and holds the caller's.
    fn exchange(&mut self, projected: &mut [f32], hidden: usize) -> Result<(), Self::Error>;
}

/// One thread for all of it.
pub(super) struct Alone;

impl Meeting for Alone {
    type Error = Infallible;

    fn own(&self, tokens: usize) -> Range<usize> {
        0..tokens
    }

    fn exchange(&mut self, _projected: &mut [f32], _hidden: usize) -> Result<(), Infallible> {
        Ok(())
    }
}

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

    /// Computes the last layer's output for the rows that are `meeting`'s own: (own tokens, hidden). A warm `scratch`
    /// that has seen as many tokens before is not allocated to.
    pub fn forward<'s, M: Meeting>(
        &self,
        sequences: &Sequences<'_>,
        meeting: &mut M,
        scratch: &'s mut Scratch,
    ) -> Result<&'s [f32], M::Error> {
        let Self { cpu, shape, .. } = self;
        let (cpu, hidden, tokens) = (*cpu, shape.hidden_size, sequences.tokens());
        let own = meeting.own(tokens);
        scratch.hidden.resize(own.len() * hidden, 0.0);
        scratch.projected.resize(tokens * 3 * hidden, 0.0);
        scratch.context.resize(own.len() * hidden, 0.0);
        scratch.wide.resize(own.len() * shape.intermediate_size, 0.0);
        let Scratch { hidden: state, projected, context, wide, codes, attention } = scratch;
        codes.reserve(own.len(), shape.intermediate_size.max(hidden));
        self.look_up(sequences, own.start, state);
        self.norm.apply(cpu, state);
        for layer in &self.layers {
            let own_projected = &mut projected[own.start * 3 * hidden..own.end * 3 * hidden];
            layer.projection.apply(cpu, state, codes, own_projected, Finish::Store);
            meeting.exchange(projected, hidden)?;
            for span in sequences.spans() {
                let rows = own.start.max(span.start)..own.end.min(span.end);
                if rows.is_empty() {
                    continue;
                }
                let context = &mut context[(rows.start - own.start) * hidden..(rows.end - own.start) * hidden];
                let projected = &projected[span.start * 3 * hidden..span.end * 3 * hidden];
                let queries = rows.start - span.start..rows.end - span.start;
                Attention { heads: shape.heads(), projected, queries, context, scratch: attention }.run(cpu);
            }
            layer.attended.apply(cpu, context, codes, state, Finish::Add);
            layer.attended_norm.apply(cpu, state);
            layer.widened.apply(cpu, state, codes, wide, Finish::Activate(shape.activation));
            layer.narrowed.apply(cpu, wide, codes, state, Finish::Add);
            layer.narrowed_norm.apply(cpu, state);
        }
        Ok(state)
    }

    /// Adds word and position embeddings of as many tokens as `state` has rows, from token `first` on.
    fn look_up(&self, sequences: &Sequences<'_>, first: usize, state: &mut [f32]) {
        let hidden = self.hidden();
        let tokens = sequences.0.iter().flat_map(|tokens| tokens.iter().enumerate()).skip(first);
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
    pub fn all(&self) -> &[&[u32]] {
        self.0
    }

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
