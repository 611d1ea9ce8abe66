//! Around every call of every service: its deadline counts from its arrival, a call that is ended from outside gets a
//! status of ours, and each is counted with its status.
//!
//! Tonic enforces `grpc-timeout` as well, but says CANCELLED. So each call is ended a little earlier than that.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use super::counted::{Counted, Watched, counted};
use super::deadline::Deadline;
use super::ending::Ending;
use super::status;
use super::traced::Traced;
use crate::metrics::Calls;

#[derive(Clone)]
pub(super) struct Bounds {
    /// Ends every call that has not been answered.
    pub(super) cut_off: CancellationToken,
    pub(super) calls: Calls,
}

impl<S> Layer<S> for Bounds {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, bounds: self.clone() }
    }
}

#[derive(Clone)]
pub(super) struct Bounded<S> {
    inner: S,
    bounds: Bounds,
}

impl<S> Service<Request<Body>> for Bounded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Counted>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Counted>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let call = self.bounds.calls.begin(request.uri().path());
        let traced = Traced::begin(call.method(), request.headers());
        let deadline = Deadline::of(request.headers(), Instant::now());
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        let ending = Ending::default();
        request.extensions_mut().insert(ending.clone());
        let answer = traced.around(self.inner.call(request));
        let cut_off = self.bounds.cut_off.clone();
        let outside = async move {
            let status = tokio::select! {
                biased;
                status = overdue(deadline) => status,
                () = cut_off.cancelled() => status::shutting_down(),
            };
            ending.set(status)
        };
        Box::pin(async move {
            // In this order: an answer that is there is never thrown away.
            let answer = tokio::select! {
                biased;
                answer = answer => answer?,
                status = outside => status.into_http(),
            };
            Ok(counted(Watched { call, traced }, answer))
        })
    }
}

/// Never, without a deadline.
async fn overdue(deadline: Option<Deadline>) -> Status {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.answer.into()).await,
        None => std::future::pending().await,
    }
    status::deadline("the call was under way")
}
