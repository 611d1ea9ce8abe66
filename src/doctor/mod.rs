//! What is wrong with a reference set: found by asking the set about itself, each prompt by the others.
//!
//! The checks are pure: prompts with their verdicts go in, findings come out, most harmful first. Only [`verdicts`] searches.

mod balance;
mod contradiction;
mod diagnosis;
mod duplicates;
mod examined;
mod finding;
mod habits;
mod limits;
mod rivals;
mod table;
mod verdict;

pub use diagnosis::{Diagnosis, diagnose};
pub use examined::{Examined, Prompt};
pub use finding::{Finding, Kind, PromptRef, Severity};
pub use limits::Limits;
pub use table::render;
pub use verdict::{Near, Verdict, verdicts};
