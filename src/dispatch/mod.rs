//! Carrying a plan out: target after target under one deadline and one retry budget, until one answers or the plan is at
//! its end.
//!
//! `course` decides and never waits; `pursuit`, `dispatcher` and `stream` wait and never decide. What all requests share,
//! the breakers and the budget, is in `health`.

mod account;
mod attempt;
mod breaker;
mod budget;
mod config;
mod course;
mod dispatcher;
mod error;
mod estimate;
mod health;
mod latencies;
mod probe;
mod pursuit;
mod span;
mod stream;

#[cfg(test)]
mod tests;

pub use account::{Account, Observer, cost};
pub use attempt::{Attempt, Outcome, PassReason, Passed};
pub use breaker::{BreakerConfig, BreakerState, Cause, Reading};
pub use budget::RetryConfig;
pub use config::DispatchConfig;
pub use course::{Hedge, Progress};
pub use dispatcher::{Dispatch, Dispatched, Dispatcher, Limits};
pub use error::Error;
pub use health::{Health, Standing};
pub use probe::ProbeConfig;
pub use stream::{DispatchEvent, DispatchStream};
