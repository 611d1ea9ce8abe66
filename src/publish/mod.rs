//! From a set's draft to what is served: build a version, check it, make it live. Never on the request path.

mod bring_up;
mod builder;
mod check;
mod draft;
mod error;
mod fitting;
mod indexes;
mod indexing;
mod live;
mod load;
mod operations;
mod progress;
mod rare;
mod readiness;
mod report;
mod sealed;
mod sync;

pub use bring_up::bring_up;
pub use builder::{BuildRequest, Builder, Built, report_of};
pub use draft::Draft;
pub use error::BuildError;
pub use fitting::{cross_examine, describe};
pub use indexes::IndexFolder;
pub use live::{LiveSets, Problem};
pub use operations::{Ended, Operation, Operations};
pub use progress::{BuildProgress, Counters};
pub use readiness::Readiness;
pub use report::{BuildReport, Expectation, FitSummary, Relabelled, ReliabilityBin};
pub use sync::{Synced, is_half_taken, sync_files};
