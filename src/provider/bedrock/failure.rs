//! The SDK's errors in our words.

use std::error::Error as StdError;
use std::iter::successors;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::event_stream::{Message, RawMessage};
use serde_json::{Value, json};

use super::super::error::{Error, MAX_MESSAGE_CHARS, innermost};
use super::super::error_body;
use super::super::error_class::ErrorClass;
use super::super::http;
use super::super::redact::{Redactor, bounded};
use super::super::wire;

/// From here on AWS repeats what was signed, a session's token among it, if a signature is wrong.
const SIGNED: &str = "The Canonical String";

type StreamError = SdkError<ConverseStreamOutputError, RawMessage>;

/// Of a call that has not begun to be answered with success. A stream has not before its first event has come, for
/// which the SDK waits.
pub(super) fn failure<E>(error: SdkError<E, HttpResponse>, redactor: &Redactor) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    if let Some(known) = known(&error) {
        return known;
    }
    if let Some(first_event) = causes(&error).find_map(|cause| cause.downcast_ref::<StreamError>()) {
        return stream_failure(first_event, redactor);
    }
    match &error {
        SdkError::ServiceError(refusal) => refused(refusal.raw(), refusal.err().code(), redactor),
        SdkError::ResponseError(answer) => unlike(answer.raw()),
        error => Error::Connect { what: bounded(&innermost(error), MAX_MESSAGE_CHARS) },
    }
}

/// Of a stream that has begun.
pub(super) fn stream_failure(error: &StreamError, redactor: &Redactor) -> Error {
    if let Some(known) = known(error) {
        return known;
    }
    match error.raw_response() {
        Some(RawMessage::Decoded(message)) => reported(message, redactor),
        // What was left when the bytes ended, where a damaged frame comes without its bytes.
        Some(RawMessage::Invalid(Some(_))) => Error::Truncated,
        _ => Error::malformed("a damaged frame"),
    }
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// What the connector said, or whoever looked for credentials, from within the SDK's wrappings.
fn known(error: &(dyn StdError + 'static)) -> Option<Error> {
    causes(error).find_map(|error| {
        let of_credentials = || error.downcast_ref::<CredentialsError>().map(without_credentials);
        error.downcast_ref::<Error>().cloned().or_else(of_credentials)
    })
}

/// Nothing has been sent. Where there are no credentials, no call will succeed until somebody acts.
fn without_credentials(error: &CredentialsError) -> Error {
    let what = bounded(&format!("AWS credentials: {error}: {}", innermost(error)), MAX_MESSAGE_CHARS);
    match error {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => Error::Status {
            status: 401,
            class: ErrorClass::Authentication,
            retry_after: None,
            message: format!("not sent: {what}"),
        },
        _ => Error::Connect { what },
    }
}

fn refused(answer: &HttpResponse, code: Option<&str>, redactor: &Redactor) -> Error {
    let status = answer.status().as_u16();
    if answer.status().is_success() {
        return unlike(answer);
    }
    let said = error_body::message(answer.body().bytes().unwrap_or_default());
    let retry_after = http::retry_after_in(&|name| answer.headers().get(name));
    let (class, message) = judged(status, code, &said, redactor);
    Error::Status { status, class, retry_after, message }
}

/// What follows from an exception, and its words as far as they may be shown.
fn judged(status: u16, code: Option<&str>, said: &str, redactor: &Redactor) -> (ErrorClass, String) {
    let class = ErrorClass::of(status, &json!({"code": code, "message": said}));
    let shown = said.split(SIGNED).next().unwrap_or_default();
    let named = code.map(|code| format!("{}: {shown}", wire::word(code)));
    (class, redactor.clean(named.as_deref().unwrap_or(shown)))
}

/// A success that the SDK cannot read.
fn unlike(answer: &HttpResponse) -> Error {
    let body = answer.body().bytes().unwrap_or_default();
    wire::read::<Value>(body).err().unwrap_or_else(|| Error::malformed("JSON of another form"))
}

/// An exception instead of an event.
fn reported(message: &Message, redactor: &Redactor) -> Error {
    let header = |name: &str| {
        let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
        found.value().as_string().ok().map(|text| text.as_str())
    };
    let (code, said) = match header(":message-type") {
        Some("exception") => (header(":exception-type"), error_body::message(message.payload())),
        Some("error") => (header(":error-code"), header(":error-message").unwrap_or_default().to_owned()),
        _ => return Error::malformed("an event of another form"),
    };
    let status = status_of(code.unwrap_or_default());
    let (class, message) = judged(status, code, &said, redactor);
    Error::Status { status, class, retry_after: None, message }
}

/// The statuses that the API documents for its exceptions.
fn status_of(exception: &str) -> u16 {
    match exception.to_ascii_lowercase().as_str() {
        "validationexception" => 400,
        "accessdeniedexception" => 403,
        "resourcenotfoundexception" => 404,
        "modeltimeoutexception" => 408,
        "modelerrorexception" | "modelstreamerrorexception" => 424,
        "throttlingexception" | "modelnotreadyexception" => 429,
        "serviceunavailableexception" => 503,
        _ => 500,
    }
}
