//! What a fit found out about itself.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::metrics::ReliabilityBin;

/// Measured on held-out prompts: each was judged by classifiers fitted without it and its near-duplicates, by a
/// calibration fitted without it, and hence with a little less to go by than the model has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FitReport {
    pub routes: usize,
    /// Prompts learned from.
    pub references: usize,
    /// Prompts measured on only.
    pub evaluations: usize,
    /// Prompts, of both kinds, that no route applies to.
    pub none: usize,
    /// Prompts left aside because there were more than the fit takes.
    pub left_aside: usize,
    pub folds: usize,
    /// Held-out prompts of a route.
    pub held_out: usize,
    /// Share of them whose first route is right.
    pub accuracy: f64,
    /// Expected calibration error of the confidence, 15 bins.
    pub calibration_error: f64,
    pub brier: f64,
    /// 15 bins of confidence.
    pub reliability: Vec<ReliabilityBin>,
    /// Weights of head, lexical channel and votes.
    pub mix: [f32; 3],
    /// Features that the lexical channel knows.
    pub features: usize,
    /// How well prompts of routes that were left out are told from others (area under the ROC curve); `None` where
    /// there are too few routes to leave some out. Such prompts are nearer to the routes than most that users send.
    pub scope_auroc_left_out: Option<f64>,
    /// The same for held-out `none` prompts.
    pub scope_auroc_none: Option<f64>,
    pub shortlist: ShortlistReport,
    pub warnings: Vec<Warning>,
    pub time: FitTime,
}

/// What shortlists would have been, by bounds from other prompts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ShortlistReport {
    /// Share of held-out prompts whose shortlist holds the right route.
    pub coverage: f64,
    pub mean_length: f64,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct FitTime {
    pub neighbours: Duration,
    pub classifiers: Duration,
    pub held_out: Duration,
    pub out_of_scope: Duration,
    pub calibration: Duration,
}

/// What a reader of the figures should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Warning {
    /// Every prompt is of one route: there is nothing to decide between.
    OneRoute,
    /// No more than so many held-out prompts: the confidence is the uncalibrated posterior.
    TooLittleToCalibrate { held_out: usize, needed: usize },
    /// Routes, by index, of one prompt only: how good they are cannot be measured.
    OnePrompt { routes: Vec<u32> },
    /// Routes, by index, without any prompt: they win by their description at best.
    NoPrompt { routes: Vec<u32> },
    /// Two routes, by index, whose names differ in case only.
    NamesAlike { first: u32, second: u32 },
    /// More prompts than the fit takes: it took a sample.
    Sampled { taken: usize, of: usize },
    /// Too few routes to leave some out, and no `none` prompts: the probability that a route applies is a guess.
    ScopeUntrained,
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneRoute => write!(out, "there is one route only: nothing to decide between"),
            Self::TooLittleToCalibrate { held_out, needed } => {
                write!(out, "too little data to calibrate: {held_out} held-out prompts, {needed} needed")
            }
            Self::OnePrompt { routes } => {
                write!(out, "{} routes have one prompt only; how good they are cannot be measured", routes.len())
            }
            Self::NoPrompt { routes } => write!(out, "{} routes have no prompt", routes.len()),
            Self::NamesAlike { first, second } => {
                write!(out, "the names of routes {first} and {second} differ in case only")
            }
            Self::Sampled { taken, of } => write!(out, "learned from a sample of {taken} of {of} prompts"),
            Self::ScopeUntrained => {
                write!(
                    out,
                    "whether a route applies is a guess: too few routes to learn it from, and no `none` prompts"
                )
            }
        }
    }
}
