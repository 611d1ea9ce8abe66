//! Whether the vote is sure enough to decide alone. Pure.

use serde::Serialize;

use super::knn::{RouteScore, margin};
use crate::reference::{Route, SetPolicy};

/// A bound of the policy that the vote missed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Doubt {
    pub measure: Measure,
    pub value: f32,
    pub bound: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Score,
    Margin,
    Similarity,
}

impl Measure {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Margin => "margin",
            Self::Similarity => "similarity",
        }
    }
}

/// Every bound that the vote's winner misses; none: the vote decides. `winner` is the route of the first score; its
/// own bounds go before the set's.
pub fn doubts(scores: &[RouteScore], winner: &Route, policy: &SetPolicy) -> Vec<Doubt> {
    let (score, similarity) = scores.first().map_or((0.0, -1.0), |first| (first.score, first.similarity));
    let checks = [
        (Measure::Similarity, similarity, winner.min_similarity.unwrap_or(policy.min_similarity)),
        (Measure::Score, score, winner.min_score.unwrap_or(policy.min_score)),
        (Measure::Margin, margin(scores), policy.min_margin),
    ];
    checks
        .into_iter()
        .filter(|(_, value, bound)| value < bound)
        .map(|(measure, value, bound)| Doubt { measure, value, bound })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::RouteName;

    #[test]
    fn each_bound_is_a_doubt_and_a_route_may_set_its_own() {
        let route = Route {
            name: RouteName::new("a").unwrap(),
            description: String::new(),
            min_score: None,
            min_similarity: None,
            targets: Vec::new(),
            revision: 1,
        };
        let policy = SetPolicy { min_score: 0.6, min_margin: 0.3, min_similarity: 0.4, ..SetPolicy::default() };
        let scores = |first: f32, similarity: f32| {
            vec![
                RouteScore { route: 0, score: first, similarity },
                RouteScore { route: 1, score: 1.0 - first, similarity: 0.1 },
            ]
        };
        let check = |scores: &[RouteScore], route: &Route, expected: &[Measure]| {
            let measures: Vec<Measure> = doubts(scores, route, &policy).iter().map(|doubt| doubt.measure).collect();
            assert_eq!(measures, expected);
        };
        check(&scores(0.9, 0.8), &route, &[]);
        check(&scores(0.62, 0.8), &route, &[Measure::Margin]);
        check(&scores(0.55, 0.2), &route, &[Measure::Similarity, Measure::Score, Measure::Margin]);
        check(&scores(0.9, 0.2), &Route { min_similarity: Some(0.1), ..route.clone() }, &[]);
        check(&scores(0.9, 0.8), &Route { min_score: Some(0.95), ..route.clone() }, &[Measure::Score]);
        check(&[], &route, &[Measure::Similarity, Measure::Score, Measure::Margin]);
    }
}
