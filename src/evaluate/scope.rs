//! How well prompts that belong nowhere are told from those that belong to a route.

use std::collections::BTreeSet;

use serde::Serialize;

use super::outcome::{Outcome, Signal};
use super::proportion::Proportion;
use super::ranking::{Tie, ties, totals};

/// Least share of the rows in scope that must be let through where the false positives are counted, in per cent.
const TPR_PERCENT: u64 = 95;

/// What became of rows that are out of scope.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutOfScope {
    /// Out-of-scope rows that were given no route, of all out-of-scope rows.
    pub recall: Proportion,
    /// Out-of-scope rows that were given no route, of all rows that were given none.
    pub precision: Proportion,
    /// For each signal, how well a threshold on it would tell; empty if no row is in scope.
    pub separation: Vec<Separation>,
    /// The same for each kind of out-of-scope row, by name; empty unless the data tells kinds.
    pub kinds: Vec<Kind>,
}

/// The out-of-scope rows of one kind against all rows in scope.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kind {
    pub kind: String,
    /// Rows of this kind that were given no route, of those of this kind.
    pub recall: Proportion,
    pub separation: Vec<Separation>,
}

/// How well one signal separates rows in scope (which should be high) from those out of scope.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Separation {
    pub signal: Signal,
    /// Chance that a row in scope is higher than one out of scope, ties counting half: the area under the ROC curve
    /// as the Mann-Whitney statistic (Hanley and McNeil (1982), Radiology 143). 0.5 is chance, 1 is perfect.
    pub auroc: f64,
    /// Share of out-of-scope rows let through by the highest threshold that lets at least 95 % of the rows in scope
    /// through ("FPR at 95 % TPR", as in Liang et al. (2018), arXiv:1706.02690). 0 is perfect.
    pub fpr_at_95_tpr: f64,
    /// That threshold.
    pub threshold: f32,
}

impl OutOfScope {
    /// `None` if every row is in scope.
    pub(super) fn of(outcomes: &[Outcome]) -> Option<Self> {
        let out = || outcomes.iter().filter(|outcome| !outcome.in_scope());
        let refused = outcomes.iter().filter(|outcome| outcome.predicted.is_none());
        out().next()?;
        Some(Self {
            recall: Proportion::count(out().map(Outcome::is_right)),
            precision: Proportion::count(refused.map(Outcome::is_right)),
            separation: separations(|| outcomes.iter()),
            kinds: kinds(outcomes),
        })
    }
}

fn kinds(outcomes: &[Outcome]) -> Vec<Kind> {
    let out = outcomes.iter().filter(|outcome| !outcome.in_scope());
    let names: BTreeSet<&str> = out.filter_map(|outcome| outcome.kind.as_deref()).collect();
    let kind = |name: &str| {
        let of_kind = |outcome: &&Outcome| !outcome.in_scope() && outcome.kind.as_deref() == Some(name);
        Kind {
            kind: name.to_owned(),
            recall: Proportion::count(outcomes.iter().filter(of_kind).map(Outcome::is_right)),
            separation: separations(|| outcomes.iter().filter(|outcome| outcome.in_scope() || of_kind(outcome))),
        }
    };
    names.into_iter().map(kind).collect()
}

fn separations<'a, I: Iterator<Item = &'a Outcome>>(rows: impl Fn() -> I) -> Vec<Separation> {
    Signal::ALL.into_iter().filter_map(|signal| Separation::of(rows(), signal)).collect()
}

impl Separation {
    /// `None` unless there are rows in scope and out of scope.
    fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>, signal: Signal) -> Option<Self> {
        let ties = ties(outcomes.map(|outcome| (signal.of(outcome), outcome.in_scope())));
        let (fpr_at_95_tpr, threshold) = fpr_at_tpr(&ties)?;
        Some(Self { signal, auroc: auroc(&ties)?, fpr_at_95_tpr, threshold })
    }
}

/// Hits should rank before misses.
fn auroc(ties: &[Tie]) -> Option<f64> {
    let (hits, misses) = totals(ties);
    let pairs = (hits > 0 && misses > 0).then_some(hits as f64 * misses as f64)?;
    // Twice the statistic, so that it stays a whole number.
    let (mut twice, mut hits_above) = (0u64, 0u64);
    for tie in ties {
        twice += tie.misses * (2 * hits_above + tie.hits);
        hits_above += tie.hits;
    }
    Some(twice as f64 / 2.0 / pairs)
}

