//! Whether any route applies.
//!
//! A logistic regression on the head's energy, the familiarity of the neighbours and how far the prompt is from known
//! `none` prompts. Its examples of prompts out of scope are those of routes that the classifiers were fitted without,
//! and `none` prompts where there are some. What repeats a reference is in scope even where the regression doubts it,
//! unless the head takes it for a `none` prompt.

use crate::channels::Signs;
use crate::closeness::Closeness;
use crate::logistic::{Logistic, LogisticInput, sigmoid};
use crate::neighbours::DUPLICATE;

pub(crate) const FEATURES: usize = 3;

/// Log-odds for one standard deviation of each feature, where data says nothing: energy, mean similarity of the five
/// nearest (from what is usual for the route), odds against `none`; then the intercept. Energy and similarity, equally
/// weighted, were the best pair on CLINC150's validation files. The largest logit beside the energy, and the share of
/// unknown n-grams, made it worse: what routes that are left out teach about them does not carry over to prompts from
/// elsewhere.
const PRIOR: [f64; FEATURES + 1] = [1.0, 1.0, 0.0, 2.2];

const STRENGTHS: [f64; FEATURES + 1] = [8.0, 8.0, 2.0, 0.5];

/// `none` prompts from which the routes left out count little beside them.
const ENOUGH_NONE: usize = 20;

/// Weight of routes left out, all together, where there are enough `none` prompts: beside 1 for those.
const LEFT_OUT_SHARE: f64 = 0.2;

/// Odds that a route applies to what says the same as a reference, word for word. They fall to 1 at a similarity of
/// [`DUPLICATE`], from where two prompts count as one. In BANKING77-OOS's validation files, with its prompts that ask
/// the same bank for something else, and all references, 167 prompts in scope and 11 out of it have a reference at 0.95
/// to 0.97, and 42 and 5 one above 0.99: odds of 15 and 8. Of CLINC150's prompts out of scope, and of those from
/// elsewhere, none has one above 0.85.
const ODDS_OF_REPETITION: f64 = 10.0;

/// Features are kept so many standard deviations from the mean, so that no outlier decides alone.
pub(crate) const MOST_DEVIATIONS: f64 = 8.0;

/// Place among the features of the mean similarity of the five nearest.
const SIMILARITY: usize = 1;

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
    /// By how many of those deviations the similarity is above the mean for held-out prompts that the head takes for a
    /// route's, shrunk: of each route.
    pub(crate) closeness: Vec<f32>,
    pub(crate) logistic: Logistic,
}

impl ScopeModel {
    /// The model, and what it says of each row without the row's own part in what is usual for its route: what is
    /// reported of it. It is fitted with that part: without, routes left out teach that similarity is worth less, which
    /// is not so for prompts from elsewhere (0.978 instead of 0.980 for CLINC150, 10 prompts a route; see
    /// [`closeness`](crate::closeness)). `share`: share of prompts out of scope that is expected where the model is used.
    pub(crate) fn fit(rows: &[ScopeRow], share: f64, routes: usize) -> (Self, Vec<f32>) {
        let scales = scales(rows);
        let standard: Vec<[f64; FEATURES]> = rows.iter().map(|row| standard(&row.signs, &scales)).collect();
        let known = rows.iter().zip(&standard).filter(|(row, _)| is_measured(row));
        let closeness = Closeness::new(routes, known.map(|(row, at)| (row.signs.head_first, at[SIMILARITY])));
        let means = closeness.means();
        let features: Vec<Vec<f64>> = rows
            .iter()
            .zip(&standard)
            .map(|(row, at)| measured(*at, mean_of(&means, row.signs.head_first)).to_vec())
            .collect();
        let right: Vec<bool> = rows.iter().map(|row| row.kind == ScopeKind::Known).collect();
        let weights = weights(rows, share);
        let logistic = Logistic::fit(&LogisticInput {
            features: &features,
            right: &right,
            weights: &weights,
            prior: &PRIOR,
            strengths: &STRENGTHS,
        });
        let judged = rows.iter().zip(standard).map(|(row, at)| {
            let usual = match is_measured(row) {
                true => closeness.mean_without(row.signs.head_first, at[SIMILARITY]),
                false => mean_of(&means, row.signs.head_first),
            };
            or_repeated(logistic.probability(&measured(at, usual)), &row.signs)
        });
        let judged = judged.collect();
        (Self { scales, closeness: means, logistic }, judged)
    }

    pub(crate) fn probability(&self, signs: &Signs) -> f32 {
        let features = measured(standard(signs, &self.scales), mean_of(&self.closeness, signs.head_first));
        or_repeated(self.logistic.probability(&features), signs)
    }
}

/// What is not a number stays so: it is no assurance.
fn or_repeated(fitted: f64, signs: &Signs) -> f32 {
    let steps = (f64::from(signs.familiarity.nearest) - f64::from(DUPLICATE)) / (1.0 - f64::from(DUPLICATE));
    let like_none = signs.against_none.map_or(1.0, |odds| sigmoid(f64::from(odds)));
    let repeated = sigmoid(steps * ODDS_OF_REPETITION.ln()).min(like_none);
    (if repeated > fitted { repeated } else { fitted }) as f32
}

/// Whether the row says how alike prompts of a route are. One that has no neighbours left, as all of them are in its
/// fold, does not.
fn is_measured(row: &ScopeRow) -> bool {
    row.kind == ScopeKind::Known && row.signs.familiarity.nearest > -1.0
}

