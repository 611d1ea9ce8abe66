//! How good probabilities and decisions are.

use serde::Serialize;

/// A held-out prompt: what was said, and whether it was right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Outcome {
    /// Route that came first.
    pub route: u32,
    /// Probability that it is right, in [0, 1].
    pub confidence: f32,
    /// Probability that any route applies, in [0, 1].
    pub in_scope: f32,
    /// How much it counts for thresholds, in (0, 1]: 1 / (1 + its paraphrases).
    pub weight: f32,
    pub right: bool,
}

/// Prompts of like confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Lower end of the bin; it is 1/bins wide.
    pub from: f64,
    pub prompts: usize,
    /// Means over the bin's prompts; 0 of none.
    pub confidence: f64,
    pub accuracy: f64,
}

/// Share of prompts whose first route is right; 0 of none.
pub fn accuracy(outcomes: &[Outcome]) -> f64 {
    mean(outcomes.iter().map(|outcome| f64::from(u8::from(outcome.right))))
}

/// Mean squared difference of confidence and outcome (Brier 1950): 0 is perfect, 0.25 is a coin's.
pub fn brier(outcomes: &[Outcome]) -> f64 {
    mean(outcomes.iter().map(|outcome| (f64::from(outcome.confidence) - f64::from(u8::from(outcome.right))).powi(2)))
}

/// Equally wide bins of confidence.
pub fn reliability(outcomes: &[Outcome], bins: usize) -> Vec<ReliabilityBin> {
    let bins = bins.max(1);
    let mut sums = vec![(0usize, 0.0f64, 0.0f64); bins];
    for outcome in outcomes {
        let bin = ((f64::from(outcome.confidence) * bins as f64) as usize).min(bins - 1);
        sums[bin].0 += 1;
        sums[bin].1 += f64::from(outcome.confidence);
        sums[bin].2 += f64::from(u8::from(outcome.right));
    }
    let per = |sum: f64, count: usize| if count == 0 { 0.0 } else { sum / count as f64 };
    sums.into_iter()
        .enumerate()
        .map(|(bin, (prompts, confidence, right))| ReliabilityBin {
            from: bin as f64 / bins as f64,
            prompts,
            confidence: per(confidence, prompts),
            accuracy: per(right, prompts),
        })
        .collect()
}

/// Expected calibration error over equally wide bins (Naeini et al. 2015): mean distance of confidence and accuracy.
pub fn expected_calibration_error(outcomes: &[Outcome], bins: usize) -> f64 {
    let table = reliability(outcomes, bins);
    let sum: f64 = table.iter().map(|bin| bin.prompts as f64 * (bin.confidence - bin.accuracy).abs()).sum();
    sum / outcomes.len().max(1) as f64
}

/// Probability that a positive scores higher than a negative, ties halved; 0.5 where either is missing.
pub fn area_under_roc(scores: &[(f32, bool)]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let positives = sorted.iter().filter(|(_, positive)| *positive).count() as f64;
    let negatives = sorted.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return 0.5;
    }
    let (mut below, mut wins) = (0.0, 0.0);
    for ties in sorted.chunk_by(|a, b| a.0 == b.0) {
        let tied_positives = ties.iter().filter(|(_, positive)| *positive).count() as f64;
        let tied_negatives = ties.len() as f64 - tied_positives;
        wins += tied_positives * (below + tied_negatives / 2.0);
        below += tied_negatives;
    }
    wins / (positives * negatives)
}

pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / count as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcomes(rows: &[(f32, bool)]) -> Vec<Outcome> {
        rows.iter()
            .map(|(confidence, right)| Outcome {
                route: 0,
                confidence: *confidence,
                in_scope: 1.0,
                weight: 1.0,
                right: *right,
            })
            .collect()
    }

    #[test]
    fn known_values() {
        let rows = outcomes(&[(0.95, true), (0.95, false), (0.15, false)]);
        assert!((accuracy(&rows) - 1.0 / 3.0).abs() < 1e-9);
        assert!((brier(&rows) - (0.0025 + 0.9025 + 0.0225) / 3.0).abs() < 1e-6);
        assert!((expected_calibration_error(&rows, 10) - (2.0 * 0.45 + 0.15) / 3.0).abs() < 1e-6);
        assert_eq!(area_under_roc(&[(0.9, true), (0.1, false), (0.5, true), (0.5, false)]), 0.875);
    }

    #[test]
    fn nothing_is_not_an_error() {
        assert_eq!((accuracy(&[]), brier(&[]), expected_calibration_error(&[], 15)), (0.0, 0.0, 0.0));
        assert_eq!(area_under_roc(&[(0.3, true)]), 0.5);
    }

    proptest! {
        #[test]
        fn errors_are_shares(rows in prop::collection::vec((0.0f32..=1.0, any::<bool>()), 1..100)) {
            let all = outcomes(&rows);
            prop_assert!((0.0..=1.0).contains(&expected_calibration_error(&all, 15)));
            prop_assert!((0.0..=1.0).contains(&brier(&all)));
            let area = area_under_roc(&rows);
            let swapped: Vec<(f32, bool)> = rows.iter().map(|(score, positive)| (*score, !positive)).collect();
            prop_assert!((area + area_under_roc(&swapped) - 1.0).abs() < 1e-9);
        }
    }
}
