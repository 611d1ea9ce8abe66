//! The span that carries a request's ids into its log lines. It is made at the level of errors, so that it is there
//! whatever level is logged.

use tonic::codegen::http::HeaderMap;
use tracing::{Span, error_span, field};

/// Longest `x-request-id` that is repeated, in bytes.
const MAX_ID_BYTES: usize = 128;

/// Around everything that a call does. The decision writes `decision_id` into it.
pub(crate) fn request_span(headers: &HeaderMap) -> Span {
    let span = error_span!(target: super::REQUEST, "request", request_id = field::Empty, decision_id = field::Empty);
    if let Some(id) = request_id(headers) {
        span.record("request_id", id);
    }
    span
}

/// Around one prompt of several.
pub(crate) fn prompt_span() -> Span {
    error_span!(target: super::REQUEST, "prompt", decision_id = field::Empty)
}

/// What the caller calls the request; visible ASCII.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-request-id")?.to_str().ok().filter(|id| id.len() <= MAX_ID_BYTES)
}
