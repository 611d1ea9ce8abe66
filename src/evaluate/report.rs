//! Everything that `semroute eval` has to say, as numbers. Its JSON is stable: fields are added, not renamed.

use std::collections::BTreeSet;

use serde::Serialize;

use super::confusion::{self, Confusion};
use super::coverage::Coverage;
use super::latency::Latency;
use super::outcome::Outcome;
use super::proportion::Proportion;
use super::routes::{self, RouteScore};
use super::scope::OutOfScope;

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
    pub decided_alone: Alone,
    /// At 95, 97 and 99 % accuracy, with hindsight; empty without rows.
    pub coverage: Vec<Coverage>,
    /// `None` without rows.
    pub latency: Option<Latency>,
    /// Every route that was expected or predicted, worst first.
    pub routes: Vec<RouteScore>,
    /// The commonest, commonest first.
    pub confusions: Vec<Confusion>,
    /// `None` if every row is in scope.
    pub out_of_scope: Option<OutOfScope>,
    /// Expected routes that the reference set does not have: their rows cannot be right. By name.
    pub unknown_routes: Vec<UnknownRoute>,
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
    /// `known` are the names of the reference set's routes.
    pub fn of(outcomes: &[Outcome], known: &BTreeSet<String>) -> Self {
        let in_scope = || outcomes.iter().filter(|outcome| outcome.in_scope());
        let alone = outcomes.iter().filter(|outcome| outcome.decided_alone);
        let routes = routes::scores(outcomes, known);
        Self {
            accuracy: Proportion::count(outcomes.iter().map(Outcome::is_right)),
            in_scope: Proportion::count(in_scope().map(Outcome::is_right)),
            refused_in_scope: Proportion::count(in_scope().map(|outcome| outcome.predicted.is_none())),
            macro_f1: routes::macro_f1(&routes),
            decided_alone: Alone {
                share: Proportion::count(outcomes.iter().map(|outcome| outcome.decided_alone)),
                accuracy: Proportion::count(alone.map(Outcome::is_right)),
            },
            coverage: Coverage::of(outcomes),
            latency: Latency::of(outcomes),
            confusions: confusion::worst(outcomes),
            out_of_scope: OutOfScope::of(outcomes),
            unknown_routes: unknown(&routes),
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
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    #[test]
    fn the_json_is_stable() {
        let rows = [
            outcome("a", "a", 0.75),
            outcome("gone", "a", 0.5),
            Outcome { decided_alone: false, ..outcome("", "", 0.25) },
        ];
        let report = Report::of(&rows, &BTreeSet::from(["a".to_owned()]));
        let mut json = serde_json::to_value(&report).unwrap();
        // The ends of intervals are tested where they are made; here they would only be long.
        fn drop_intervals(value: &mut serde_json::Value) {
            if let Some(object) = value.as_object_mut() {
                object.retain(|key, _| key != "low" && key != "high");
                object.values_mut().for_each(drop_intervals);
            }
        }
        drop_intervals(&mut json);
        let lines: Vec<String> =
            json.as_object().unwrap().iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let expected = [
            r#"accuracy: {"hits":2,"rows":3,"share":0.6666666666666666}"#,
            r#"in_scope: {"hits":1,"rows":2,"share":0.5}"#,
            r#"refused_in_scope: {"hits":0,"rows":2,"share":0.0}"#,
            r#"macro_f1: 0.3333333333333333"#,
            r#"decided_alone: {"share":{"hits":2,"rows":3,"share":0.6666666666666666},"accuracy":{"hits":1,"rows":2,"share":0.5}}"#,
            r#"coverage: [{"accuracy_percent":95,"rows":1,"share":0.3333333333333333,"threshold":0.75},{"accuracy_percent":97,"rows":1,"share":0.3333333333333333,"threshold":0.75},{"accuracy_percent":99,"rows":1,"share":0.3333333333333333,"threshold":0.75}]"#,
            r#"latency: {"p50_ms":1.0,"p90_ms":1.0,"p99_ms":1.0,"max_ms":1.0}"#,
            r#"routes: [{"route":"gone","support":1,"predicted":0,"right":0,"precision":null,"recall":0.0,"f1":0.0,"known":false},{"route":"a","support":1,"predicted":2,"right":1,"precision":0.5,"recall":1.0,"f1":0.6666666666666666,"known":true}]"#,
            r#"confusions: [{"expected":"gone","predicted":"a","rows":1,"examples":["gone taken for a"]}]"#,
            r#"out_of_scope: {"recall":{"hits":1,"rows":1,"share":1.0},"precision":{"hits":1,"rows":1,"share":1.0},"separation":[{"signal":"score","auroc":1.0,"fpr_at_95_tpr":0.0,"threshold":0.5},{"signal":"margin","auroc":1.0,"fpr_at_95_tpr":0.0,"threshold":0.25},{"signal":"similarity","auroc":1.0,"fpr_at_95_tpr":0.0,"threshold":0.5}]}"#,
            r#"unknown_routes: [{"route":"gone","rows":1}]"#,
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn no_rows_make_an_empty_report() {
        let report = Report::of(&[], &BTreeSet::new());
        assert_eq!((report.accuracy.share, report.macro_f1, report.latency), (None, None, None));
        assert_eq!((report.coverage, report.out_of_scope), (vec![], None));
    }

    proptest! {
        #[test]
        fn parts_add_up(rows in outcomes()) {
            let report = Report::of(&rows, &BTreeSet::new());
            let refused_rightly = report.out_of_scope.as_ref().map_or(0, |scope| scope.recall.hits);
            prop_assert_eq!(report.accuracy.hits, report.in_scope.hits + refused_rightly);
            prop_assert_eq!(report.in_scope.hits, report.routes.iter().map(|score| score.right).sum::<u64>());
            prop_assert_eq!(report.decided_alone.share.hits, report.decided_alone.accuracy.rows);
            prop_assert_eq!(report.accuracy.rows, rows.len() as u64);
        }
    }
}
