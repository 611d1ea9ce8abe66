//! Reference sets: their types, the port that keeps them, and the immutable snapshots that requests are served from.

mod name;
mod snapshot;
mod store;
mod types;

pub use name::{MAX_NAME_BYTES, NameError, ReferenceId, RouteName, SetName, TargetName};
pub use snapshot::{Neighbour, Reference, RouteIndex, Snapshot, SnapshotCell};
pub use store::{PromptFilter, Result, Store, StoreError};
pub use types::{
    Fallback, Fingerprint, MAX_TEXT_BYTES, Precondition, PromptEdit, ReferencePrompt, ReferenceSet, Revision, Route,
    SetEdit, SetPolicy, SetVersion, TextHash, Version, VersionPrompt, VersionState,
};