fn raw(signs: &Signs) -> [f64; FEATURES] {
    [signs.energy, signs.familiarity.mean, signs.against_none.unwrap_or(0.0)].map(f64::from)
}

/// In standard deviations from the mean in scope.
fn standard(signs: &Signs, scales: &[(f64, f64); FEATURES]) -> [f64; FEATURES] {
    let mut standard = raw(signs);
    standard.iter_mut().zip(scales).for_each(|(value, (mean, deviation))| *value = (*value - mean) / deviation);
    standard
}

/// With the similarity measured from what is `usual` for the route, and within bounds.
fn measured(mut standard: [f64; FEATURES], usual: f32) -> [f64; FEATURES] {
    standard[SIMILARITY] -= f64::from(usual);
    standard.map(|value| value.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS))
}

fn mean_of(closeness: &[f32], route: u32) -> f32 {
    closeness.get(route as usize).copied().unwrap_or(0.0)
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
        ScopeRow { signs: Signs { energy, against_none: None, familiarity, head_first: 0 }, kind }
    }

    #[test]
    fn familiar_prompts_are_in_scope() {
        let mut rows = Vec::new();
        for index in 0..100 {
            let noise = (index % 10) as f32 / 10.0;
            rows.push(row(5.0 + noise, 0.8 + noise / 10.0, ScopeKind::Known));
            rows.push(row(1.0 + noise, 0.3 + noise / 10.0, ScopeKind::LeftOut));
        }
        let model = ScopeModel::fit(&rows, 0.1, 1).0;
        assert!(model.probability(&rows[0].signs) > 0.9);
        assert!(model.probability(&rows[1].signs) < 0.1);
    }

    #[test]
    fn a_route_of_many_things_is_judged_by_its_own_prompts() {
        let of = |route: u32, similarity: f32, kind: ScopeKind| {
            let row = row(3.0, similarity, kind);
            ScopeRow { signs: Signs { head_first: route, ..row.signs }, kind }
        };
        let noise = |index: usize| (index % 10) as f32 / 100.0;
        let rows: Vec<ScopeRow> = (0..100)
            .flat_map(|index| {
                let (close, far) = (0.8 + noise(index), 0.5 + noise(index));
                [of(0, close, ScopeKind::Known), of(1, far, ScopeKind::Known), of(0, 0.3, ScopeKind::LeftOut)]
            })
            .collect();
        let model = ScopeModel::fit(&rows, 0.1, 2).0;
        let probability = |route| model.probability(&of(route, 0.55, ScopeKind::Known).signs);
        assert!(probability(1) > probability(0) + 0.2, "{} {}", probability(1), probability(0));
    }

    #[test]
    fn what_repeats_a_reference_is_in_scope_unless_it_is_nearer_to_none() {
        let noise = |index: usize| (index % 10) as f32 / 100.0;
        let rows: Vec<ScopeRow> =
            (0..100).map(|index| row(5.0 + noise(index), 0.8 + noise(index), ScopeKind::Known)).collect();
        let model = ScopeModel::fit(&rows, 0.1, 1).0;
        let probability = |nearest: f32, against_none: Option<f32>| {
            let familiarity = Familiarity { nearest, mean: 0.2 };
            model.probability(&Signs { energy: -20.0, against_none, familiarity, head_first: 0 })
        };
        assert!(probability(0.85, None) < 0.02);
        assert!((probability(0.95, None) - 0.5).abs() < 1e-3);
        assert!((probability(1.0, None) - 10.0 / 11.0).abs() < 1e-3);
        assert!((probability(1.0, Some(0.0)) - 0.5).abs() < 1e-3);
        assert!((probability(1.0, Some(9.0)) - 10.0 / 11.0).abs() < 1e-3);
        assert!(probability(1.0, Some(-3.0)) < 0.1);
    }

    #[test]
    fn a_prompt_is_not_measured_by_itself() {
        let rows: Vec<ScopeRow> =
            (0..50).map(|index| row(3.0, 0.6 + (index % 10) as f32 / 50.0, ScopeKind::Known)).collect();
        let (model, judged) = ScopeModel::fit(&rows, 0.1, 1);
        // Without the least similar one the route is closer, and that one further from it.
        assert!(judged[0] < model.probability(&rows[0].signs));
        assert!(judged[9] > model.probability(&rows[9].signs));
    }

    #[test]
    fn a_prompt_without_neighbours_says_nothing_of_its_route() {
        let noise = |index: usize| (index % 10) as f32 / 50.0;
        let known: Vec<ScopeRow> = (0..50).map(|index| row(3.0, 0.6 + noise(index), ScopeKind::Known)).collect();
        let closeness = |rows: &[ScopeRow]| ScopeModel::fit(rows, 0.1, 1).0.closeness[0];
        let alone = (0..5).map(|_| row(3.0, -1.0, ScopeKind::Known));
        let with: Vec<ScopeRow> = known.iter().copied().chain(alone).collect();
        // They pull the mean of all down, and leave the route's above it.
        assert!(closeness(&with) > 0.1, "{}", closeness(&with));
        assert!(closeness(&known).abs() < 1e-3);
    }

    #[test]
    fn what_is_not_a_number_is_no_assurance() {
        let (model, _) = ScopeModel::fit(&[], 0.1, 1);
        assert!(model.probability(&row(f32::NAN, 1.0, ScopeKind::Known).signs).is_nan());
    }

    #[test]
    fn nothing_known_stays_finite() {
        let model = ScopeModel::fit(&[], 0.1, 1).0;
        assert!(model.probability(&row(3.0, 0.5, ScopeKind::Known).signs).is_finite());
    }
}
