//! What the audit log says of a period: spend, times, failures, and whether routing pays.
//!
//! Pure: entries are added one by one, whatever their number the memory stays that of the routes and targets.

mod alternative;
mod signal;
mod summary;
mod tally;
#[cfg(test)]
mod tests;
mod times;

pub use alternative::Alternative;
pub use signal::Signal;
pub use summary::{LlmUse, RouteUse, Summary, TargetUse};
pub use tally::{Tally, TargetPrices};
pub use times::Quantiles;
