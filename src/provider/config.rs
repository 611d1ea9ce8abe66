//! A provider as an operator writes it down, and everything that can be wrong with that.
//!
//! Keys are named, never written: the file says which environment variable or file holds the key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::demo::DEMO;

/// Headers that carry a key, which has its own fields, and those that the client sets for each call.
const KEY_HEADERS: [&str; 6] =
    ["authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"];
const OWN_HEADERS: [&str; 7] =
    ["host", "content-length", "content-type", "transfer-encoding", "connection", "accept", "accept-encoding"];
/// Of Bedrock's calls those that are signed begin so, the token of a session among them.
const SIGNED_HEADERS: &str = "x-amz-";
const KEY_QUERIES: [&str; 7] = ["key", "api_key", "api-key", "apikey", "token", "access_token", "subscription-key"];
const MAX_NAME_BYTES: usize = 128;

/// One configured provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// The name by which targets refer to it.
    pub name: String,
    pub kind: Kind,
    /// Up to and including the version, for example `https://api.openai.com/v1`. Default: the kind's official one.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Environment variable that holds the key.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// File that holds the key; white space around it is ignored.
    #[serde(default)]
    pub api_key_file: Option<PathBuf>,
    /// How the key is sent. Default: as the kind's official API wants it; without a key, not at all.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Added to each URL, for example Azure's `api-version`.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Added to each call.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Longest time for name resolution, TCP and TLS together. Default: 2 s.
    #[serde(default = "default_connect_timeout", with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Proxy for all calls to this provider. The environment's proxy variables are not used.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Kind `bedrock` only, where it is required: the AWS region that is called, for example `eu-central-1`. What a
    /// target promises about where it serves is its own `region`.
    #[serde(default)]
    pub region: Option<String>,
    /// Kind `openai` only: the field that limits the output. Default: `max_tokens`.
    #[serde(default)]
    pub max_tokens_field: Option<MaxTokensField>,
    /// Accepted only to be refused with advice. The value is dropped while it is read.
    #[serde(default)]
    pub api_key: Option<IgnoredAny>,
}

/// The wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    OpenAi,
    Anthropic,
    Gemini,
    /// Amazon Bedrock's Converse, in builds with the feature `bedrock`. Without a configured key:
    /// `AWS_BEARER_TOKEN_BEDROCK` or AWS credentials, from where AWS' own tools take them (environment, profile, web
    /// identity, container, instance).
    Bedrock,
    /// Answers typed questions, no chat: for the LLM stage only.
    SystemOne,
    /// Answers by itself that it is a demo.
    Demo,
}

/// How the key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `authorization: Bearer ...`
    Bearer,
    /// In a header of the kind's own: `api-key` (OpenAI on Azure), `x-api-key` (Anthropic), `x-goog-api-key` (Gemini).
    ApiKey,
    /// Not at all.
    None,
}

/// Newer OpenAI models refuse `max_tokens`; most compatible servers know nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    #[default]
    MaxTokens,
    MaxCompletionTokens,
}

impl MaxTokensField {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

impl Kind {
    /// The official API, where there is one.
    pub(super) fn official_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::Anthropic => Some("https://api.anthropic.com/v1"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com/v1beta"),
            Self::SystemOne => Some("https://api.typesafe.ai/v1"),
            // Each region has its own.
            Self::Bedrock | Self::Demo => None,
        }
    }
}

fn default_connect_timeout() -> Duration {
    Duration::from_secs(2)
}

