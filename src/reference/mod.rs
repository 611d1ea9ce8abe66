//! Reference sets: their types, the port that keeps them, and the immutable snapshots that requests are served from.

mod files;
mod name;
mod policy;
mod proposal;
mod rule;
mod snapshot;
mod store;
mod types;

pub use files::{
    Fault, Faults, FileError, LabelledText, MAX_LINE_BYTES, Place, SET_FILE, SetFiles, SetRows, Warning, Wrong,
    read_directory, read_labelled, read_labelled_set, read_rows, read_set, write_line, write_set_toml,
};
pub(crate) use files::{Lines, object};
pub use name::{MAX_NAME_BYTES, NameError, ReferenceId, RouteName, SetName, TargetName};
pub use policy::{CostPolicy, Fallback, SetPolicy};
pub use proposal::{
    MAX_NOTE_BYTES, MAX_ORIGINS, MAX_SETTLED, Origin, Proposal, ProposalEdit, ProposalFilter, ProposalId,
    ProposalState, ProposalVector, Recorded, Settlement, Source, likeness,
};
pub use rule::DecisionRule;
pub use snapshot::{Neighbour, Reference, RouteIndex, Snapshot, SnapshotCell, SnapshotId};
pub use store::{PromptFilter, Result, Store, StoreError};
pub use types::{
    Fingerprint, MAX_TEXT_BYTES, NO_ROUTE, Precondition, PromptEdit, PromptPurpose, ReferencePrompt, ReferenceSet,
    Revision, Route, SetEdit, SetVersion, TextHash, Version, VersionPrompt, VersionState, VersionText, is_neighbour,
};
