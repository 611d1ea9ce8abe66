//! Everything that `semroute eval` has to say, as numbers. Its JSON is stable: fields are added, not renamed.

use std::collections::BTreeSet;

use serde::Serialize;

use super::calibration::Calibration;
use super::confusion::{self, Confusion};
use super::coverage::{Coverage, Own, Threshold};
use super::latency::{self, Latency, StageShare, StepLatency};
use super::matrix::Matrix;
use super::outcome::Outcome;
use super::proportion::Proportion;
use super::risk::RiskCurve;
use super::routes::{self, RouteScore};
use super::scope::OutOfScope;
use super::shortlist::{self, Shortlist};

/// What is known of the reference set before the test.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grounds {
    /// Names of its routes.
    pub routes: BTreeSet<String>,
    /// Fixed on the references alone.
    pub thresholds: Vec<Threshold>,
    /// Least score for scope of what the policy lets be decided alone; `None`: it does not ask.
    pub min_in_scope: Option<f32>,
}

/// All metrics of one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Right rows of all rows; choosing no route is right where none applies.
    pub accuracy: Proportion,
    /// Right rows of those in scope: the number that most papers publish.
    pub in_scope: Proportion,
    /// Rows in scope that were given no route.
    pub refused_in_scope: Proportion,
    /// Mean of the routes' F1; `None` if no row is in scope.
    pub macro_f1: Option<f64>,
    /// By the set's own policy.
    pub decided_alone: Alone,
    /// What becomes on this test of the thresholds that the references promise 95, 97 and 99 % for; empty if none were
    /// fitted.
    pub own_thresholds: Vec<Own>,
    /// At 95, 97 and 99 % accuracy, with hindsight; empty without rows.
    pub coverage: Vec<Coverage>,
    /// `None` without rows.
    pub risk: Option<RiskCurve>,
    /// `None` without rows in scope.
    pub calibration: Option<Calibration>,
    /// How often the right route is among the likeliest; empty without rows in scope.
    pub shortlists: Vec<Shortlist>,
    /// `None` without rows.
    pub latency: Option<Latency>,
    pub steps: Vec<StepLatency>,
    pub stages: Vec<StageShare>,
    /// Every route that was expected or predicted, worst first.
    pub routes: Vec<RouteScore>,
    /// The commonest, commonest first.
    pub confusions: Vec<Confusion>,
    /// `None` if every row is in scope.
    pub out_of_scope: Option<OutOfScope>,
    /// Expected routes that the reference set does not have: their rows cannot be right. By name.
    pub unknown_routes: Vec<UnknownRoute>,
    /// Every cell of the confusion matrix that is not empty, the routes most confused first.
    pub matrix: Matrix,
}

/// What the embedding stage decided by itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Alone {
    /// Rows decided alone, of all rows.
    pub share: Proportion,
    /// Right rows of those decided alone.
    pub accuracy: Proportion,
}

/// An expected route that the reference set does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownRoute {
    pub route: String,
    pub rows: u64,
}

impl Report {
    pub fn of(outcomes: &[Outcome], grounds: &Grounds) -> Self {
        let in_scope = || outcomes.iter().filter(|outcome| outcome.in_scope());
        let alone = outcomes.iter().filter(|outcome| outcome.decided_alone);
        let routes = routes::scores(outcomes, &grounds.routes);
        Self {
            accuracy: Proportion::count(outcomes.iter().map(Outcome::is_right)),
            in_scope: Proportion::count(in_scope().map(Outcome::is_right)),
            refused_in_scope: Proportion::count(in_scope().map(|outcome| outcome.predicted.is_none())),
            macro_f1: routes::macro_f1(&routes),
            decided_alone: Alone {
                share: Proportion::count(outcomes.iter().map(|outcome| outcome.decided_alone)),
                accuracy: Proportion::count(alone.map(Outcome::is_right)),
            },
            own_thresholds: grounds
                .thresholds
                .iter()
                .map(|threshold| Own::of(outcomes, *threshold, grounds.min_in_scope))
                .collect(),
            coverage: Coverage::of(outcomes),
            risk: RiskCurve::of(outcomes),
            calibration: Calibration::of(outcomes),
            shortlists: shortlist::of(outcomes),
            latency: Latency::of_decisions(outcomes),
            steps: latency::of_steps(outcomes),
            stages: latency::of_stages(outcomes),
            confusions: confusion::worst(outcomes),
            out_of_scope: OutOfScope::of(outcomes),
            unknown_routes: unknown(&routes),
            matrix: Matrix::of(outcomes),
            routes,
        }
    }
}

fn unknown(routes: &[RouteScore]) -> Vec<UnknownRoute> {
    let missing = routes.iter().filter(|score| !score.known && score.support > 0);
    let mut unknown: Vec<_> =
        missing.map(|score| UnknownRoute { route: score.route.clone(), rows: score.support }).collect();
    unknown.sort_by(|a, b| a.route.cmp(&b.route));
    unknown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::golden;
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    #[test]
    fn the_json_is_stable() {
        let rows = [
            outcome("a", "a", 0.75),
            outcome("gone", "a", 0.5),
            Outcome { decided_alone: false, ..outcome("", "", 0.25) },
        ];
        let grounds = Grounds {
            routes: BTreeSet::from(["a".to_owned()]),
            thresholds: vec![Threshold { accuracy_percent: 95, confidence: Some(0.5) }],
            min_in_scope: None,
        };
        let mut json = serde_json::to_value(Report::of(&rows, &grounds)).unwrap();
        // The ends of intervals are tested where they are made; here they would only be long.
        fn drop_intervals(value: &mut serde_json::Value) {
            match value {
                serde_json::Value::Object(object) => {
                    object.retain(|key, _| key != "low" && key != "high" && key != "risk_high");
                    object.values_mut().for_each(drop_intervals);
                }
                serde_json::Value::Array(values) => values.iter_mut().for_each(drop_intervals),
                _ => {}
            }
        }
        drop_intervals(&mut json);
        let lines: String = json.as_object().unwrap().iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        golden::check("evaluate/golden/report.txt", &lines);
    }

    #[test]
    fn no_rows_make_an_empty_report() {
        let report = Report::of(&[], &Grounds::default());
        assert_eq!((report.accuracy.share, report.macro_f1, report.latency), (None, None, None));
        assert_eq!((report.coverage, report.out_of_scope), (vec![], None));
    }

    proptest! {
        #[test]
        fn parts_add_up(rows in outcomes()) {
            let report = Report::of(&rows, &Grounds::default());
            let refused_rightly = report.out_of_scope.as_ref().map_or(0, |scope| scope.recall.hits);
            prop_assert_eq!(report.accuracy.hits, report.in_scope.hits + refused_rightly);
            prop_assert_eq!(report.in_scope.hits, report.routes.iter().map(|score| score.right).sum::<u64>());
            prop_assert_eq!(report.decided_alone.share.hits, report.decided_alone.accuracy.rows);
            prop_assert_eq!(report.accuracy.rows, rows.len() as u64);
        }
    }
}
