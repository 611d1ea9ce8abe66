//! The risk-coverage curve: how often decisions are wrong (risk) if only the surest share of the prompts (coverage) is
//! decided. See Geifman and El-Yaniv (2017), "Selective classification for deep neural networks", arXiv:1705.08500.

use serde::Serialize;

use super::outcome::Outcome;
use super::proportion::Proportion;
use super::ranking::{Tie, ties, totals};

/// Most points that are reported: more cannot be told apart in a plot.
const MAX_POINTS: usize = 200;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RiskCurve {
    /// Area under the curve: the mean risk over all coverages, in [0, 1]. 0 is perfect.
    pub aurc: f64,
    /// What of this area the best order of the same rows would not have (Geifman et al. (2019), arXiv:1805.08206).
    pub excess_aurc: f64,
    /// From the least coverage to the whole; thinned out, the last one always there.
    pub points: Vec<RiskPoint>,
}

/// All rows from one confidence on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RiskPoint {
    /// Share of the rows, in (0, 1].
    pub coverage: f64,
    /// Wrong rows of those, in [0, 1].
    pub risk: f64,
    /// Upper end of the risk's 95 % confidence interval (Wilson).
    pub risk_high: f64,
    /// Least confidence of those rows.
    pub threshold: f32,
}

impl RiskCurve {
    /// By the outcomes' confidence in their winner; rows out of scope count, and no route is right for them. `None` if
    /// there are no outcomes.
    pub(super) fn of(outcomes: &[Outcome]) -> Option<Self> {
        let ties = ties(outcomes.iter().map(|outcome| (outcome.confidence, outcome.winner_is_right())));
        let (right, wrong) = totals(&ties);
        if right + wrong == 0 {
            return None;
        }
        let aurc = area(&ties);
        let best = [Tie { score: 1.0, hits: right, misses: 0 }, Tie { score: 0.0, hits: 0, misses: wrong }];
        Some(Self { aurc, excess_aurc: (aurc - area(&best)).max(0.0), points: thinned(points(&ties, right + wrong)) })
    }
}

/// Mean over all numbers of rows of the risk of so many surest; within a tie, of their average order.
fn area(ties: &[Tie]) -> f64 {
    let (mut rows, mut wrong, mut sum) = (0u64, 0u64, 0.0);
    for tie in ties {
        let size = tie.hits + tie.misses;
        let share = tie.misses as f64 / size.max(1) as f64;
        sum += (1..=size).map(|taken| (wrong as f64 + taken as f64 * share) / (rows + taken) as f64).sum::<f64>();
        rows += size;
        wrong += tie.misses;
    }
    sum / rows.max(1) as f64
}

fn points(ties: &[Tie], all: u64) -> Vec<RiskPoint> {
    let (mut rows, mut wrong) = (0, 0);
    let point = |tie: &Tie| {
        rows += tie.hits + tie.misses;
        wrong += tie.misses;
        let risk = Proportion::of(wrong, rows);
        let coverage = rows as f64 / all as f64;
        RiskPoint { coverage, risk: risk.share.unwrap_or_default(), risk_high: risk.high, threshold: tie.score }
    };
    ties.iter().map(point).collect()
}

/// Evenly along the coverage.
fn thinned(points: Vec<RiskPoint>) -> Vec<RiskPoint> {
    if points.len() <= MAX_POINTS {
        return points;
    }
    let last = points.len() - 1;
    let mut next = 0.0;
    let mut kept = Vec::with_capacity(MAX_POINTS + 1);
    for (at, point) in points.into_iter().enumerate() {
        if point.coverage >= next || at == last {
            next = point.coverage + 1.0 / MAX_POINTS as f64;
            kept.push(point);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    #[test]
    fn the_curve_steps_from_tie_to_tie() {
        let rows = [outcome("a", "a", 0.9), outcome("a", "b", 0.5), outcome("a", "a", 0.5), outcome("a", "b", 0.1)];
        let curve = RiskCurve::of(&rows).unwrap();
        let brief: Vec<_> = curve.points.iter().map(|point| (point.coverage, point.risk, point.threshold)).collect();
        assert_eq!(brief, [(0.25, 0.0, 0.9), (0.75, 1.0 / 3.0, 0.5), (1.0, 0.5, 0.1)]);
        // Within the tie the second row is half wrong.
        let expected = (0.0 + 0.5 / 2.0 + 1.0 / 3.0 + 0.5) / 4.0;
        let best = (0.0 + 0.0 + 1.0 / 3.0 + 0.5) / 4.0;
        assert!((curve.aurc - expected).abs() < 1e-12 && (curve.excess_aurc - (expected - best)).abs() < 1e-12);
        assert_eq!(RiskCurve::of(&[]), None);
    }

    #[test]
    fn many_points_are_thinned_out() {
        let rows: Vec<_> = (0..5000u16).map(|row| outcome("a", "a", 1.0 - f32::from(row) / 5000.0)).collect();
        let curve = RiskCurve::of(&rows).unwrap();
        assert!(curve.points.len() <= MAX_POINTS + 1, "{}", curve.points.len());
        assert_eq!(curve.points.last().unwrap().coverage, 1.0);
    }

    proptest! {
        #[test]
        fn coverage_grows_to_the_whole(rows in outcomes()) {
            if let Some(curve) = RiskCurve::of(&rows) {
                prop_assert!(curve.points.is_sorted_by(|a, b| a.coverage < b.coverage && a.threshold > b.threshold));
                let last = curve.points.last().unwrap();
                let wrong = rows.iter().filter(|row| !row.winner_is_right()).count() as f64;
                prop_assert_eq!(last.coverage, 1.0);
                prop_assert!((last.risk - wrong / rows.len() as f64).abs() < 1e-12);
                prop_assert!((0.0..=1.0).contains(&curve.aurc) && curve.excess_aurc <= curve.aurc + 1e-12);
                prop_assert!(curve.points.iter().all(|point| point.risk <= point.risk_high));
            }
        }
    }
}
