//! Metrics over classified prompts, and their report: what `semroute eval` computes and shows.
//!
//! Pure: outcomes go in, numbers and texts come out. Counts are exact integers; ratios are formed last.

mod bill;
mod calibration;
mod confusion;
mod coverage;
mod draw;
mod evaluation;
#[cfg(test)]
pub(crate) mod golden;
mod html;
mod latency;
mod layout;
mod lots;
mod map;
mod matrix;
mod outcome;
mod perturb;
mod prices;
mod proportion;
mod ranking;
mod report;
mod risk;
mod routes;
mod scope;
mod shortlist;
mod stability;
mod table;
mod wording;

pub use bill::{Alternative, Assumptions, Bill, BillError, LlmShare, Misplaced, Places, TargetShare};
pub use calibration::{Bin, Calibration};
pub use confusion::{Confusion, excerpt};
pub use coverage::{Coverage, Own, TARGETS, Threshold};
pub use draw::{draw, sample};
pub use evaluation::{Evaluation, Subject};
pub use html::html;
pub use latency::{Latency, StageShare, StepLatency};
pub use layout::layout;
pub use map::{Contradiction, Map, Point};
pub use matrix::{Block, Cell, Matrix};
pub use outcome::{Outcome, Ranked, Signal, Steps};
pub use perturb::Perturbation;
pub use prices::{Price, Prices, PricesError};
pub use proportion::Proportion;
pub use report::{Alone, Grounds, Report, UnknownRoute};
pub use risk::{RiskCurve, RiskPoint};
pub use routes::RouteScore;
pub use scope::{Kind, OutOfScope, Separation};
pub use shortlist::Shortlist;
pub use stability::{Flip, KindFlips, RouteFlips, Said, Stability, Trial};
pub use table::{Layout, render};
