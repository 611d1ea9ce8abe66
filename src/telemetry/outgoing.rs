//! What providers are told of the trace: nothing, unless the configuration says otherwise.

use opentelemetry::trace::TraceContextExt;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;

/// Sees nothing and does nothing: that it is among the layers says that providers are told.
pub(super) struct Propagation;

impl<S: Subscriber> Layer<S> for Propagation {}

/// The current step in the form of W3C Trace Context, version 00, for a call that is part of it.
pub(crate) fn traceparent() -> Option<String> {
    let span = Span::current();
    let told = span.with_subscriber(|(_, dispatch)| dispatch.downcast_ref::<Propagation>().is_some());
    if told != Some(true) {
        return None;
    }
    let within = span.context();
    let span = within.span();
    let step = span.span_context();
    step.is_valid().then(|| format!("00-{}-{}-{:02x}", step.trace_id(), step.span_id(), step.trace_flags().to_u8()))
}
