//! Between the wire and the domain. What comes in is checked here, field by field, and trusted behind.

mod answer;
mod chat;
mod decision;
mod dispatch;
mod image;
mod json;
mod keys;
mod message;
mod policy;
mod proposals;
mod request;
mod sets;

use std::time::Duration;

pub(super) use dispatch::{attempts_detail, completed, event, target};
pub(super) use keys::key_terms;
pub(super) use proposals::{correction, feedback, proposal_filter};
pub(super) use request::{Classification, Completion, Limits, Routing, completion, routing};
pub(super) use sets::{SetMask, precondition, prompt_deletes, prompt_edits, route, set_edit};

/// Spans beyond protobuf's range do not occur; they would be shown as 0.
pub(super) fn span(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or_default()
}

#[cfg(test)]
mod tests;
