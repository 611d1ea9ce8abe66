//! Where a request may go: the configured targets, the rules that each of them is judged by, and the plan that a route
//! makes of those that are left, in order.
//!
//! Pure, but for counting tokens ([`TokenCounter`]): no IO, and time is an argument. A target that may not be used is
//! refused with its reason, never left out in silence; and no plan holds a target that was not judged.

mod asked;
mod catalogue;
mod config;
mod known;
mod order;
mod plan;
mod policy;
mod reason;
mod rules;
mod size;
mod table;
mod target;
mod tokens;

pub use asked::Asked;
pub use config::{RouteConfig, RoutingConfig, SetConfig, TargetConfig};
pub use known::Known;
pub(crate) use known::Strange;
pub use order::{Latencies, Order, Pending};
pub use plan::{Plan, Refusal};
pub use policy::DataPolicy;
pub use reason::{RefusalReason, TokenKind};
pub use size::{Bulk, Size, TokenEstimate, likely_tokens};
pub use table::{RoutingTable, routes_without_llm};
pub use target::Target;
pub use tokens::TokenCounter;
