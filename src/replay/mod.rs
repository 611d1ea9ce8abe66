//! Golden prompts, each with what its answer has to hold, replayed to pinned targets and compared side by side.
//!
//! Straight through dispatch: nothing is classified, and no route's rules choose among the targets. All is pure but
//! `golden`, which reads a file, and `run`, which waits for the answers.

mod answer;
mod check;
mod expect;
mod fault;
mod fields;
mod golden;
mod report;
mod run;
mod schema;
mod summary;
mod table;
mod targets;
mod trial;

pub use answer::{Answer, NoAnswer};
pub use check::{Check, Judgement, Mismatch, judge};
pub use fault::{Error, LineFault, Wrong};
pub use golden::{Case, read};
pub use report::{Difference, Failure, Passes, Report, Subject};
pub use run::{Replay, Terms, Trials};
pub use schema::{Lapse, Schema, SchemaError};
pub use summary::{Adherence, Cost, TargetSummary, Tokens};
pub use table::render;
pub use targets::targets;
pub use trial::{Judged, Trial};
