//! What went wrong in a call to a provider, and whether another target may do better.

use std::time::Duration;

use super::error_class::ErrorClass;
use super::redact::bounded;

/// Longest message of a provider that an error carries, in characters.
pub(super) const MAX_MESSAGE_CHARS: usize = 300;

/// A failed call. No variant holds a prompt or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection: name resolution, refusal, TLS or the connect timeout. The request was not sent.
    #[error("cannot connect: {what}")]
    Connect { what: String },
    /// The connection broke after the request was begun and before the whole answer was there.
    #[error("connection broken: {what}")]
    Broken { what: String },
    /// Nothing usable came within the time given; made by whoever limits the time.
    #[error("no answer after {} ms", after.as_millis())]
    Timeout { after: Duration },
    /// The provider's refusal. `status` is HTTP's, or its equivalent for an error reported inside a begun answer.
    #[error("status {status}: {message}")]
    Status { status: u16, class: ErrorClass, retry_after: Option<Duration>, message: String },
    /// The answer is not of the provider's wire format.
    #[error("malformed answer: {what}")]
    Malformed { what: String },
    /// The stream ended before its end marker.
    #[error("the stream ended before its end marker")]
    Truncated,
    /// The answer, or one event of it, is longer than we read.
    #[error("the answer exceeds {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    /// A target names a provider that is not configured.
    #[error("provider {provider:?} is not configured")]
    Unconfigured { provider: String },
    /// The provider's wire format has no such call.
    #[error("the provider does not answer {what}")]
    Unsupported { what: &'static str },
}

impl Error {
    /// Whether the next target is to be asked: yes, unless the provider found fault with the request itself (a 4xx
    /// other than 408 and 429), which every other target would be likely to find as well.
    pub fn retriable(&self) -> bool {
        match self {
            Self::Status { status: 408 | 429, .. } => true,
            Self::Status { status, .. } => !(400..500).contains(status),
            Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Timeout { .. }
            | Self::Malformed { .. }
            | Self::Truncated
            | Self::TooLarge { .. }
            | Self::Unconfigured { .. }
            | Self::Unsupported { .. } => true,
        }
    }

    /// What may help.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Status { class, .. } => *class,
            Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Timeout { .. }
            | Self::Malformed { .. }
            | Self::Truncated
            | Self::TooLarge { .. } => ErrorClass::Transient,
            // This target cannot serve as it is configured; another one can.
            Self::Unconfigured { .. } | Self::Unsupported { .. } => ErrorClass::UnknownModel,
        }
    }

    /// A word for metrics and attempts that does not change between versions.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Broken { .. } => "broken",
            Self::Timeout { .. } => "timeout",
            Self::Status { status: 429, .. } => "rate_limited",
            Self::Status { .. } => "status",
            Self::Malformed { .. } => "malformed",
            Self::Truncated => "truncated",
            Self::TooLarge { .. } => "too_large",
            Self::Unconfigured { .. } => "unconfigured",
            Self::Unsupported { .. } => "unsupported",
        }
    }

    /// The HTTP status, where there is one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long the provider asks us to stay away.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed { what: what.into() }
    }

    /// From the HTTP client, without the URL: its query may hold a key.
    pub(super) fn from_http(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let what = bounded(&innermost(&error), MAX_MESSAGE_CHARS);
        match error {
            error if error.is_connect() && error.is_timeout() => Self::Connect { what: "connect timeout".to_owned() },
            error if error.is_connect() => Self::Connect { what },
            error if error.is_timeout() => Self::Broken { what: "read timeout".to_owned() },
            _ => Self::Broken { what },
        }
    }
}

/// The innermost cause, which says the most.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Why a provider could not be made from its configuration.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration's faults: path and what is wrong with it.
    #[error("provider {name:?}: {}", listed(faults))]
    Faults { name: String, faults: Vec<(String, String)> },
    #[error("provider {name:?}: environment variable {variable} is not set or empty")]
    KeyMissing { name: String, variable: String },
    #[error("provider {name:?}: cannot read the key file {}", path.display())]
    KeyFile { name: String, path: std::path::PathBuf, source: std::io::Error },
    #[error("provider {name:?}: the key is empty, too long or holds characters that a header cannot carry")]
    KeyUnusable { name: String },
    #[error(
        "provider {name:?}: environment variable {variable} holds a key that is too long or has characters that a header \
        cannot carry"
    )]
    VariableUnusable { name: String, variable: &'static str },
    #[error("provider {name:?}: cannot set up the HTTP client: {what}")]
    Client { name: String, what: String },
}

fn listed(faults: &[(String, String)]) -> String {
    let lines: Vec<String> = faults.iter().map(|(path, what)| format!("{path}: {what}")).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Error {
        let class = ErrorClass::of(status, &serde_json::Value::Null);
        Error::Status { status, class, retry_after: None, message: String::new() }
    }

    #[test]
    fn only_a_refused_request_ends_the_search() {
        for refused in [400, 401, 403, 404, 409, 413, 422] {
            assert!(!status(refused).retriable(), "{refused}");
        }
        for passing in [301, 408, 429, 500, 502, 503, 504, 529] {
            assert!(status(passing).retriable(), "{passing}");
        }
        for other in [Error::Truncated, Error::Timeout { after: Duration::from_secs(1) }, Error::malformed("x")] {
            assert!(other.retriable(), "{other}");
            assert_eq!(other.class(), ErrorClass::Transient, "{other}");
        }
        assert_eq!(Error::Unconfigured { provider: "x".to_owned() }.class(), ErrorClass::UnknownModel);
    }
}
