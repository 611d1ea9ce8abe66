//! What answers and statuses say of themselves, in short words that a test can compare.

use prost::Message;
use semroute::grpc::pb;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// `p0=status 500`, `p1=ok` for each attempt.
pub(crate) fn summary(attempts: &[pb::Attempt]) -> Vec<String> {
    let one = |attempt: &pb::Attempt| {
        let name = &attempt.target.as_ref().unwrap().name;
        let status = attempt.status.map(|status| format!(" {status}")).unwrap_or_default();
        format!("{name}={}{status}", attempt.outcome)
    };
    attempts.iter().map(one).collect()
}

/// The code and the stable reason.
pub(crate) fn fault(status: &Status) -> (Code, String) {
    let reason = status.get_details_error_info().map(|info| info.reason);
    (status.code(), reason.unwrap_or_else(|| format!("without a reason: {}", status.message())))
}

pub(crate) fn is_fault(status: &Status, code: Code, reason: &str) {
    assert_eq!(fault(status), (code, reason.to_owned()), "{}", status.message());
}

/// What the status tells of the attempts and the refused targets.
pub(crate) fn tried(status: &Status) -> pb::AttemptsDetail {
    let message = tonic_types::Status::decode(status.details()).unwrap();
    let detail = message.details.iter().find(|detail| detail.type_url.ends_with("/semroute.v1.AttemptsDetail"));
    pb::AttemptsDetail::decode(detail.expect("an AttemptsDetail").value.as_slice()).unwrap()
}

/// Names of the violated fields.
pub(crate) fn violated(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}
