//! One evaluation as a whole: what was measured, and all that was found.

use serde::Serialize;

use super::bill::Bill;
use super::report::Report;
use super::stability::Stability;

/// What was measured, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subject {
    pub set: String,
    /// Reference prompts.
    pub references: usize,
    pub routes: usize,
    /// Kind of the index.
    pub index: String,
    pub recall_at_10: Option<f32>,
    /// Fingerprint of the embedding model.
    pub model: String,
    /// References drawn of each route; `None`: all.
    pub shots: Option<usize>,
    /// Of draws and perturbations.
    pub seed: u64,
    /// Test prompts.
    pub prompts: usize,
    /// Prompts under way at once: latencies are those under this load.
    pub concurrency: usize,
    pub seconds: f64,
}

/// Serialised, its fields are those of the subject and one for each part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    #[serde(flatten)]
    pub subject: Subject,
    pub report: Report,
    /// `None`: not asked for.
    pub stability: Option<Stability>,
    /// `None`: no prices are known.
    pub bill: Option<Bill>,
}

impl Subject {
    /// In one line.
    pub(super) fn line(&self) -> String {
        let drawn = self.shots.map(|shots| format!(" ({shots} a route, seed {})", self.seed)).unwrap_or_default();
        let rate = self.prompts as f64 / self.seconds.max(1e-9);
        format!(
            "{} references{drawn}, {} routes, {} index; {} prompts at {rate:.0} a second, {} at once",
            self.references, self.routes, self.index, self.prompts, self.concurrency
        )
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;
    use crate::evaluate::bill::{Assumptions, Places};
    use crate::evaluate::coverage::Threshold;
    use crate::evaluate::outcome::{Outcome, samples::outcome};
    use crate::evaluate::prices::Prices;
    use crate::evaluate::report::Grounds;
    use crate::evaluate::stability::{Trial, tests::said};

    /// Twelve prompts, one of every sort.
    pub(in crate::evaluate) fn evaluation() -> Evaluation {
        let mut rows = vec![outcome("", "", 0.25), outcome("", "a", 0.5), outcome("gone", "b", 0.5)];
        rows.extend((0..6).map(|_| outcome("a", "a", 0.75)));
        rows.extend((0..3).map(|_| outcome("b", "a", 0.625)));
        if let Some(row) = rows.last_mut() {
            *row = Outcome {
                stage: "best_guess",
                decided_alone: false,
                text: "<script>alert(1)</script>".into(),
                ..row.clone()
            };
        }
        let grounds = Grounds {
            routes: ["a", "b", "c"].map(str::to_owned).into(),
            thresholds: vec![
                Threshold { accuracy_percent: 95, confidence: Some(0.7) },
                Threshold { accuracy_percent: 99, confidence: None },
            ],
            min_in_scope: None,
        };
        let prices = "currency = 'USD'\ndefault = 'large'\n[routes]\nb = 'small'\n[targets]\n\
            large = { input = 10, output = 20 }\nsmall = { input = 1, output = 2 }\n[llm]\ninput = 1\noutput = 1";
        let prices = Prices::parse(prices).unwrap();
        let places = Places { routes: prices.routes.clone(), default: prices.default.clone() };
        let assumptions = Assumptions {
            output_tokens: 129.0,
            added_input_tokens: 0.0,
            llm_input_tokens: 400.0,
            llm_output_tokens: 10.0,
        };
        let before = said("a", 0.9);
        let trial = |kind, after| Trial { kind, expected: Some("a"), before: &before, after };
        let trials = [trial("case", Some(said("b", 0.4))), trial("quotes", None)];
        Evaluation {
            subject: Subject {
                set: "small <set>".to_owned(),
                references: 30,
                routes: 3,
                index: "flat".to_owned(),
                recall_at_10: None,
                model: "0123456789abcdef".to_owned(),
                shots: Some(10),
                seed: 13,
                prompts: 12,
                concurrency: 2,
                seconds: 2.0,
            },
            report: Report::of(&rows, &grounds),
            stability: Some(Stability::of(&trials, 13)),
            bill: Some(Bill::of(&rows, &prices, &places, assumptions).unwrap()),
        }
    }
}
