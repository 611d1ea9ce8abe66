//! The neighbours' vote. Pure.

use semroute_decision::SHARPNESS;
/// The decision model's own, so that what is shown is what it went by.
pub use semroute_decision::VOTERS;

use crate::reference::{Neighbour, RouteIndex};

/// What a route got.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouteScore {
    pub route: RouteIndex,
    /// Share of all weights, in [0, 1].
    pub score: f32,
    /// Cosine similarity of the route's nearest voter; -1 if it has none.
    pub similarity: f32,
    /// Posterior of the decision model, in [0, 1]; `None` without one, or if the route is none of the likeliest.
    pub probability: Option<f32>,
}

/// Counts the votes of the first [`VOTERS`] neighbours (nearest first). Likeliest route first; ties go to the route
/// with the nearer neighbour, then to the first by name. Shares add up to 1, unless there are no neighbours.
pub fn vote(neighbours: &[Neighbour]) -> Vec<RouteScore> {
    let voters = &neighbours[..neighbours.len().min(VOTERS)];
    // Weights relative to the nearest, so that far-away neighbours do not all round to zero.
    let nearest = voters.iter().map(|voter| voter.similarity).fold(-1.0f32, f32::max);
    let mut scores: Vec<RouteScore> = Vec::new();
    for voter in voters {
        let weight = (SHARPNESS * (voter.similarity - nearest)).exp();
        match scores.iter_mut().find(|score| score.route == voter.route) {
            Some(score) => {
                score.score += weight;
                score.similarity = score.similarity.max(voter.similarity);
            }
            None => scores.push(RouteScore {
                route: voter.route,
                score: weight,
                similarity: voter.similarity,
                probability: None,
            }),
        }
    }
    let total: f32 = scores.iter().map(|score| score.score).sum();
    scores.iter_mut().for_each(|score| score.score /= total.max(f32::MIN_POSITIVE));
    scores.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then(b.similarity.total_cmp(&a.similarity)).then(a.route.cmp(&b.route))
    });
    scores
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn neighbours(rows: &[(u32, f32)]) -> Vec<Neighbour> {
        let neighbour =
            |(row, &(route, similarity)): (usize, &(u32, f32))| Neighbour { reference: row as u32, route, similarity };
        rows.iter().enumerate().map(neighbour).collect()
    }

    #[test]
    fn weights_follow_the_formula() {
        let scores = vote(&neighbours(&[(3, 0.9), (1, 0.8), (3, 0.7)]));
        let weight = |similarity: f32| (20.0 * (similarity - 1.0)).exp();
        let total = weight(0.9) + weight(0.8) + weight(0.7);
        assert_eq!(scores.iter().map(|score| score.route).collect::<Vec<_>>(), [3, 1]);
        assert!((scores[0].score - (weight(0.9) + weight(0.7)) / total).abs() < 1e-5);
        assert_eq!(scores[0].similarity, 0.9);
    }

    #[test]
    fn nobody_voted() {
        assert!(vote(&[]).is_empty());
    }

    #[test]
    fn only_the_first_twenty_vote() {
        let mut rows = vec![(0, 0.5); VOTERS];
        rows.extend([(1, 0.5); 50]);
        assert_eq!(vote(&neighbours(&rows)).len(), 1);
    }

    proptest! {
        #[test]
        fn shares_are_shares(mut rows in prop::collection::vec((0u32..5, -1.0f32..=1.0), 1..40)) {
            rows.sort_by(|a, b| b.1.total_cmp(&a.1));
            let scores = vote(&neighbours(&rows));
            let total: f32 = scores.iter().map(|score| score.score).sum();
            prop_assert!((total - 1.0).abs() < 1e-4);
            prop_assert!(scores.iter().all(|score| (0.0..=1.0001).contains(&score.score)));
            prop_assert!(scores.windows(2).all(|pair| pair[0].score >= pair[1].score));
        }
    }
}
