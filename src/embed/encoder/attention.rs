//! Scaled dot-product attention of one sequence, in single precision. Sequences are laid end to end: there is no
//! padding, and so no mask.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::cpu::Cpu;
use crate::finish::Finish;
use crate::float::{Panels, Product};
use crate::math;

/// Queries whose scores are computed before they are used: few, so that they stay in the first cache.
const QUERIES: usize = 12;

/// Sizes of the heads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub count: usize,
    /// Components of one head.
    pub size: usize,
}

impl Heads {
    pub fn hidden(self) -> usize {
        self.count * self.size
    }
}

/// Memory that is used again and again.
pub(super) struct AttentionScratch {
    keys: Panels,
    values: Panels,
    /// ([`QUERIES`], padded tokens)
    scores: Vec<f32>,
    /// What is added to a score, and to a component of the context: nothing.
    zeros: Vec<f32>,
}

impl AttentionScratch {
    pub fn new(cpu: Cpu, heads: Heads) -> Self {
        let (keys, values) = (Panels::zeros(cpu, heads.size, 1), Panels::zeros(cpu, 1, heads.size));
        Self { keys, values, scores: Vec::new(), zeros: vec![0.0; heads.size] }
    }

    /// Makes room for a sequence of `tokens`.
    fn fit(&mut self, tokens: usize) {
        let stride = self.keys.padded(tokens);
        self.zeros.resize(self.zeros.len().max(stride), 0.0);
        self.scores.resize(self.scores.len().max(QUERIES * stride), 0.0);
    }
}

/// Attention of some of a sequence's tokens to all of them.
pub(super) struct Attention<'a> {
    pub heads: Heads,
    /// (tokens, 3 hidden): query, already divided by the root of the head's size, key and value of the sequence.
    pub projected: &'a [f32],
    /// The tokens that attend.
    pub queries: Range<usize>,
    /// (queries, hidden)
    pub context: &'a mut [f32],
    pub scratch: &'a mut AttentionScratch,
}

impl Attention<'_> {
    pub fn run(self, cpu: Cpu) {
        let Heads { count, size } = self.heads;
        let hidden = self.heads.hidden();
        let stride = 3 * hidden;
        let tokens = self.projected.len() / stride;
        self.scratch.fit(tokens);
        let AttentionScratch { keys, values, scores, zeros } = self.scratch;
        for head in 0..count {
            let part = head * size;
            keys.fill_transposed(&self.projected[hidden + part..], size, tokens, stride);
            values.fill(&self.projected[2 * hidden + part..], tokens, size, stride);
            let score_stride = keys.padded(tokens);
            for first in self.queries.clone().step_by(QUERIES) {
                let rows = QUERIES.min(self.queries.end - first);
                cpu.arch.dispatch(Product {
                    input: &self.projected[first * stride + part..],
                    input_stride: stride,
                    rows,
                    weights: keys,
                    bias: &zeros[..tokens],
                    finish: Finish::Store,
                    out: scores,
                    out_stride: score_stride,
                    fetch: cpu.fetch,
                });
                let scored = &mut scores[..rows * score_stride];
                cpu.arch.dispatch(Softmax { scores: scored, stride: score_stride, tokens });
                let at = (first - self.queries.start) * hidden + part;
                cpu.arch.dispatch(Product {
                    input: scores,
                    input_stride: score_stride,
                    rows,
                    weights: values,
                    bias: &zeros[..size],
                    finish: Finish::Store,
                    out: &mut self.context[at..],
                    out_stride: hidden,
                    fetch: cpu.fetch,
                });
            }
        }
    }
}

/// Turns each row of scores into weights that add up to 1.
struct Softmax<'a> {
    scores: &'a mut [f32],
    stride: usize,
    tokens: usize,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for row in self.scores.chunks_exact_mut(self.stride) {
            let row = &mut row[..self.tokens];
            let most = greatest(row);
            let total = exponentials::<S>(row, most);
            let factor = 1.0 / total;
            row.iter_mut().for_each(|value| *value *= factor);
        }
    }
}

const LANES: usize = 16;

#[inline(always)]
fn greatest(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut most = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (most, value) in most.iter_mut().zip(chunk) {
            *most = if *value > *most { *value } else { *most };
        }
    }
    rest.iter().fold(math::fold(most, f32::max), |a, b| a.max(*b))
}

/// Replaces each value by e^(value - most); returns their sum.
#[inline(always)]
fn exponentials<S: Simd>(values: &mut [f32], most: f32) -> f32 {
    let (chunks, rest) = values.as_chunks_mut::<LANES>();
    let mut sums = [0.0f32; LANES];
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *value = math::exp::<S>(*value - most);
            *sum += *value;
        }
    }
    let mut total = math::fold(sums, |a, b| a + b);
    for value in rest {
        *value = math::exp::<S>(*value - most);
        total += *value;
    }
    total
}
