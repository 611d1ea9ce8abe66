//! What building a version found; kept with the version as JSON.

use std::time::Duration;

use semroute_decision::{FitReport, Warning};
use serde::{Deserialize, Serialize};

use crate::index::IndexKind;
use crate::reference::{DecisionRule, RouteName, Version};

/// Most relabelled texts that are listed by name.
pub const MAX_RELABELLED_SHOWN: usize = 20;

/// Most routes that a warning names.
const MAX_ROUTES_NAMED: usize = 10;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildReport {
    pub version: Version,
    pub prompts: u64,
    pub routes: u64,
    /// Texts embedded for this version; the others had an embedding already.
    pub embedded: u64,
    pub index: IndexKind,
    /// Share of the true ten nearest that HNSW finds; `None` for a flat index.
    pub recall_at_10: Option<f32>,
    /// Share of sampled prompts whose own route wins the vote of the other prompts.
    pub agreement: Option<f32>,
    /// The same, of the version that was live before.
    pub previous_agreement: Option<f32>,
    /// Texts that stand in both versions with different routes.
    pub relabelled: u64,
    /// The first [`MAX_RELABELLED_SHOWN`] of them.
    pub relabelled_examples: Vec<Relabelled>,
    /// What the fit of the decision model found; `None` if there was none.
    #[serde(default)]
    pub fit: Option<FitSummary>,
    /// Why no decision model was fitted.
    #[serde(default)]
    pub fit_refused: Option<String>,
    /// Seconds spent embedding, building and measuring the index, and in all.
    pub embed_seconds: f64,
    pub index_seconds: f64,
    pub total_seconds: f64,
}

/// How good decisions are on the version's own prompts, each judged by a model that was fitted without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitSummary {
    pub held_out: u64,
    /// Share of them whose likeliest route is right.
    pub accuracy: f64,
    /// Expected calibration error of the confidence, and its Brier score.
    pub calibration_error: f64,
    pub brier: f64,
    pub reliability: Vec<ReliabilityBin>,
    /// Area under the ROC curve for prompts of routes that were left out, and for held-out `none` prompts.
    pub scope_auroc_left_out: Option<f64>,
    pub scope_auroc_none: Option<f64>,
    /// Share of the shortlists that hold the right route, and their mean length.
    pub shortlist_coverage: f64,
    pub shortlist_length: f64,
    /// What the policy's target or costs lead to; `None`: the bounds on the vote decide.
    pub expected: Option<Expectation>,
    pub warnings: Vec<String>,
    /// Prompts that came, went or changed their route since these figures were taken. The model has learned them.
    #[serde(default)]
    pub changed: u64,
    /// Evaluation prompts: they are measured on, and nothing is learned from them.
    #[serde(default)]
    pub evaluations: u64,
    /// Size of the model.
    pub bytes: u64,
    pub seconds: f64,
}

/// Prompts of like confidence, in a bin that is one of equally wide ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    pub from: f64,
    pub prompts: u64,
    pub confidence: f64,
    pub accuracy: f64,
}

/// What is to be expected of prompts like the set's own, to which some route applies, by the policy's threshold and its
/// `min_in_scope`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// From this confidence on the first stage decides alone; above 1: never.
    pub threshold: f64,
    /// Whether the target can be reached.
    pub reached: bool,
    /// Share that is decided alone; the others go to the LLM stage.
    pub alone: f64,
    /// Share of those that is right, and its lower confidence bound (one-sided, 90 %).
    pub accuracy_alone: f64,
    pub accuracy_alone_at_least: f64,
    /// In the policy's own unit.
    pub cost_per_1000: Option<f64>,
}

impl FitSummary {
    /// `names`: of the routes, in the order of the fit.
    pub(super) fn of(report: &FitReport, rule: &DecisionRule, names: &[&str], bytes: usize, took: Duration) -> Self {
        let reliability = report.reliability.iter().map(|bin| ReliabilityBin {
            from: bin.from,
            prompts: bin.prompts as u64,
            confidence: bin.confidence,
            accuracy: bin.accuracy,
        });
        Self {
            held_out: report.held_out as u64,
            accuracy: report.accuracy,
            calibration_error: report.calibration_error,
            brier: report.brier,
            reliability: reliability.collect(),
            scope_auroc_left_out: report.scope_auroc_left_out,
            scope_auroc_none: report.scope_auroc_none,
            shortlist_coverage: report.shortlist.coverage,
            shortlist_length: report.shortlist.mean_length,
            expected: Expectation::of(rule),
            warnings: report.warnings.iter().map(|warning| in_words(warning, names)).collect(),
            changed: 0,
            evaluations: report.evaluations as u64,
            bytes: bytes as u64,
            seconds: took.as_secs_f64(),
        }
    }
}

impl Expectation {
    pub(super) fn of(rule: &DecisionRule) -> Option<Self> {
        rule.threshold().map(|threshold| Self {
            threshold: f64::from(threshold.confidence),
            reached: threshold.reached,
            alone: threshold.expected.alone,
            accuracy_alone: threshold.expected.accuracy_alone,
            accuracy_alone_at_least: threshold.expected.accuracy_alone_at_least,
            cost_per_1000: threshold.expected.cost_per_1000,
        })
    }
}

/// The first of them.
pub(super) fn listed(names: &[&str]) -> String {
    let more = (names.len() > MAX_ROUTES_NAMED).then_some("...");
    let words: Vec<&str> = names.iter().take(MAX_ROUTES_NAMED).copied().chain(more).collect();
    words.join(", ")
}

/// With the names of routes, of which the fit knows the places only.
fn in_words(warning: &Warning, names: &[&str]) -> String {
    let listed = |routes: &[u32]| {
        let named: Vec<&str> = routes.iter().filter_map(|route| names.get(*route as usize)).copied().collect();
        self::listed(&named)
    };
    match warning {
        Warning::OnePrompt { routes } | Warning::NoPrompt { routes } => format!("{warning}: {}", listed(routes)),
        Warning::NamesAlike { first, second } => {
            format!("the names of these routes differ in case only: {}", listed(&[*first, *second]))
        }
        _ => warning.to_string(),
    }
}

/// A text whose route changed between two versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relabelled {
    pub text: String,
    pub before: RouteName,
    pub after: RouteName,
}
