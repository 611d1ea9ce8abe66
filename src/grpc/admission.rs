//! How many requests may be under way at once. One more is refused at once, so that overload stays cheap.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status};

use super::status::Reason;

/// Clone it freely.
#[derive(Clone)]
pub struct Admission {
    places: Arc<Semaphore>,
    limit: usize,
}

impl Admission {
    pub fn new(limit: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(limit)), limit }
    }

    /// A place, free again when it is dropped; RESOURCE_EXHAUSTED if there is none.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Reason::TooManyRequests
                .status(Code::ResourceExhausted, format!("{} requests are under way, the most allowed", self.limit))
        })
    }
}
