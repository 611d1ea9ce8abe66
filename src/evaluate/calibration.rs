//! Whether confidences mean what they say: of the prompts that were given 0.8, four in five should be right.
//!
//! Only rows in scope count, as in the papers; what becomes of the others is told by their separation. Compared is the
//! likeliest answer, also where the set's policy did not trust it.

use serde::Serialize;

use super::outcome::Outcome;
use super::proportion::Proportion;
use super::ranking::ties;

/// Bins of the reliability table, as in Guo et al. (2017), "On calibration of modern neural networks",
/// arXiv:1706.04599.
const BINS: usize = 15;

/// How far confidences are from the truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    pub rows: u64,
    /// Expected calibration error over 15 bins of equal width (Guo et al. 2017): the mean distance between confidence
    /// and accuracy, each bin weighing as many rows as it has. In [0, 1], 0 is perfect.
    pub ece: f64,
    /// The same over at most 15 bins of equally many rows (Nguyen and O'Connor (2015), arXiv:1508.05154), which does
    /// not look away where most rows are. Rows of one confidence stay in one bin.
    pub ece_equal_mass: f64,
    /// Mean of (confidence - right)², in [0, 1]: Brier (1950), Monthly Weather Review 78, for the event "the winner is
    /// right".
    pub brier: f64,
    /// The same over all routes of the ranking: the sum of (probability - expected)², in [0, 2].
    pub brier_of_routes: f64,
    /// Mean confidence less accuracy, in [-1, 1]: above 0 it boasts.
    pub bias: f64,
    /// Of equal width, lowest first, without those that hold no row.
    pub bins: Vec<Bin>,
}

/// Rows whose confidence lies between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    pub from: f64,
    pub to: f64,
    /// Mean of the rows' confidences.
    pub confidence: f64,
    /// Right rows of the bin's.
    pub accuracy: Proportion,
}

impl Calibration {
    /// `None` if no row is in scope. A confidence that is no number counts as 0, one beyond [0, 1] as the nearer end.
    pub(super) fn of(outcomes: &[Outcome]) -> Option<Self> {
        let rows: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.in_scope()).collect();
        let all = rows.len() as f64;
        let pairs = || rows.iter().map(|row| (clean(row.confidence), row.winner_is_right()));
        let mean = |sum: f64| (all > 0.0).then(|| sum / all);
        let bins = equal_width(pairs());
        Some(Self {
            rows: rows.len() as u64,
            ece: mean(bins.iter().map(Bin::distance).sum())?,
            ece_equal_mass: mean(equal_mass(pairs()).iter().map(Bin::distance).sum())?,
            brier: mean(pairs().map(|(confidence, right)| (confidence - f64::from(u8::from(right))).powi(2)).sum())?,
            brier_of_routes: mean(rows.iter().map(|row| brier_of_routes(row)).sum())?,
            bias: mean(pairs().map(|(confidence, right)| confidence - f64::from(u8::from(right))).sum())?,
            bins,
        })
    }
}

impl Bin {
    /// Distance between confidence and accuracy, times the rows.
    fn distance(&self) -> f64 {
        (self.confidence * self.accuracy.rows as f64 - self.accuracy.hits as f64).abs()
    }
}

fn clean(confidence: f32) -> f64 {
    if confidence.is_nan() { 0.0 } else { f64::from(confidence).clamp(0.0, 1.0) }
}

/// What a bin has gathered.
#[derive(Default, Clone, Copy)]
struct Sum {
    confidence: f64,
    right: u64,
    rows: u64,
}

impl Sum {
    fn bin(self, from: f64, to: f64) -> Option<Bin> {
        let confidence = self.confidence / self.rows as f64;
        (self.rows > 0).then(|| Bin { from, to, confidence, accuracy: Proportion::of(self.right, self.rows) })
    }
}

