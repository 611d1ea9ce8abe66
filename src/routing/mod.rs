//! Where a request may go: the configured targets, and the plan that a route makes of them.
//!
//! Pure: no IO and no clock. A target that may not be used is refused with its reason, never left out in silence.

mod catalogue;
mod config;
mod plan;
mod policy;
mod table;
mod target;

pub use catalogue::Catalogue;
pub use config::{RoutingConfig, TargetConfig};
pub use plan::{Plan, Refusal, RefusalReason};
pub use policy::DataPolicy;
pub use table::RoutingTable;
pub use target::Target;
