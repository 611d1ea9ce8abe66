//! Where traces go, which, and how long may be spent on it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tonic::codegen::http::Uri;
use tonic::metadata::{AsciiMetadataKey, KeyAndValueRef, MetadataMap};

/// `[telemetry]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// The OTLP collector, spoken to by gRPC, for example `http://127.0.0.1:4317`. Left out: that of
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`. Neither, or empty: no traces.
    pub otlp_endpoint: Option<String>,
    /// Left out: that of `OTEL_SERVICE_NAME`, or `semroute`.
    pub service_name: Option<String>,
    /// Share of the calls that are traced, 0 to 1; where the caller says whether his trace is recorded, he decides.
    pub sample_ratio: f64,
    /// Longest time for handing one batch over, and for handing the rest over at the end. 1 ms to 1 min.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Sent to the collector with every batch: name of the header, and the environment variable that holds its value.
    pub headers_env: BTreeMap<String, String>,
    /// Whether providers are told the trace (`traceparent`), so that theirs can be joined with ours. Default: they are
    /// not told who calls.
    pub propagate: bool,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            service_name: None,
            sample_ratio: 1.0,
            timeout: Duration::from_secs(5),
            headers_env: BTreeMap::new(),
            propagate: false,
        }
    }
}

const MAX_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_NAME_BYTES: usize = 128;

impl TelemetryConfig {
    /// The collector, if there is one.
    pub(super) fn endpoint(&self) -> Option<&str> {
        self.otlp_endpoint.as_deref().map(str::trim).filter(|endpoint| !endpoint.is_empty())
    }

    pub(super) fn service(&self) -> &str {
        self.service_name.as_deref().unwrap_or("semroute")
    }

    /// Everything that is wrong: field and fault.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut add = |field: &str, what: String| faults.push((field.to_owned(), what));
        if let Some(what) = self.endpoint().and_then(wrong_with) {
            add("otlp_endpoint", what.to_owned());
        }
        if self.service().is_empty() || self.service().len() > MAX_NAME_BYTES {
            add("service_name", format!("is {} bytes long, must be 1 to {MAX_NAME_BYTES}", self.service().len()));
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            add("sample_ratio", format!("is {}, must be from 0 to 1", self.sample_ratio));
        }
        if self.timeout < Duration::from_millis(1) || self.timeout > MAX_TIMEOUT {
            let found = humantime_serde::re::humantime::format_duration(self.timeout);
            add("timeout", format!("is {found}, must be from 1 ms to 1 min"));
        }
        for name in self.headers_env.keys().filter(|name| !can_be_sent(name)) {
            add(&format!("headers_env.{name}"), "is no name of a header that can be set".to_owned());
        }
        faults
    }

    /// The headers with their values, or the name of a header and of the variable that has no value that can be sent.
    pub(super) fn headers(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<MetadataMap, (String, String)> {
        let mut headers = MetadataMap::new();
        for (name, variable) in &self.headers_env {
            let value = env(variable).filter(|value| !value.trim().is_empty());
            let pair = value.and_then(|value| {
                Some((name.to_ascii_lowercase().parse::<AsciiMetadataKey>().ok()?, value.trim().parse().ok()?))
            });
            let Some((key, value)) = pair else { return Err((name.clone(), variable.clone())) };
            headers.insert(key, value);
        }
        Ok(headers)
    }
}

/// Adds what every batch carries.
pub(super) fn add_headers(to: &mut MetadataMap, headers: &MetadataMap) {
    for pair in headers.iter() {
        if let KeyAndValueRef::Ascii(key, value) = pair {
            to.insert(key.clone(), value.clone());
        }
    }
}

fn wrong_with(endpoint: &str) -> Option<&'static str> {
    let Ok(uri) = endpoint.parse::<Uri>() else { return Some("is no URL") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Some("must begin with http:// or https:// and name a host");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Some("must hold no key: see headers_env");
    }
    if uri.query().is_some() || !matches!(uri.path(), "" | "/") {
        return Some("must have neither path nor query: it is spoken to by gRPC");
    }
    None
}

/// Whether a header is the operator's to set: gRPC has its own.
fn can_be_sent(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let reserved = lower.starts_with("grpc-") || lower.ends_with("-bin");
    let own = matches!(lower.as_str(), "te" | "content-type" | "user-agent" | "host" | "connection");
    !reserved && !own && lower.parse::<AsciiMetadataKey>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> TelemetryConfig {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn what_cannot_be_right_is_told_with_its_field() {
        let check = |toml: &str, expected: &[&str]| {
            let faults = read(toml).faults();
            assert_eq!(faults.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(), expected, "{toml}");
        };
        check("", &[]);
        check("otlp_endpoint = ''", &[]);
        check("otlp_endpoint = 'https://collector.example:4317/'\nheaders_env = { Authorization = 'KEY' }", &[]);
        for wrong in
            ["collector:4317", "ftp://c:1", "http://", "http://key@c:1", "http://c:4318/v1/traces", "http://c:1?k=v"]
        {
            check(&format!("otlp_endpoint = '{wrong}'"), &["otlp_endpoint"]);
        }
        check("service_name = ''\nsample_ratio = 1.5\ntimeout = '0s'", &["service_name", "sample_ratio", "timeout"]);
        check("sample_ratio = nan\ntimeout = '2m'", &["sample_ratio", "timeout"]);
        check("headers_env = { 'grpc-timeout' = 'A' }", &["headers_env.grpc-timeout"]);
        check("headers_env = { 'two words' = 'A' }", &["headers_env.two words"]);
        assert!(toml::from_str::<TelemetryConfig>("endpoint = 'x'").is_err());
    }

    #[test]
    fn headers_come_from_the_environment() {
        let config = read("headers_env = { X-Key = 'KEY' }");
        let check = |value: Option<&str>, expected: Option<&str>| {
            let env = |name: &str| value.filter(|_| name == "KEY").map(str::to_owned);
            let headers = config.headers(&env);
            let found = headers.as_ref().ok().and_then(|headers| headers.get("x-key")?.to_str().ok());
            assert_eq!(found, expected, "{value:?}");
            assert_eq!(headers.is_err(), expected.is_none(), "{value:?}");
        };
        check(Some(" secret\n"), Some("secret"));
        check(Some(" "), None);
        check(Some("two\nlines"), None);
        check(None, None);
    }
}
