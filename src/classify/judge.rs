//! Whether the first stage is sure enough to decide alone. Pure.

use serde::Serialize;

use super::knn::RouteScore;
use crate::reference::{Route, SetPolicy};

/// A bound of the policy that was missed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Doubt {
    pub measure: Measure,
    pub value: f32,
    pub bound: f32,
}

impl Doubt {
    /// For a reader. Confidence ends at 1: a bound above it is one that no prompt reaches.
    pub fn in_words(&self) -> String {
        let Self { measure, value, bound } = self;
        match measure {
            Measure::Confidence if *bound > 1.0 => {
                format!("confidence {value:.3} is not enough: for what is asked of this set, none is")
            }
            _ => format!("{} {value:.3} is below {bound:.3}", measure.as_str()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Confidence,
    InScope,
    Score,
    Margin,
    Similarity,
}

impl Measure {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confidence => "confidence",
            Self::InScope => "in_scope",
            Self::Score => "score",
            Self::Margin => "margin",
            Self::Similarity => "similarity",
        }
    }
}

/// What the decision model says, and what is asked of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sureness {
    pub confidence: f32,
    /// Least confidence that the policy or the request asks for.
    pub threshold: f32,
    pub in_scope: f32,
}

/// Every bound that the winner, the route of the first score, misses; none: the first stage decides. With `sureness`
/// the vote has to reach only what the winner itself asks of it; without, the set's bounds too.
pub(super) fn doubts(
    scores: &[RouteScore],
    sureness: Option<Sureness>,
    winner: &Route,
    policy: &SetPolicy,
) -> Vec<Doubt> {
    let (score, similarity) = scores.first().map_or((0.0, -1.0), |first| (first.score, first.similarity));
    let by_vote = |bound: f32| sureness.is_none().then_some(bound);
    let checks = [
        sureness.map(|sure| (Measure::Confidence, sure.confidence, sure.threshold)),
        sureness.map(|sure| (Measure::InScope, sure.in_scope, policy.min_in_scope)),
        winner
            .min_similarity
            .or_else(|| by_vote(policy.min_similarity))
            .map(|bound| (Measure::Similarity, similarity, bound)),
        winner.min_score.or_else(|| by_vote(policy.min_score)).map(|bound| (Measure::Score, score, bound)),
        by_vote(policy.min_margin).map(|bound| (Measure::Margin, lead(scores), bound)),
    ];
    checks
        .into_iter()
        .flatten()
        // What is not a number is no assurance.
        .filter(|(_, value, bound)| value.is_nan() || value < bound)
        .map(|(measure, value, bound)| Doubt { measure, value, bound })
        .collect()
}

/// The first one's share of the vote less the largest of the others', in [-1, 1]: below 0 if the decision model has
/// put another first than the vote would.
fn lead(scores: &[RouteScore]) -> f32 {
    let Some((first, others)) = scores.split_first() else { return 0.0 };
    first.score - others.iter().map(|other| other.score).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::RouteName;

    fn scores(first: f32, similarity: f32) -> Vec<RouteScore> {
        vec![
            RouteScore { route: 0, score: first, similarity, probability: None },
            RouteScore { route: 1, score: 1.0 - first, similarity: 0.1, probability: None },
        ]
    }

    fn measures(doubts: &[Doubt]) -> Vec<Measure> {
        doubts.iter().map(|doubt| doubt.measure).collect()
    }

    #[test]
    fn a_bound_that_nothing_reaches_is_no_number_to_compare_with() {
        let words = |measure, bound| Doubt { measure, value: 0.9, bound }.in_words();
        assert_eq!(words(Measure::Confidence, 0.95), "confidence 0.900 is below 0.950");
        let never = "confidence 0.900 is not enough: for what is asked of this set, none is";
        assert_eq!(words(Measure::Confidence, 1.1), never);
        assert_eq!(words(Measure::Margin, 0.95), "margin 0.900 is below 0.950");
    }

    #[test]
    fn each_bound_is_a_doubt_and_a_route_may_set_its_own() {
        let route = Route::named(RouteName::new("a").unwrap());
        let policy = SetPolicy { min_score: 0.6, min_margin: 0.3, min_similarity: 0.4, ..SetPolicy::default() };
        let check = |scores: &[RouteScore], route: &Route, expected: &[Measure]| {
            assert_eq!(measures(&doubts(scores, None, route, &policy)), expected);
        };
        check(&scores(0.9, 0.8), &route, &[]);
        check(&scores(0.62, 0.8), &route, &[Measure::Margin]);
        check(&scores(0.55, 0.2), &route, &[Measure::Similarity, Measure::Score, Measure::Margin]);
        check(&scores(0.9, 0.2), &Route { min_similarity: Some(0.1), ..route.clone() }, &[]);
        check(&scores(0.9, 0.8), &Route { min_score: Some(0.95), ..route.clone() }, &[Measure::Score]);
        check(&[], &route, &[Measure::Similarity, Measure::Score, Measure::Margin]);
        // The decision model has put first what the vote would not.
        check(&scores(0.4, 0.8), &route, &[Measure::Score, Measure::Margin]);
    }

    #[test]
    fn with_a_confidence_only_a_routes_own_bounds_speak_of_the_vote() {
        let policy = SetPolicy { min_in_scope: 0.5, ..SetPolicy::default() };
        let route = Route::named(RouteName::new("a").unwrap());
        let check = |confidence: f32, in_scope: f32, route: &Route, expected: &[Measure]| {
            let sureness = Some(Sureness { confidence, threshold: 0.8, in_scope });
            assert_eq!(measures(&doubts(&scores(0.1, 0.1), sureness, route, &policy)), expected);
        };
        check(0.8, 0.5, &route, &[]);
        check(0.79, 0.5, &route, &[Measure::Confidence]);
        check(0.9, 0.49, &route, &[Measure::InScope]);
        let strict = Route { min_score: Some(0.2), min_similarity: Some(0.2), ..route };
        check(0.9, 0.9, &strict, &[Measure::Similarity, Measure::Score]);
    }
}
