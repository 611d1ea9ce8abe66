//! The SDK's way out: our HTTP client with its limits. What it fails with is our own error, which `failure` finds
//! again.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Request};

use super::super::endpoint::{eventful, uncompressed};
use super::super::error::Error;
use super::super::http::{self, MAX_BODY_BYTES};
use super::super::stream::MAX_STREAM_BYTES;
use super::frames::Frames;
use crate::telemetry;

/// Where `ConverseStream` posts to; all other answers come whole.
const STREAM_PATH: &str = "/converse-stream";

/// A cheap handle.
#[derive(Debug, Clone)]
pub(in crate::provider) struct Connector(Arc<Wire>);

#[derive(Debug)]
struct Wire {
    client: Client,
    /// Added to each call, after it has been signed.
    headers: HeaderMap,
    /// Calls that nobody answered.
    unanswered: AtomicU64,
}

impl Connector {
    pub(in crate::provider) fn new(client: Client, headers: HeaderMap) -> Self {
        Self(Arc::new(Wire { client, headers, unanswered: AtomicU64::new(0) }))
    }

    /// How many calls nobody has answered so far: no connection, a broken one, or time over.
    pub(super) fn unanswered(&self) -> u64 {
        self.0.unanswered.load(Ordering::Relaxed)
    }

    pub(super) fn within(&self, settings: &HttpConnectorSettings) -> Limited {
        let limits = [settings.connect_timeout(), settings.read_timeout()];
        Limited { wire: Arc::clone(&self.0), limit: limits.into_iter().flatten().reduce(Duration::saturating_add) }
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.within(settings))
    }
}

/// With the SDK's time limits. For calls to Bedrock they are off; whoever looks for credentials has some, since most
/// machines have nobody at the addresses where they may be.
#[derive(Debug)]
pub(super) struct Limited {
    wire: Arc<Wire>,
    /// For connecting and the answer together.
    limit: Option<Duration>,
}

impl HttpConnector for Limited {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (wire, limit) = (Arc::clone(&self.wire), self.limit);
        HttpConnectorFuture::new(async move {
            let exchange = wire.exchange(request);
            let answer = match limit {
                Some(limit) => {
                    tokio::time::timeout(limit, exchange).await.unwrap_or(Err(Error::Timeout { after: limit }))
                }
                None => exchange.await,
            };
            answer.map_err(|error| wire.failed(error))
        })
    }
}

impl Wire {
    /// In the SDK's words, which say whether it is worth while to try again.
    fn failed(&self, error: Error) -> ConnectorError {
        let is_late = matches!(error, Error::Timeout { .. });
        if !is_late && !matches!(error, Error::Connect { .. } | Error::Broken { .. }) {
            return ConnectorError::other(error.into(), None);
        }
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        if is_late { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let request = self.request(request).await?;
        let streams = request.url().path().ends_with(STREAM_PATH);
        let response = self.client.execute(request).await.map_err(Error::from_http)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = if !status.is_success() {
            SdkBody::from(http::error_body(response).await)
        } else if streams {
            let begun = ::http::Response::<reqwest::Body>::from(eventful(uncompressed(response)?)?);
            SdkBody::from_body_1_x(Events::new(begun.into_body()))
        } else {
            SdkBody::from(http::body(uncompressed(response)?, MAX_BODY_BYTES).await?)
        };
        let mut answer = ::http::Response::new(body);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        HttpResponse::try_from(answer).map_err(|_| Error::malformed("a header that is not UTF-8"))
    }

    async fn request(&self, request: HttpRequest) -> Result<Request, Error> {
        let unsendable = |what: &str| Error::Connect { what: format!("the request cannot be sent: {what}") };
        let (mut head, body) = request.try_into_http1x().map_err(|error| unsendable(&error.to_string()))?.into_parts();
        let body = in_memory(body).await.ok_or_else(|| unsendable("its body is a stream"))?;
        for (name, value) in &self.headers {
            head.headers.insert(name, value.clone());
        }
        if let Some(traceparent) = telemetry::traceparent().and_then(|text| HeaderValue::try_from(text).ok()) {
            head.headers.insert(HeaderName::from_static("traceparent"), traceparent);
        }
        Request::try_from(::http::Request::from_parts(head, body)).map_err(Error::from_http)
    }
}

/// The bytes of a body that is no stream, without copying them: a request may hold megabytes of pictures.
async fn in_memory(mut body: SdkBody) -> Option<Bytes> {
    body.bytes()?;
    match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        Some(frame) => frame.ok()?.into_data().ok(),
        None => Some(Bytes::new()),
    }
}

/// The body of a stream, bounded as those of other wire formats are.
pub(super) struct Events {
    body: reqwest::Body,
    frames: Frames,
    read_bytes: usize,
}

impl Events {
    pub(super) fn new(body: reqwest::Body) -> Self {
        Self { body, frames: Frames::default(), read_bytes: 0 }
    }

    fn count(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.read_bytes = self.read_bytes.saturating_add(bytes.len());
        if self.read_bytes > MAX_STREAM_BYTES {
            return Err(Error::TooLarge { limit_bytes: MAX_STREAM_BYTES });
        }
        self.frames.follow(bytes)
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => Err(Error::from_http(error)),
            Some(Ok(frame)) => match frame.data_ref().map(|bytes| self.count(bytes)) {
                Some(Err(error)) => Err(error),
                None | Some(Ok(())) => Ok(frame),
            },
        };
        Poll::Ready(Some(frame))
    }
}
