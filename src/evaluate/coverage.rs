//! How many prompts can be decided without help at a given accuracy, told twice.
//!
//! [`Coverage`] is the oracle's number: the largest share of the rows, surest first, that is right to at least this
//! accuracy. Threshold and share come from the same rows, so that nobody can have it. [`Own`] is what there is: the
//! threshold was fixed on the references, without a look at the test, and the test says what became of it.
//! On selective classification see El-Yaniv and Wiener (2010), JMLR 11.

use serde::Serialize;

use super::outcome::Outcome;
use super::proportion::Proportion;
use super::ranking::{ties, totals};

/// The accuracies of interest in per cent.
pub const TARGETS: [u8; 3] = [95, 97, 99];

/// What can be decided at one accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coverage {
    /// The accuracy that the covered rows must reach, in per cent.
    pub accuracy_percent: u8,
    /// Covered rows.
    pub rows: u64,
    /// Covered rows of all rows, in [0, 1].
    pub share: f64,
    /// Rows with this confidence and higher are covered; `None` if no row is.
    pub threshold: Option<f32>,
}

impl Coverage {
    /// For 95, 97 and 99 %, by the outcomes' confidence. Empty if there are no outcomes.
    pub(super) fn of(outcomes: &[Outcome]) -> Vec<Self> {
        let ties = ties(outcomes.iter().map(|outcome| (outcome.confidence, outcome.winner_is_right())));
        let (right, wrong) = totals(&ties);
        let all = right + wrong;
        if all == 0 {
            return Vec::new();
        }
        let at = |accuracy_percent: u8| {
            let (mut right, mut rows) = (0, 0);
            let mut best = Self { accuracy_percent, rows: 0, share: 0.0, threshold: None };
            for tie in &ties {
                right += tie.hits;
                rows += tie.hits + tie.misses;
                if right * 100 >= u64::from(accuracy_percent) * rows {
                    best = Self { rows, share: rows as f64 / all as f64, threshold: Some(tie.score), ..best };
                }
            }
            best
        };
        TARGETS.into_iter().map(at).collect()
    }
}

/// A threshold for one accuracy, fixed without a look at the test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Threshold {
    pub accuracy_percent: u8,
    /// Least confidence to decide alone; `None`: none was found that promises so much.
    pub confidence: Option<f32>,
}

impl Threshold {
    /// The lowest confidence from which the winners of `rows` (confidence, right) are right to `accuracy_percent` with
    /// the lower end of their confidence interval. `rows` come from folds of the references.
    pub fn fitted(accuracy_percent: u8, rows: impl IntoIterator<Item = (f32, bool)>) -> Self {
        let least = f64::from(accuracy_percent) / 100.0;
        let (mut right, mut all) = (0, 0);
        let mut confidence = None;
        for tie in ties(rows) {
            right += tie.hits;
            all += tie.hits + tie.misses;
            if Proportion::of(right, all).low >= least {
                confidence = Some(tie.score);
            }
        }
        Self { accuracy_percent, confidence }
    }
}

/// What became of a threshold on the test. Decided alone is also asked to be in scope, as the policy has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Own {
    #[serde(flatten)]
    pub threshold: Threshold,
    /// Rows at or above it and in scope, of all rows.
    pub share: Proportion,
    /// Right rows of those.
    pub accuracy: Proportion,
}

