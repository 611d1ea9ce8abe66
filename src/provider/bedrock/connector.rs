//! The SDK's way out: our HTTP client with its limits. What it fails with is our own error, which `failure` finds again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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
}

impl Connector {
    pub(in crate::provider) fn new(client: Client, headers: HeaderMap) -> Self {
        Self(Arc::new(Wire { client, headers }))
    }
}

impl HttpClient for Connector {
    /// The settings are the SDK's time limits, which are off.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            wire.exchange(request).await.map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl Wire {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let request = self.request(request)?;
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

    fn request(&self, request: HttpRequest) -> Result<Request, Error> {
        let unsendable = |what: &str| Error::Connect { what: format!("the request cannot be sent: {what}") };
        let (mut head, body) = request.try_into_http1x().map_err(|error| unsendable(&error.to_string()))?.into_parts();
        let body = body.bytes().ok_or_else(|| unsendable("its body is a stream"))?.to_vec();
        for (name, value) in &self.headers {
            head.headers.insert(name, value.clone());
        }
        if let Some(traceparent) = telemetry::traceparent().and_then(|text| HeaderValue::try_from(text).ok()) {
            head.headers.insert(HeaderName::from_static("traceparent"), traceparent);
        }
        Request::try_from(::http::Request::from_parts(head, body)).map_err(Error::from_http)
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
