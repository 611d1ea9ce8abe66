//! A call as the root of a trace: its span begins with its arrival and ends with the last byte of its answer.
//!
//! Attributes: <https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>.

use std::future::Future;

use tonic::Code;
use tonic::codegen::http::HeaderMap;
use tracing::{Instrument, Span};

use crate::routing::Plan;
use crate::telemetry::{failed, follow, request_id, request_span, set, step};

/// Dropped before its end, its caller has gone.
pub(super) struct Traced {
    /// Seen by the trace; none for health, reflection and what is no method of ours.
    call: Span,
    /// Seen by the logs.
    request: Span,
    ended: bool,
}

impl Traced {
    pub(super) fn begin(method: Option<&str>, headers: &HeaderMap) -> Self {
        let call = method.map_or_else(Span::none, |method| {
            let (service, name) = method.split_once('/').unwrap_or(("", method));
            step!(
                "call",
                otel.name = method,
                otel.kind = "server",
                rpc.system = "grpc",
                rpc.service = service,
                rpc.method = name
            )
        });
        follow(&call, headers);
        if let Some(id) = request_id(headers).filter(|_| !call.is_disabled()) {
            set(&call, "semroute.request.id", id.to_owned());
        }
        Self { call, request: request_span(headers), ended: false }
    }

    /// What is done for the call: its log lines carry the request's ids, its steps belong to the trace.
    pub(super) fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.instrument(self.request.clone()).instrument(self.call.clone())
    }

    /// With the number of a gRPC code, as text.
    pub(super) fn ended(&mut self, code: &[u8]) {
        self.ended = true;
        if self.call.is_disabled() {
            return;
        }
        let code = Code::from_bytes(code);
        set(&self.call, "rpc.grpc.status_code", i64::from(i32::from(code)));
        if let Some(kind) = our_failure(code) {
            failed(&self.call, kind);
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if !self.ended {
            self.ended(b"1");
        }
    }
}

/// The codes that the conventions count as errors of a server; the others are the caller's.
fn our_failure(code: Code) -> Option<&'static str> {
    match code {
        Code::Unknown => Some("UNKNOWN"),
        Code::DeadlineExceeded => Some("DEADLINE_EXCEEDED"),
        Code::Unimplemented => Some("UNIMPLEMENTED"),
        Code::Internal => Some("INTERNAL"),
        Code::Unavailable => Some("UNAVAILABLE"),
        Code::DataLoss => Some("DATA_LOSS"),
        _ => None,
    }
}

/// Planning as a step of the trace.
pub(super) fn planned(plan: impl FnOnce() -> Plan) -> Plan {
    let span = step!("plan");
    let plan = span.in_scope(plan);
    set(&span, "semroute.plan.targets", i64::try_from(plan.targets().len()).unwrap_or(i64::MAX));
    set(&span, "semroute.plan.refused", i64::try_from(plan.refused().len()).unwrap_or(i64::MAX));
    plan
}