fn equal_width(rows: impl Iterator<Item = (f64, bool)>) -> Vec<Bin> {
    let mut sums = [Sum::default(); BINS];
    for (confidence, right) in rows {
        let at = ((confidence * BINS as f64) as usize).min(BINS - 1);
        if let Some(sum) = sums.get_mut(at) {
            sum.confidence += confidence;
            sum.right += u64::from(right);
            sum.rows += 1;
        }
    }
    let bound = |at: usize| at as f64 / BINS as f64;
    sums.into_iter().enumerate().filter_map(|(at, sum)| sum.bin(bound(at), bound(at + 1))).collect()
}

/// A bin is closed with the tie that fills it.
fn equal_mass(rows: impl Iterator<Item = (f64, bool)>) -> Vec<Bin> {
    let ties = ties(rows.map(|(confidence, right)| (confidence as f32, right)));
    let all: u64 = ties.iter().map(|tie| tie.hits + tie.misses).sum();
    let (mut bins, mut sum, mut seen) = (Vec::new(), Sum::default(), 0);
    for tie in &ties {
        let rows = tie.hits + tie.misses;
        sum.confidence += f64::from(tie.score) * rows as f64;
        sum.right += tie.hits;
        sum.rows += rows;
        seen += rows;
        if seen * BINS as u64 >= all * (bins.len() as u64 + 1) {
            bins.extend(std::mem::take(&mut sum).bin(0.0, 1.0));
        }
    }
    bins
}

fn brier_of_routes(row: &Outcome) -> f64 {
    let expected = row.rank().and_then(|at| row.ranking.get(at)).map_or(0.0, |ranked| clean(ranked.probability));
    let squares: f64 = row.ranking.iter().map(|ranked| clean(ranked.probability).powi(2)).sum();
    squares - 2.0 * expected + 1.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    #[test]
    fn errors_are_those_of_the_formulae() {
        // Ten rows at 0.75, eight of them right; two at 0.25, both wrong.
        let mut rows: Vec<_> = (0..10).map(|row| outcome("a", if row < 8 { "a" } else { "b" }, 0.75)).collect();
        rows.extend([outcome("a", "b", 0.25), outcome("a", "b", 0.25), outcome("", "b", 1.0)]);
        let found = Calibration::of(&rows).unwrap();
        assert_eq!((found.rows, found.bins.len()), (12, 2));
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        close(found.ece, (10.0 * 0.05 + 2.0 * 0.25) / 12.0);
        close(found.ece_equal_mass, found.ece);
        close(found.brier, (8.0 * 0.0625 + 2.0 * 0.5625 + 2.0 * 0.0625) / 12.0);
        close(found.brier_of_routes, (8.0 * 0.0625 + 2.0 * 1.5625 + 2.0 * 1.0625) / 12.0);
        close(found.bias, (10.0 * 0.75 + 2.0 * 0.25 - 8.0) / 12.0);
        assert_eq!(found.bins[1].accuracy, Proportion::of(8, 10));
        assert_eq!(Calibration::of(&[outcome("", "a", 1.0)]), None);
    }

    #[test]
    fn certain_and_right_is_perfect() {
        let found = Calibration::of(&[outcome("a", "a", 1.0), outcome("b", "b", 1.0)]).unwrap();
        assert_eq!((found.ece, found.ece_equal_mass, found.brier, found.brier_of_routes), (0.0, 0.0, 0.0, 0.0));
    }

    proptest! {
        #[test]
        fn errors_are_bounded_and_bins_complete(rows in outcomes()) {
            if let Some(found) = Calibration::of(&rows) {
                for error in [found.ece, found.ece_equal_mass, found.brier, found.brier_of_routes / 2.0] {
                    prop_assert!((-1e-12..=1.0 + 1e-12).contains(&error), "{found:?}");
                }
                prop_assert!(found.bias.abs() <= found.ece + 1e-9, "what is off on average is off in the bins");
                prop_assert!(found.bias.abs() <= found.ece_equal_mass + 1e-6);
                prop_assert_eq!(found.bins.iter().map(|bin| bin.accuracy.rows).sum::<u64>(), found.rows);
                for bin in &found.bins {
                    prop_assert!(bin.from - 1e-6 <= bin.confidence && bin.confidence <= bin.to + 1e-6);
                }
            }
        }
    }
}
