//! A dispatch that failed, with all that was tried and refused.

use prost::Message;
use tonic::{Code, Status};
use tonic_types::ErrorDetails;

use super::super::convert::attempts_detail;
use super::reason::Reason;
use super::to_message;
use crate::dispatch;

/// Longest message of a failed dispatch, and of its attempts together. A status travels in headers, where every byte
/// that is not ASCII takes three; clients take 8 or 16 KB of them and give up the whole connection for more.
const MAX_MESSAGE_BYTES: usize = 600;
const MAX_ATTEMPTS_BYTES: usize = 1_500;

/// Most refusals among the details, and bytes of their reasons together: they come where there are no attempts.
const MAX_REFUSALS: usize = 40;
const MAX_REFUSALS_BYTES: usize = 2_000;

/// With every attempt, and every target that was refused or passed over, among the details. `currency`: of the
/// configured prices.
pub(in crate::grpc) fn from_dispatch(error: &dispatch::Error, currency: &str) -> Status {
    let (reason, code) = match error {
        dispatch::Error::NoTargets { .. } => (Reason::NoAllowedTarget, Code::FailedPrecondition),
        dispatch::Error::AllFailed { .. } => (Reason::AllTargetsFailed, Code::Unavailable),
        dispatch::Error::Rejected { .. } => (Reason::RejectedByProvider, Code::FailedPrecondition),
        dispatch::Error::DeadlineExceeded { .. } => (Reason::DeadlineExceeded, Code::DeadlineExceeded),
        dispatch::Error::BrokenStream { .. } => (Reason::BrokenStream, Code::Unavailable),
    };
    let mut details = ErrorDetails::new();
    // How long the providers asked us to stay away: until then another try is in vain.
    let asked = error.attempts().iter().filter_map(|attempt| attempt.retry_after);
    let rests = error.passed().iter().filter_map(|passed| passed.reason.left());
    if let Some(pause) = asked.chain(rests).min() {
        details.set_retry_info(Some(pause));
    }
    let status = reason.detailed(code, shortened(error.to_string(), MAX_MESSAGE_BYTES), details);
    let mut message = to_message(&status);
    let mut tried = attempts_detail(error, currency);
    let share = MAX_ATTEMPTS_BYTES / tried.attempts.len().max(1);
    for attempt in &mut tried.attempts {
        attempt.message = shortened(std::mem::take(&mut attempt.message), share);
    }
    tried.refused.truncate(MAX_REFUSALS);
    let share = MAX_REFUSALS_BYTES / tried.refused.len().max(1);
    for refusal in &mut tried.refused {
        refusal.reason = shortened(std::mem::take(&mut refusal.reason), share);
    }
    let detail = prost_types::Any {
        type_url: "type.googleapis.com/semroute.v1.AttemptsDetail".to_owned(),
        value: tried.encode_to_vec(),
    };
    message.details.push(detail);
    Status::with_details(code, status.message(), message.encode_to_vec().into())
}

fn shortened(mut text: String, most_bytes: usize) -> String {
    if text.len() > most_bytes {
        text.truncate(text.floor_char_boundary(most_bytes));
        text.push_str(" ...");
    }
    text
}