/// The false positive rate with its threshold.
fn fpr_at_tpr(ties: &[Tie]) -> Option<(f64, f32)> {
    let (hits, misses) = totals(ties);
    if hits == 0 || misses == 0 {
        return None;
    }
    let (mut hits_above, mut misses_above) = (0, 0);
    for tie in ties {
        hits_above += tie.hits;
        misses_above += tie.misses;
        if hits_above * 100 >= TPR_PERCENT * hits {
            return Some((misses_above as f64 / misses as f64, tie.score));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    /// Scores of rows in scope and out of scope; expected area, rate and threshold.
    fn check(inside: &[f32], outside: &[f32], expected: Option<(f64, f64, f32)>) {
        let inside = inside.iter().map(|score| outcome("a", "a", *score));
        let rows: Vec<_> = inside.chain(outside.iter().map(|score| outcome("", "a", *score))).collect();
        let found = Separation::of(rows.iter(), Signal::Confidence);
        assert_eq!(found.map(|by| (by.auroc, by.fpr_at_95_tpr, by.threshold)), expected);
    }

    #[test]
    fn separation_is_that_of_the_textbook() {
        check(&[0.9, 0.8], &[0.2, 0.1, 0.0], Some((1.0, 0.0, 0.8)));
        check(&[0.1], &[0.9], Some((0.0, 1.0, 0.1)));
        check(&[0.5, 0.5], &[0.5], Some((0.5, 1.0, 0.5)));
        check(&[0.9, 0.4], &[0.6, 0.4, 0.1, 0.0], Some((6.5 / 8.0, 0.5, 0.4)));
        check(&[0.5], &[f32::NAN], Some((1.0, 0.0, 0.5)));
        for (inside, outside) in [(&[][..], &[0.5][..]), (&[0.5], &[]), (&[], &[])] {
            check(inside, outside, None);
        }
    }

    #[test]
    fn one_row_in_twenty_may_be_lost() {
        let mut inside = [0.9; 20];
        inside[0] = 0.1;
        check(&inside, &[0.5], Some((19.0 / 20.0, 0.0, 0.9)));
        inside[1] = 0.1;
        check(&inside, &[0.5], Some((18.0 / 20.0, 1.0, 0.1)));
    }

    #[test]
    fn refusals_are_counted() {
        assert_eq!(OutOfScope::of(&[outcome("a", "", 0.5)]), None);
        let rows = [outcome("", "", 0.1), outcome("", "a", 0.2), outcome("a", "", 0.3), outcome("a", "a", 0.4)];
        let found = OutOfScope::of(&rows).unwrap();
        assert_eq!((found.recall, found.precision), (Proportion::of(1, 2), Proportion::of(1, 2)));
        assert_eq!((found.separation.len(), found.kinds.len()), (4, 0));
        let only_outside = OutOfScope::of(&rows[..2]).unwrap();
        assert_eq!(only_outside.separation, []);
    }

    #[test]
    fn kinds_are_told_apart() {
        let of_kind = |kind: &str, confidence| Outcome { kind: Some(kind.to_owned()), ..outcome("", "a", confidence) };
        let rows = [outcome("a", "a", 0.5), of_kind("near", 0.75), of_kind("far", 0.25)];
        let scope = OutOfScope::of(&rows).unwrap();
        let brief: Vec<_> = scope.kinds.iter().map(|kind| (kind.kind.as_str(), kind.separation[1].auroc)).collect();
        assert_eq!(brief, [("far", 1.0), ("near", 0.0)]);
        assert_eq!(scope.separation[1].auroc, 0.5);
    }

    fn area(rows: &[Outcome]) -> Option<f64> {
        Separation::of(rows.iter(), Signal::Confidence).map(|by| by.auroc)
    }

    proptest! {
        #[test]
        fn the_area_is_the_share_of_pairs_in_order(rows in outcomes()) {
            let score = |row: &Outcome| if row.confidence.is_nan() { f32::NEG_INFINITY } else { row.confidence };
            let of = |inside: bool| rows.iter().filter(move |row| row.in_scope() == inside).map(score);
            let pairs = || of(true).flat_map(|inside| of(false).map(move |outside| (inside, outside)));
            let points: f64 = pairs().map(|(i, o)| if i > o { 1.0 } else if i == o { 0.5 } else { 0.0 }).sum();
            let expected = (pairs().count() > 0).then(|| points / pairs().count() as f64);
            match (area(&rows), expected) {
                (Some(found), Some(expected)) => prop_assert!((found - expected).abs() < 1e-12),
                (found, expected) => prop_assert_eq!(found, expected),
            }
        }

        #[test]
        fn rates_are_bounded_and_only_the_order_of_scores_matters(rows in outcomes()) {
            let stretched: Vec<_> = rows.iter().map(|row| Outcome { confidence: row.confidence * 4.0 - 1.0, ..row.clone() }).collect();
            prop_assert_eq!(area(&rows), area(&stretched));
            for by in OutOfScope::of(&rows).into_iter().flat_map(|scope| scope.separation) {
                prop_assert!((0.0..=1.0).contains(&by.auroc) && (0.0..=1.0).contains(&by.fpr_at_95_tpr));
            }
        }
    }
}