impl ProviderConfig {
    /// A provider with defaults in all but name and kind.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            base_url: None,
            api_key_env: None,
            api_key_file: None,
            auth: None,
            query: BTreeMap::new(),
            headers: BTreeMap::new(),
            connect_timeout: default_connect_timeout(),
            proxy: None,
            region: None,
            max_tokens_field: None,
            api_key: None,
        }
    }

    pub(super) fn has_key(&self) -> bool {
        self.api_key_env.is_some() || self.api_key_file.is_some()
    }

    /// Everything that is wrong: field and fault. No value that may be a secret is repeated.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Faults::default();
        self.check_name(&mut faults);
        self.check_key(&mut faults);
        if let Some(url) = &self.base_url {
            check_url("base_url", url, &mut faults);
        }
        if let Some(url) = &self.proxy {
            check_url("proxy", url, &mut faults);
        }
        self.check_bedrock(&mut faults);
        self.check_headers(&mut faults);
        for name in self.query.keys().filter(|name| KEY_QUERIES.contains(&name.to_ascii_lowercase().as_str())) {
            faults.add(format!("query.{name}"), "a key in a URL ends up in logs; use api_key_env or api_key_file");
        }
        if self.connect_timeout.is_zero() {
            faults.add("connect_timeout", "must be longer than 0 s");
        }
        if self.max_tokens_field.is_some() && self.kind != Kind::OpenAi {
            faults.add("max_tokens_field", "is known to the kind `openai` only");
        }
        if self.kind == Kind::Demo && (self.base_url.is_some() || self.proxy.is_some()) {
            faults.add("kind", "the demo provider calls nobody and takes neither base_url nor proxy");
        }
        faults.0
    }

    fn check_name(&self, faults: &mut Faults) {
        let name = &self.name;
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.trim() != name || name.chars().any(char::is_control) {
            faults.add("name", "must have 1 to 128 bytes, no control characters and no white space at its ends");
        }
        if name == DEMO && self.kind != Kind::Demo {
            faults.add("name", "`demo` is the built-in demo provider's");
        }
    }

    fn check_key(&self, faults: &mut Faults) {
        if self.api_key.is_some() {
            faults.add("api_key", "a key does not belong in the configuration; use api_key_env or api_key_file");
        }
        if self.api_key_env.is_some() && self.api_key_file.is_some() {
            faults.add("api_key_file", "is given beside api_key_env; keep one of them");
        }
        if self.api_key_env.as_deref().is_some_and(|name| !is_variable(name)) {
            faults.add("api_key_env", "must be the name of an environment variable (letters, digits, _), not the key");
        }
        match (self.has_key(), self.auth) {
            (true, Some(Auth::None)) => faults.add("auth", "is none, yet a key is given"),
            (false, Some(Auth::Bearer | Auth::ApiKey)) => {
                faults.add("auth", "asks for a key; give api_key_env or api_key_file");
            }
            (false, None)
                if self.base_url.is_none() && self.kind.official_url().is_some() && self.api_key.is_none() =>
            {
                faults.add("api_key_env", "the official API wants a key: give api_key_env or api_key_file");
            }
            (true, _) if self.kind == Kind::Demo => faults.add("kind", "the demo provider takes no key"),
            _ => {}
        }
    }

    fn check_bedrock(&self, faults: &mut Faults) {
        if self.kind != Kind::Bedrock {
            if self.region.is_some() {
                faults.add("region", "is for kind `bedrock`; where a target serves is said with the target");
            }
            return;
        }
        if !cfg!(feature = "bedrock") {
            let (path, what) = without_bedrock();
            faults.add(path, what);
        }
        match &self.region {
            None => faults.add("region", "is missing: say which AWS region to call, for example eu-central-1"),
            Some(region) if !is_label(region) => faults.add("region", "must be lower-case letters, digits and hyphens"),
            Some(_) => {}
        }
        if matches!(self.auth, Some(Auth::ApiKey | Auth::None)) {
            faults.add("auth", "does not apply: Bedrock takes its own keys as bearer, and AWS credentials");
        }
        if !self.query.is_empty() {
            faults.add("query", "does not apply to Bedrock, whose calls are signed");
        }
        for name in self.headers.keys().filter(|name| name.to_ascii_lowercase().starts_with(SIGNED_HEADERS)) {
            faults
                .add(format!("headers.{}", name.escape_debug()), "belongs to AWS' signature and is set for each call");
        }
    }

    fn check_headers(&self, faults: &mut Faults) {
        for (name, value) in &self.headers {
            let path = format!("headers.{}", name.escape_debug());
            let lower = name.to_ascii_lowercase();
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                faults.add(path.clone(), "is not a header name");
            } else if KEY_HEADERS.contains(&lower.as_str()) {
                faults.add(path.clone(), "carries a key; use api_key_env or api_key_file, and auth");
            } else if OWN_HEADERS.contains(&lower.as_str()) {
                faults.add(path.clone(), "is set for each call and cannot be configured");
            }
            if HeaderValue::from_str(value).is_err() {
                faults.add(path, "the value holds control characters");
            }
        }
    }
}

fn check_url(path: &str, url: &str, faults: &mut Faults) {
    match Url::parse(url) {
        Err(error) => faults.add(path, format!("is not a URL: {error}")),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => faults.add(path, "must begin with https:// or http://"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            faults.add(path, "must not hold a user name or password");
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            faults.add(path, "must end with the path; parameters belong in query");
        }
        Ok(_) => {}
    }
}

/// The fault of a configuration that wants more than this build holds.
pub(super) fn without_bedrock() -> (String, String) {
    let what = "this build is without Bedrock; build it with `cargo build --release --features bedrock`";
    ("kind".to_owned(), what.to_owned())
}

/// Part of a host's name.
fn is_label(text: &str) -> bool {
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 63 && !text.starts_with('-') && text.chars().all(part)
}

fn is_variable(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[derive(Default)]
struct Faults(Vec<(String, String)>);

impl Faults {
    fn add(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.0.push((path.into(), what.into()));
    }
}

#[cfg(test)]
mod tests;
