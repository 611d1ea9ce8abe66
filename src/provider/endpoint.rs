//! One provider's address with its client, headers and key: posts a body, answers with facts.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, Url};
use serde_json::Value;

use super::error::Error;
use super::error_body;
use super::error_class::ErrorClass;
use super::http::{self, MAX_BODY_BYTES};
use super::redact::Redactor;
use super::request::ChatRequest;
use super::secret::Secret;
use crate::telemetry;

/// Where and how a provider is reached. Made by `config`, which has checked every part.
pub(super) struct Endpoint {
    pub(super) client: Client,
    /// Without query and fragment.
    pub(super) base: Url,
    /// Appended to each URL, for example Azure's `api-version`.
    pub(super) query: BTreeMap<String, String>,
    /// Sent with every call, the key's header included.
    pub(super) headers: HeaderMap,
    pub(super) key: Option<Secret>,
}

impl Endpoint {
    /// The base URL with segments added, each escaped, so that a model's name cannot lead to another path.
    pub(super) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        // Fails only for URLs such as `mailto:`, which the configuration refuses.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    /// A header that the wire format wants, unless the configuration has set it.
    pub(super) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
        self
    }

    pub(super) fn redactor(&self, request: &Arc<ChatRequest>) -> Redactor {
        Redactor::new(self.key.as_ref(), request)
    }

    /// Posts `body` and reads the whole answer.
    pub(super) async fn post(&self, url: Url, body: &Value, redactor: &Redactor) -> Result<Vec<u8>, Error> {
        let response = self.send(url, body, "application/json", redactor).await?;
        http::body(response, MAX_BODY_BYTES).await
    }

    /// Posts `body` and returns once a stream of events has begun.
    pub(super) async fn post_for_events(&self, url: Url, body: &Value, redactor: &Redactor) -> Result<Response, Error> {
        let response = self.send(url, body, "text/event-stream", redactor).await?;
        eventful(response)
    }

    async fn send(&self, url: Url, body: &Value, accept: &'static str, redactor: &Redactor) -> Result<Response, Error> {
        let mut call = self.client.post(url).headers(self.headers.clone()).header(ACCEPT, accept).json(body);
        if let Some(traceparent) = telemetry::traceparent() {
            call = call.header("traceparent", traceparent);
        }
        let response = call.send().await.map_err(Error::from_http)?;
        let status = response.status();
        if status.is_success() {
            return uncompressed(response);
        }
        let retry_after = http::retry_after(response.headers());
        let body = http::error_body(response).await;
        let message = redactor.clean(&error_body::message(&body));
        let said = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into());
        let class = ErrorClass::of(status.as_u16(), &said);
        Err(Error::Status { status: status.as_u16(), class, retry_after, message })
    }
}

/// A page or a whole answer would be read as a stream without events; this says it better. Servers that name no type,
/// or one of their own, are given the benefit of the doubt.
pub(super) fn eventful(response: Response) -> Result<Response, Error> {
    match response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
        Some(kind) if kind.starts_with(b"text/html") => Err(Error::malformed("an HTML page, not a stream of events")),
        Some(kind) if kind.starts_with(b"application/json") => {
            Err(Error::malformed("one JSON document, not a stream of events"))
        }
        _ => Ok(response),
    }
}

/// Nothing compressed is asked for, and nothing is decompressed, so that no small answer becomes a large one.
pub(super) fn uncompressed(response: Response) -> Result<Response, Error> {
    match response.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(response),
        Some(_) => Err(Error::malformed("compressed, which was not asked for")),
    }
}
