//! Whether any route applies.
//!
//! A logistic regression on the head's energy, the familiarity of the neighbours and how far the prompt is from known
//! `none` prompts. Its examples of prompts out of scope are those of routes that the classifiers were fitted without,
//! and `none` prompts where there are some.

use crate::channels::Signs;
use crate::logistic::{Logistic, LogisticInput};

pub(crate) const FEATURES: usize = 3;

/// Log-odds for one standard deviation of each feature, where data says nothing: energy, mean similarity of the five
/// nearest, odds against `none`; then the intercept. Energy and similarity, equally weighted, were the best pair on
/// CLINC150's validation files. The largest logit beside the energy, and the share of unknown n-grams, made it worse:
/// what routes that are left out teach about them does not carry over to prompts from elsewhere.
const PRIOR: [f64; FEATURES + 1] = [1.0, 1.0, 0.0, 2.2];

const STRENGTHS: [f64; FEATURES + 1] = [8.0, 8.0, 2.0, 0.5];

/// `none` prompts from which the routes left out count little beside them.
const ENOUGH_NONE: usize = 20;

/// Weight of routes left out, all together, where there are enough `none` prompts: beside 1 for those.
const LEFT_OUT_SHARE: f64 = 0.2;

/// A prompt and whether a route applies to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScopeRow {
    pub(crate) signs: Signs,
    pub(crate) kind: ScopeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    /// Of a route that the classifiers know, held out.
    Known,
    /// Of a route that the classifiers were fitted without.
    LeftOut,
    /// Labelled as out of scope, held out.
    None,
}

/// Signs to the probability that a route applies.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScopeModel {
    /// Mean and standard deviation of each feature over prompts in scope.
    pub(crate) scales: [(f64, f64); FEATURES],
    pub(crate) logistic: Logistic,
}

impl ScopeModel {
    /// `share`: share of prompts out of scope that is expected where the model is used.
    pub(crate) fn fit(rows: &[ScopeRow], share: f64) -> Self {
        let scales = scales(rows);
        let features: Vec<Vec<f64>> = rows.iter().map(|row| scaled(&row.signs, &scales).to_vec()).collect();
        let right: Vec<bool> = rows.iter().map(|row| row.kind == ScopeKind::Known).collect();
        let weights = weights(rows, share);
        let logistic = Logistic::fit(&LogisticInput {
            features: &features,
            right: &right,
            weights: &weights,
            prior: &PRIOR,
            strengths: &STRENGTHS,
        });
        Self { scales, logistic }
    }

    pub(crate) fn probability(&self, signs: &Signs) -> f32 {
        self.logistic.probability(&scaled(signs, &self.scales)) as f32
    }
}

fn raw(signs: &Signs) -> [f64; FEATURES] {
    [signs.energy, signs.familiarity.mean, signs.against_none].map(f64::from)
}

/// In standard deviations from the mean in scope, kept within what a few outliers cannot make decisive.
fn scaled(signs: &Signs, scales: &[(f64, f64); FEATURES]) -> [f64; FEATURES] {
    let mut scaled = raw(signs);
    for (value, (mean, deviation)) in scaled.iter_mut().zip(scales) {
        *value = ((*value - mean) / deviation).clamp(-8.0, 8.0);
    }
    scaled
}

fn scales(rows: &[ScopeRow]) -> [(f64, f64); FEATURES] {
    let known: Vec<[f64; FEATURES]> =
        rows.iter().filter(|row| row.kind == ScopeKind::Known).map(|row| raw(&row.signs)).collect();
    let count = known.len().max(1) as f64;
    std::array::from_fn(|feature| {
        let mean = known.iter().map(|row| row[feature]).sum::<f64>() / count;
        let variance = known.iter().map(|row| (row[feature] - mean).powi(2)).sum::<f64>() / count;
        // A feature that never varies says nothing.
        (mean, if variance > 1e-8 { variance.sqrt() } else { 1e4 })
    })
}

/// Prompts out of scope weigh `share` of all, however many there are.
fn weights(rows: &[ScopeRow], share: f64) -> Vec<f64> {
    let count = |kind: ScopeKind| rows.iter().filter(|row| row.kind == kind).count() as f64;
    let (known, left_out, none) = (count(ScopeKind::Known), count(ScopeKind::LeftOut), count(ScopeKind::None));
    let part_left_out = if none >= ENOUGH_NONE as f64 && left_out > 0.0 {
        LEFT_OUT_SHARE
    } else if left_out > 0.0 {
        left_out / (left_out + none)
    } else {
        0.0
    };
    // The effective number of examples is bounded by how many there are of both.
    let effective = known.min(left_out + none) * 2.0;
    rows.iter()
        .map(|row| match row.kind {
            ScopeKind::Known => effective * (1.0 - share) / known,
            ScopeKind::LeftOut => effective * share * part_left_out / left_out,
            ScopeKind::None => effective * share * (1.0 - part_left_out) / none,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::votes::Familiarity;

    fn row(energy: f32, similarity: f32, kind: ScopeKind) -> ScopeRow {
        let familiarity = Familiarity { nearest: similarity, mean: similarity };
        ScopeRow { signs: Signs { energy, against_none: 0.0, familiarity }, kind }
    }

    #[test]
    fn familiar_prompts_are_in_scope() {
        let mut rows = Vec::new();
        for index in 0..100 {
            let noise = (index % 10) as f32 / 10.0;
            rows.push(row(5.0 + noise, 0.8 + noise / 10.0, ScopeKind::Known));
            rows.push(row(1.0 + noise, 0.3 + noise / 10.0, ScopeKind::LeftOut));
        }
        let model = ScopeModel::fit(&rows, 0.1);
        assert!(model.probability(&rows[0].signs) > 0.9);
        assert!(model.probability(&rows[1].signs) < 0.1);
    }

    #[test]
    fn nothing_known_stays_finite() {
        let model = ScopeModel::fit(&[], 0.1);
        assert!(model.probability(&row(3.0, 0.5, ScopeKind::Known).signs).is_finite());
    }
}
