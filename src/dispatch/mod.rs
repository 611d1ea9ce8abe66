//! Carrying a plan out: target after target under one deadline, until one answers or the plan is at its end.
//!
//! `course` decides and never waits; `dispatcher` and `stream` wait and never decide. What comes later (breakers, retry
//! budgets) moves into the course, what runs calls side by side (hedging) into the other two.

mod attempt;
mod config;
mod course;
mod dispatcher;
mod error;
mod span;
mod stream;

#[cfg(test)]
mod tests;

pub use attempt::{Attempt, Outcome};
pub use config::DispatchConfig;
pub use dispatcher::{Dispatched, Dispatcher};
pub use error::Error;
pub use stream::{DispatchEvent, DispatchStream};
