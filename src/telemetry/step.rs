//! The steps of a request as spans of its trace. Whoever takes a step makes the span; attributes that are known only at
//! its end are set then, and cost nothing where nobody traces.

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::Status;
use opentelemetry::{Array, Context, StringValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::codegen::http::HeaderMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Target of the spans that make up a trace. Nothing else has it, so that nothing else is exported.
pub(crate) const STEP: &str = "semroute::step";

/// A span of a trace: `step!("name", field = value)`. Fields are computed only if it is wanted.
macro_rules! step {
    ($name:literal $(, $($fields:tt)*)?) => {
        tracing::info_span!(target: $crate::telemetry::STEP, $name $(, $($fields)*)?)
    };
}
pub(crate) use step;

/// Longest text of an attribute in bytes, where it comes from outside.
const MAX_TEXT_BYTES: usize = 256;

/// Sets an attribute. The name is one of the semantic conventions, or begins with `semroute.`.
pub(crate) fn set(span: &Span, name: &'static str, value: impl Into<Value>) {
    if !span.is_disabled() {
        span.set_attribute(name, bounded(value.into()));
    }
}

/// A list of one word, as conventions want it for what may be several.
pub(crate) fn words(word: &str) -> Value {
    Value::Array(Array::String(vec![StringValue::from(cut(word).to_owned())]))
}

/// The step failed; `kind` is one of few words.
pub(crate) fn failed(span: &Span, kind: &'static str) {
    if !span.is_disabled() {
        span.set_attribute("error.type", kind);
        span.set_status(Status::error(""));
    }
}

/// Makes the span a child of the caller's, if he names it in W3C's `traceparent`. Only before anything happened in it.
pub(crate) fn follow(span: &Span, headers: &HeaderMap) {
    if !span.is_disabled() {
        let caller = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        // It fails only where nobody traces.
        let _ = span.set_parent(caller);
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) if text.as_str().len() > MAX_TEXT_BYTES => Value::from(cut(text.as_str()).to_owned()),
        value => value,
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default()
}
