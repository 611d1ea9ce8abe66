//! The decision model: what a fit yields and a decision uses.

use crate::channels::{Classifiers, Mix, Opinions, View, extended};
use crate::confidence::{Calibrator, evidence};
use crate::error::JudgeError;
use crate::lexical::{Vocabulary, normalise};
use crate::metrics::Outcome;
use crate::scope::ScopeModel;
use crate::shortlist::ShortlistRule;

/// A fitted model. It never changes; share it between threads behind an `Arc`.
#[derive(Debug, Clone)]
pub struct DecisionModel {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) classifiers: Classifiers,
    pub(crate) mix: Mix,
    pub(crate) calibrator: Calibrator,
    pub(crate) scope: ScopeModel,
    pub(crate) shortlist: ShortlistRule,
    pub(crate) outcomes: Vec<Outcome>,
    /// Prompts learned from when it was calibrated.
    pub(crate) references: u32,
}

/// What the model says of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// (route, posterior), likeliest first, at most as many as a shortlist may have. Posteriors of all routes add up
    /// to 1. The first is the decision.
    pub ranking: Vec<(u32, f32)>,
    /// Probability that the first route is right, given that one of the routes is.
    pub confidence: f32,
    /// Probability that any route applies.
    pub in_scope: f32,
    /// So many of the first of `ranking` hold the right route with the probability that the fit was asked for.
    pub shortlist: usize,
}

impl DecisionModel {
    pub fn routes(&self) -> usize {
        self.classifiers.routes
    }

    /// Length of the embeddings that it judges.
    pub fn dimension(&self) -> usize {
        self.classifiers.dimension
    }

    /// Held-out outcomes behind the calibration, to choose thresholds by: see [`choose`](crate::choose).
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Decides. `embedding`: of norm 1. `neighbours`: (route, cosine similarity) of the nearest references, nearest
    /// first, at least [`VOTERS`](crate::VOTERS) of them if there are so many; `none` prompts left out.
    pub fn judge(&self, embedding: &[f32], text: &str, neighbours: &[(u32, f32)]) -> Result<Judgement, JudgeError> {
        self.check(embedding, neighbours)?;
        let embedding = extended(embedding);
        let bag = self.vocabulary.bag(&normalise(text));
        let view = View { embedding: &embedding, bag: &bag, neighbours };
        let mut opinions = Opinions::default();
        let signs = self.classifiers.judge(&view, &mut opinions);
        let mut posterior = Vec::new();
        self.mix.posterior(&opinions, &mut posterior);
        let evidence = evidence(&opinions, &posterior, &signs);
        let ranking = ranking(&posterior, self.shortlist.limit as usize);
        Ok(Judgement {
            confidence: self.calibrator.confidence(&evidence),
            in_scope: self.scope.probability(&signs),
            shortlist: self.shortlist.length(ranking.iter().map(|(_, probability)| *probability)),
            ranking,
        })
    }

    fn check(&self, embedding: &[f32], neighbours: &[(u32, f32)]) -> Result<(), JudgeError> {
        if embedding.len() != self.dimension() {
            return Err(JudgeError::Dimension { found: embedding.len(), expected: self.dimension() });
        }
        let finite = embedding.iter().chain(neighbours.iter().map(|(_, similarity)| similarity));
        if !finite.fold(0.0, |sum, value| sum + value).is_finite() {
            return Err(JudgeError::NotFinite);
        }
        let unknown = neighbours.iter().find(|(route, _)| *route as usize >= self.routes());
        unknown.map_or(Ok(()), |(route, _)| Err(JudgeError::UnknownRoute { route: *route, routes: self.routes() }))
    }
}

/// The `count` likeliest routes in order; ties go to the smaller index.
pub(crate) fn ranking(posterior: &[f32], count: usize) -> Vec<(u32, f32)> {
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut ranked: Vec<(u32, f32)> =
        posterior.iter().enumerate().map(|(route, probability)| (route as u32, *probability)).collect();
    if count < ranked.len() && count > 0 {
        ranked.select_nth_unstable_by(count - 1, order);
        ranked.truncate(count);
    }
    ranked.sort_unstable_by(order);
    ranked
}
