//! What a call took whose provider did not say: it was cancelled, or broke off.

use crate::provider::{ChatRequest, Usage};
use crate::routing::{Bulk, likely_tokens};

pub(super) fn input_tokens(request: &ChatRequest) -> u64 {
    Bulk::of(request).likely_tokens()
}

pub(super) fn usage(input_tokens: u64, delivered_bytes: u64) -> Usage {
    Usage::new(input_tokens, likely_tokens(delivered_bytes))
}
