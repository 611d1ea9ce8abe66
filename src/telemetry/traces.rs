//! From ended steps to the queue of what is to be exported: never waits, and counts what finds no room.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

use super::config::TelemetryConfig;
use super::export::{Collector, Export};
use super::losses::LossCounts;
use super::resource::resource;

/// Spans that wait for the collector; one more is lost. About 1 KiB each.
const QUEUE_SPANS: usize = 8_192;

/// Attributes of a span; ours have less than 30.
const MAX_ATTRIBUTES: u32 = 64;

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("telemetry.headers_env.{header}: environment variable {variable} is not set, empty, or no header's value")]
    Header { header: String, variable: String },
}

/// Makes traces. What is to be exported comes out of its [`Export`].
#[derive(Debug)]
pub struct Traces {
    tracer: SdkTracer,
    propagate: bool,
}

impl Traces {
    /// `None` if no collector is configured. Keys are read from `env`; nothing is called yet.
    pub fn new(
        config: &TelemetryConfig,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<(Self, Export)>, TelemetryError> {
        let Some(endpoint) = config.endpoint() else { return Ok(None) };
        let headers = config.headers(env);
        let headers = headers.map_err(|(header, variable)| TelemetryError::Header { header, variable })?;
        let resource = resource(config.service());
        let collector = Collector { endpoint: endpoint.to_owned(), timeout: config.timeout, headers };
        let losses = Arc::new(LossCounts::default());
        let (sender, spans) = mpsc::channel(QUEUE_SPANS);
        let export = Export::new(spans, collector, &resource, Arc::clone(&losses));
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio))))
            .with_max_attributes_per_span(MAX_ATTRIBUTES)
            .with_resource(resource)
            .with_span_processor(Queue { sender, losses })
            .build();
        Ok(Some((Self { tracer: provider.tracer("semroute"), propagate: config.propagate }, export)))
    }

    pub(super) fn propagates(&self) -> bool {
        self.propagate
    }

    pub(super) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            // The parent of a step is the step around it; nothing here speaks to OpenTelemetry but by way of `tracing`.
            .with_context_activation(false)
    }
}

#[derive(Debug)]
struct Queue {
    sender: mpsc::Sender<SpanData>,
    losses: Arc<LossCounts>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _within: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.sender.try_send(span).is_err() {
            self.losses.overflow();
        }
    }

    /// The export has its own end: see [`Export::run`].
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
