//! How we ended a call from outside. Whatever was under way for it is dropped then, and could otherwise not be told
//! from work whose caller has gone.

use std::sync::{Arc, OnceLock};

use tonic::Status;
use tonic::codegen::http::Extensions;

/// Of one call; found among its request's extensions. Clone it freely.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Arc<OnceLock<Status>>);

impl Ending {
    /// One that nobody sets, for what did not come in as a call.
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// Notes the status that the caller gets, before the work for him is dropped. The first one counts.
    pub(super) fn set(&self, status: Status) -> Status {
        self.0.get_or_init(|| status).clone()
    }

    /// `None`: the caller himself has gone.
    pub(super) fn status(&self) -> Option<&Status> {
        self.0.get()
    }
}
