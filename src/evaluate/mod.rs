//! Metrics over classified prompts, and their report: what `semroute eval` computes and shows.
//!
//! Pure: outcomes go in, numbers and texts come out. Counts are exact integers; ratios are formed last.

mod confusion;
mod coverage;
mod latency;
mod outcome;
mod proportion;
mod ranking;
mod report;
mod routes;
mod scope;
mod table;

pub use confusion::Confusion;
pub use coverage::Coverage;
pub use latency::Latency;
pub use outcome::{Outcome, Signal};
pub use proportion::Proportion;
pub use report::{Alone, Report, UnknownRoute};
pub use routes::RouteScore;
pub use scope::{OutOfScope, Separation};
pub use table::{Layout, render};
