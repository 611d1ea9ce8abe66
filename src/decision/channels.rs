//! The three channels, and what they say of a prompt. Fitting and deciding go through the same code.

use crate::algebra::{Kernels, argmax, log_sum_exp};
use crate::loss::sparse_logits;
use crate::votes::{self, Familiarity};

/// Weights of the two trained classifiers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Classifiers {
    pub(crate) routes: usize,
    /// Whether a last class stands for prompts that no route applies to.
    pub(crate) none: bool,
    pub(crate) dimension: usize,
    /// Row-major (classes, dimension + 1); the last column is the bias.
    pub(crate) head: Vec<f32>,
    /// Row-major (features + 1, classes); the last row is the bias.
    pub(crate) lexical: Vec<f32>,
}

/// A prompt, as the channels see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// Embedding and a last 1.
    pub(crate) embedding: &'a [f32],
    /// (feature, weight).
    pub(crate) bag: &'a [(u32, f32)],
    /// (route, cosine similarity), nearest first.
    pub(crate) neighbours: &'a [(u32, f32)],
}

/// Log-probabilities of the routes, by channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opinions {
    pub(crate) head: Vec<f32>,
    pub(crate) lexical: Vec<f32>,
    pub(crate) votes: Vec<f32>,
}

/// What tells whether any route applies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Signs {
    /// log Σ exp of the head's logits of the routes: the free energy of Liu et al. 2020, turned round.
    pub(crate) energy: f32,
    /// How much likelier all routes are than `none`, in log-odds; nothing of a head without that class.
    pub(crate) against_none: Option<f32>,
    pub(crate) familiarity: Familiarity,
    /// The route that the head gives the highest logit.
    pub(crate) head_first: u32,
}

impl Classifiers {
    pub(crate) fn classes(&self) -> usize {
        self.routes + usize::from(self.none)
    }

    /// The head's logits alone.
    pub(crate) fn head_logits(&self, embedding: &[f32], logits: &mut Vec<f32>) {
        logits.clear();
        logits.resize(self.classes(), 0.0);
        Kernels::new().rows_dot(&self.head, embedding, logits);
    }

    /// What the channels say; reuses the memory of `opinions`.
    pub(crate) fn judge(&self, view: &View, opinions: &mut Opinions) -> Signs {
        let kernels = Kernels::new();
        self.head_logits(view.embedding, &mut opinions.head);
        let signs = self.signs(view, &opinions.head);
        opinions.head.truncate(self.routes);
        kernels.log_softmax(&mut opinions.head);
        opinions.lexical.clear();
        opinions.lexical.resize(self.classes(), 0.0);
        sparse_logits(&self.lexical, view.bag, &mut opinions.lexical, kernels);
        opinions.lexical.truncate(self.routes);
        kernels.log_softmax(&mut opinions.lexical);
        opinions.votes.clear();
        opinions.votes.resize(self.routes, 0.0);
        votes::shares(view.neighbours, &mut opinions.votes);
        votes::log_shares(&mut opinions.votes);
        signs
    }

    /// From the head's logits.
    pub(crate) fn signs(&self, view: &View, logits: &[f32]) -> Signs {
        let (routes, none) = logits.split_at(self.routes);
        let energy = log_sum_exp(routes);
        Signs {
            energy,
            against_none: none.first().map(|none| energy - none),
            familiarity: votes::familiarity(view.neighbours),
            head_first: argmax(routes) as u32,
        }
    }
}

/// How much each channel counts: the route's score is Σ weight · log-probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mix {
    pub(crate) head: f32,
    pub(crate) lexical: f32,
    pub(crate) votes: f32,
}

impl Mix {
    /// Chosen on the training files of BANKING77 and CLINC150, at 5 and 10 prompts a route.
    pub(crate) const PRIOR: Self = Self { head: 1.0, lexical: 0.4, votes: 0.2 };

    /// Probabilities of the routes, into `posterior`.
    pub(crate) fn posterior(&self, opinions: &Opinions, posterior: &mut Vec<f32>) {
        posterior.clear();
        let rows = opinions.head.iter().zip(&opinions.lexical).zip(&opinions.votes);
        posterior.extend(
            rows.map(|((head, lexical), votes)| self.head * head + self.lexical * lexical + self.votes * votes),
        );
        Kernels::new().softmax(posterior);
    }
}

/// The embedding with a last 1, which the head multiplies with its bias.
pub(crate) fn extended(embedding: &[f32]) -> Vec<f32> {
    let mut extended = Vec::with_capacity(embedding.len() + 1);
    extended.extend_from_slice(embedding);
    extended.push(1.0);
    extended
}
