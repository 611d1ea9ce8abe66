//! Precision, recall and F1 of each route, and their mean.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::outcome::Outcome;

/// How well one route is found. Rows that are out of scope count against its precision if they were given to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteScore {
    pub route: String,
    /// Rows that belong here.
    pub support: u64,
    /// Rows that were put here.
    pub predicted: u64,
    /// Rows that belong here and were put here.
    pub right: u64,
    /// `right / predicted`; `None` if nothing was put here.
    pub precision: Option<f64>,
    /// `right / support`; `None` if nothing belongs here.
    pub recall: Option<f64>,
    /// `2 right / (support + predicted)`, the harmonic mean of precision and recall.
    pub f1: f64,
    /// Whether the reference set has the route at all.
    pub known: bool,
}

/// A score for every route that was expected or predicted, worst F1 first.
pub(super) fn scores(outcomes: &[Outcome], known: &BTreeSet<String>) -> Vec<RouteScore> {
    #[derive(Default)]
    struct Counts {
        support: u64,
        predicted: u64,
        right: u64,
    }
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for outcome in outcomes {
        if let Some(route) = &outcome.expected {
            let count = counts.entry(route).or_default();
            count.support += 1;
            count.right += u64::from(outcome.is_right());
        }
        if let Some(route) = &outcome.predicted {
            counts.entry(route).or_default().predicted += 1;
        }
    }
    let score = |(route, Counts { support, predicted, right }): (&str, Counts)| RouteScore {
        route: route.to_owned(),
        support,
        predicted,
        right,
        precision: ratio(right, predicted),
        recall: ratio(right, support),
        f1: ratio(2 * right, support + predicted).unwrap_or_default(),
        known: known.contains(route),
    };
    let mut scores: Vec<_> = counts.into_iter().map(score).collect();
    // Stable: what is equal stays in the order of names.
    scores.sort_by(|a, b| a.f1.total_cmp(&b.f1).then(b.support.cmp(&a.support)));
    scores
}

/// The mean of the routes' F1, each route weighing the same; `None` if no row is in scope. Only routes to which rows
/// belong count: scikit-learn also counts, as 0, those that were predicted but never expected, which would punish a
/// test file that leaves routes out. Where every predicted route has rows, both agree. On means of F1 see Opitz and
/// Burst (2019), "Macro F1 and Macro F1", arXiv:1911.03347.
pub(super) fn macro_f1(scores: &[RouteScore]) -> Option<f64> {
    let expected = scores.iter().filter(|score| score.support > 0);
    let (count, sum) = expected.fold((0u32, 0.0), |(count, sum), score| (count + 1, sum + score.f1));
    (count > 0).then(|| sum / f64::from(count))
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    #[test]
    fn scores_are_those_of_the_textbook() {
        let pairs = [("a", "a"), ("a", "a"), ("a", "b"), ("b", "b"), ("b", ""), ("", "a"), ("gone", "a"), ("a", "odd")];
        let rows: Vec<_> = pairs.iter().map(|(expected, predicted)| outcome(expected, predicted, 1.0)).collect();
        let known = BTreeSet::from(["a".to_owned(), "b".to_owned(), "odd".to_owned()]);
        let found = scores(&rows, &known);
        let brief: Vec<_> = found
            .iter()
            .map(|score| (score.route.as_str(), score.precision, score.recall, score.f1, score.support, score.known))
            .collect();
        let expected = [
            ("gone", None, Some(0.0), 0.0, 1, false),
            ("odd", Some(0.0), None, 0.0, 0, true),
            ("a", Some(0.5), Some(0.5), 0.5, 4, true),
            ("b", Some(0.5), Some(0.5), 0.5, 2, true),
        ];
        assert_eq!(brief, expected);
        assert_eq!(macro_f1(&found), Some(1.0 / 3.0));
        assert_eq!(macro_f1(&scores(&[outcome("", "a", 1.0)], &known)), None);
    }

    proptest! {
        #[test]
        fn scores_are_bounded_and_complete(rows in outcomes()) {
            let found = scores(&rows, &BTreeSet::new());
            for score in &found {
                let bounded = |value: Option<f64>| value.is_none_or(|value| (0.0..=1.0).contains(&value));
                prop_assert!(bounded(score.precision) && bounded(score.recall) && bounded(Some(score.f1)));
                if let (Some(precision), Some(recall)) = (score.precision, score.recall) {
                    prop_assert!(precision.min(recall) - 1e-12 <= score.f1 && score.f1 <= precision.max(recall) + 1e-12);
                }
            }
            prop_assert!(found.is_sorted_by(|a, b| a.f1 <= b.f1));
            let support: u64 = found.iter().map(|score| score.support).sum();
            prop_assert_eq!(support, rows.iter().filter(|row| row.in_scope()).count() as u64);
        }

        #[test]
        fn the_order_of_rows_does_not_matter(rows in outcomes()) {
            let mut turned = rows.clone();
            turned.reverse();
            prop_assert_eq!(scores(&rows, &BTreeSet::new()), scores(&turned, &BTreeSet::new()));
        }
    }
}
