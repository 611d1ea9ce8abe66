//! Around every call: who makes it, and whether he may. What is refused here has cost no more than a look into a table.
//!
//! The caller is found among the request's extensions behind here. A call does not outlive the key that it was made
//! with.

use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, header};
use tower::{Layer, Service};

use super::access::{Access, access};
use super::ending::Ending;
use super::status;
use crate::govern::{AuthMode, Caller, Keys};

#[derive(Clone)]
pub(super) struct Auth(pub(super) Keys);

impl<S> Layer<S> for Auth {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { inner, auth: self.clone() }
    }
}

#[derive(Clone)]
pub(super) struct Authenticated<S> {
    inner: S,
    auth: Auth,
}

impl Auth {
    fn admit(&self, request: &Request<Body>) -> Result<Caller, Status> {
        let asked = self.0.config().mode == AuthMode::Required;
        let needed = if asked { access(request.uri().path()) } else { Access::Open };
        if needed == Access::Open {
            return Ok(Caller::anyone());
        }
        let mut sent = request.headers().get_all(header::AUTHORIZATION).iter();
        let caller = match (sent.next(), sent.next()) {
            // Which of two keys was meant is not for us to guess.
            (Some(_), Some(_)) => self.0.authenticate(Some(b"")),
            (sent, _) => self.0.authenticate(sent.map(|value| value.as_bytes())),
        };
        let caller = caller.map_err(status::unauthenticated)?;
        let allowed = match needed {
            Access::Open => Ok(()),
            Access::Routing => caller.check_routing(),
            Access::Role(role) => caller.check_role(role),
        };
        allowed.inspect_err(|_| self.0.ledger().counts().forbidden()).map_err(|why| status::forbidden(&why))?;
        Ok(caller)
    }
}

impl<S> Service<Request<Body>> for Authenticated<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let caller = match self.auth.admit(&request) {
            Ok(caller) => caller,
            Err(status) => return Box::pin(async move { Ok(status.into_http()) }),
        };
        request.extensions_mut().insert(caller.clone());
        let ending = Ending::of(request.extensions());
        let answer = self.inner.call(request);
        let key_ended = async move { ending.set(status::unauthenticated(caller.ended().await)) };
        Box::pin(async move {
            tokio::select! {
                biased;
                answer = answer => answer,
                status = key_ended => Ok(status.into_http()),
            }
        })
    }
}
