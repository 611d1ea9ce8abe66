//! What a client says of a decision.

use std::sync::Arc;

use uuid::Uuid;

use crate::reference::{MAX_TEXT_BYTES, RouteName, SetName, StoreError};

/// A client's word on a decision.
#[derive(Debug, Clone)]
pub struct Correction {
    pub decision: Uuid,
    /// The right route.
    pub route: RouteName,
    pub note: String,
    /// The prompt and its set; where they are not given, the decision must be remembered.
    pub text: Option<Arc<str>>,
    pub set: Option<SetName>,
    /// Of a prompt that came without a set and whose decision is not remembered.
    pub default_set: Option<SetName>,
}

#[derive(Debug, thiserror::Error)]
pub enum CorrectionError {
    #[error("decision {id} is not remembered: {why}")]
    UnknownDecision { id: Uuid, why: &'static str },
    #[error("the prompt has {bytes} bytes, a reference prompt has at most {MAX_TEXT_BYTES}")]
    TooLong { bytes: usize },
    #[error("as many proposals are open as may be: {most}")]
    Full { most: u32 },
    #[error(transparent)]
    Store(#[from] StoreError),
}
