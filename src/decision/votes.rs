//! The neighbours' vote.

/// Neighbours that vote.
pub const VOTERS: usize = 20;

/// A neighbour of cosine similarity s votes with weight exp(SHARPNESS (s - 1)): one that is 0.035 nearer counts twice.
pub const SHARPNESS: f32 = 20.0;

/// Added to every share before its logarithm, so that a route without voters is unlikely, not impossible.
const FLOOR: f32 = 1e-4;

/// Nearest neighbours whose mean similarity says how familiar a prompt is.
const FAMILIAR: usize = 5;

/// What the neighbours say. Neighbours are (route, cosine similarity), nearest first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Familiarity {
    /// Similarity of the nearest; -1 where there is none.
    pub(crate) nearest: f32,
    /// Mean similarity of the five nearest.
    pub(crate) mean: f32,
}

/// Writes each route's share of the votes (sums to 1, or all 0 without neighbours).
pub(crate) fn shares(neighbours: &[(u32, f32)], shares: &mut [f32]) {
    shares.fill(0.0);
    let voters = &neighbours[..neighbours.len().min(VOTERS)];
    let nearest = voters.iter().map(|(_, similarity)| *similarity).fold(-1.0f32, f32::max);
    let mut total = 0.0;
    for (route, similarity) in voters {
        if let Some(share) = shares.get_mut(*route as usize) {
            let weight = (SHARPNESS * (similarity - nearest)).exp();
            *share += weight;
            total += weight;
        }
    }
    if total > 0.0 {
        shares.iter_mut().for_each(|share| *share /= total);
    }
}

/// Shares to log-probabilities, with a floor.
pub(crate) fn log_shares(shares: &mut [f32]) {
    let floor = FLOOR.ln();
    shares.iter_mut().for_each(|share| *share = if *share > 0.0 { (*share + FLOOR).ln() } else { floor });
}

pub(crate) fn familiarity(neighbours: &[(u32, f32)]) -> Familiarity {
    let first = &neighbours[..neighbours.len().min(FAMILIAR)];
    let nearest = first.iter().map(|(_, similarity)| *similarity).fold(-1.0f32, f32::max);
    let sum: f32 = first.iter().map(|(_, similarity)| similarity).sum();
    let mean = if first.is_empty() { -1.0 } else { sum / first.len() as f32 };
    Familiarity { nearest, mean }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weights_follow_the_formula() {
        let mut found = [0.0; 4];
        shares(&[(3, 0.9), (1, 0.8), (3, 0.7)], &mut found);
        let weight = |similarity: f32| (20.0 * (similarity - 1.0)).exp();
        let total = weight(0.9) + weight(0.8) + weight(0.7);
        assert!((found[3] - (weight(0.9) + weight(0.7)) / total).abs() < 1e-5);
        assert_eq!(found[0], 0.0);
    }

    #[test]
    fn nobody_votes() {
        let mut found = [0.5; 3];
        shares(&[], &mut found);
        assert_eq!(found, [0.0; 3]);
        assert_eq!(familiarity(&[]), Familiarity { nearest: -1.0, mean: -1.0 });
    }

    proptest! {
        #[test]
        fn shares_are_shares(neighbours in prop::collection::vec((0u32..5, -1.0f32..=1.0), 1..40)) {
            let mut found = [0.0; 5];
            shares(&neighbours, &mut found);
            prop_assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        }
    }
}