impl Own {
    /// `min_in_scope`: least score of a row that is decided alone; `None`: scope is not asked.
    pub(super) fn of(outcomes: &[Outcome], threshold: Threshold, min_in_scope: Option<f32>) -> Self {
        let sure = |outcome: &&Outcome| {
            threshold.confidence.is_some_and(|least| outcome.confidence >= least)
                && min_in_scope.is_none_or(|least| outcome.in_scope_score >= least)
        };
        Self {
            threshold,
            share: Proportion::count(outcomes.iter().map(|outcome| sure(&outcome))),
            accuracy: Proportion::count(outcomes.iter().filter(sure).map(Outcome::winner_is_right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    fn check(rows: &[Outcome], expected: [(u64, Option<f32>); 3]) {
        let found: Vec<_> = Coverage::of(rows).into_iter().map(|at| (at.rows, at.threshold)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_surest_rows_are_covered() {
        // 96 right, then 4 wrong, each less sure than the one before.
        let mut rows: Vec<_> = (0..100u8)
            .map(|row| outcome("a", if row < 96 { "a" } else { "b" }, 1.0 - f32::from(row) / 100.0))
            .collect();
        check(&rows, [(100, Some(1.0 - 0.99)), (98, Some(1.0 - 0.97)), (96, Some(1.0 - 0.95))]);
        // A wrong row among the surest is made up for later.
        rows.insert(0, outcome("a", "b", 2.0));
        check(&rows, [(101, Some(1.0 - 0.99)), (98, Some(1.0 - 0.96)), (0, None)]);
    }

    #[test]
    fn ties_are_covered_whole_or_not_at_all() {
        check(&[outcome("a", "a", 0.5), outcome("a", "b", 0.5)], [(0, None); 3]);
        check(&[outcome("a", "a", 0.5), outcome("", "", 0.5)], [(2, Some(0.5)); 3]);
        assert_eq!(Coverage::of(&[]), []);
    }

    #[test]
    fn own_thresholds_are_fixed_beforehand() {
        // 200 surest rows all right: with the interval's lower end that is 98.1 %, not 99.
        let fold: Vec<(f32, bool)> =
            (0..200).map(|_| (0.9, true)).chain((0..50).map(|row| (0.5, row % 2 == 0))).collect();
        let fitted = |percent| Threshold::fitted(percent, fold.iter().copied());
        assert_eq!(fitted(97), Threshold { accuracy_percent: 97, confidence: Some(0.9) });
        assert_eq!(fitted(99).confidence, None);
        assert_eq!(fitted(80).confidence, Some(0.5));
        let rows = [outcome("a", "a", 0.95), outcome("a", "b", 0.9), outcome("a", "a", 0.8)];
        let own = Own::of(&rows, fitted(97), None);
        assert_eq!((own.share, own.accuracy), (Proportion::of(2, 3), Proportion::of(1, 2)));
        let none = Own::of(&rows, fitted(99), None);
        assert_eq!((none.share.hits, none.accuracy.share), (0, None));
        let strange = Own::of(&rows, fitted(97), Some(f32::INFINITY));
        assert_eq!(strange.share, Proportion::of(0, 3), "sure, but out of scope");
    }

    proptest! {
        #[test]
        fn coverage_is_a_share_and_shrinks_with_the_accuracy(rows in outcomes()) {
            let found = Coverage::of(&rows);
            prop_assert!(found.iter().all(|at| (0.0..=1.0).contains(&at.share)));
            prop_assert!(found.is_sorted_by(|a, b| a.rows >= b.rows));
            for at in &found {
                let covered = |row: &&Outcome| at.threshold.is_some_and(|least| row.confidence >= least || (row.confidence.is_nan() && least == f32::NEG_INFINITY));
                let chosen: Vec<_> = rows.iter().filter(covered).collect();
                prop_assert_eq!(chosen.len() as u64, at.rows);
                let right = chosen.iter().filter(|row| row.winner_is_right()).count();
                prop_assert!(right * 100 >= usize::from(at.accuracy_percent) * chosen.len());
            }
        }

        #[test]
        fn only_the_order_of_scores_matters(rows in outcomes()) {
            let stretched: Vec<_> = rows.iter().map(|row| Outcome { confidence: row.confidence * 4.0 - 1.0, ..row.clone() }).collect();
            let shares = |rows: &[Outcome]| Coverage::of(rows).iter().map(|at| at.rows).collect::<Vec<_>>();
            prop_assert_eq!(shares(&rows), shares(&stretched));
        }
    }
}
