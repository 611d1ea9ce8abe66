//! What the tests ask of answers and of time.

use std::time::{Duration, Instant};

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A change is promised to be live within 2 s; a busy machine gets some more.
pub(crate) const LIVE_WITHIN: Duration = Duration::from_secs(6);

/// `ErrorInfo.reason`.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// Checks code and reason of a refusal.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, expected: &str) -> Status {
    let status = answer.expect_err("a refusal was expected");
    assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{status:?}");
    status
}

/// Checks that a refusal names exactly these fields.
#[track_caller]
pub(crate) fn violated<T: std::fmt::Debug>(answer: Result<T, Status>, expected: &[&str]) {
    let status = refused(answer, Code::InvalidArgument, "INVALID_FIELD");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, expected, "{}", status.message());
}

/// Checks that a write was refused because of the revision it expected, and that the resource is named.
#[track_caller]
pub(crate) fn stale<T: std::fmt::Debug>(answer: Result<T, Status>, resource: &str) {
    let status = refused(answer, Code::Aborted, "STALE_REVISION");
    let named = status.get_details_resource_info().unwrap().resource_name;
    assert!(named.contains(resource), "{named:?} does not name {resource:?}");
}

/// Asks again and again until there is a value.
pub(crate) async fn eventually<T>(what: &str, patience: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
