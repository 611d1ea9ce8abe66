//! A provider whose calls are steps of a trace, one client span each, whoever makes them and however they end: dropped
//! in the middle counts as `cancelled`.
//!
//! Attributes: <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>. Its events, which hold prompts and
//! answers, are not made.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures_util::Stream;
use reqwest::Url;
use tracing::{Instrument, Span};

use super::answer::{Completion, FinishReason, StreamItem};
use super::config::{Kind, ProviderConfig};
use super::error::Error;
use super::request::{ChatRequest, Choice, ChoiceQuestion, Usage};
use super::{CompletionStream, Provider};
use crate::telemetry::{failed, set, step, words};

pub(super) struct Traced {
    provider: Arc<dyn Provider>,
    place: Place,
}

/// What is the same for all calls to a provider.
struct Place {
    /// A well-known name, or the configured one.
    provider: String,
    operation: &'static str,
    address: Option<String>,
    port: Option<u16>,
}

impl Place {
    fn of(config: &ProviderConfig) -> Self {
        let (provider, operation) = match config.kind {
            Kind::OpenAi => ("openai", "chat"),
            Kind::Anthropic => ("anthropic", "chat"),
            Kind::Gemini => ("gcp.gemini", "generate_content"),
            Kind::Bedrock => ("aws.bedrock", "chat"),
            Kind::SystemOne | Kind::Demo => (config.name.as_str(), "chat"),
        };
        let of_region = || config.region.as_deref().filter(|_| config.kind == Kind::Bedrock).map(regional_url);
        let given = config.base_url.as_deref().or(config.kind.official_url()).map(str::to_owned);
        let url = given.or_else(of_region).and_then(|url| Url::parse(&url).ok());
        Self {
            provider: provider.to_owned(),
            operation,
            address: url.as_ref().and_then(Url::host_str).map(str::to_owned),
            port: url.as_ref().and_then(Url::port_or_known_default),
        }
    }

    fn call(&self, model: &str) -> Call {
        Call {
            span: step!(
                "provider",
                otel.name = format!("{} {model}", self.operation),
                otel.kind = "client",
                gen_ai.operation.name = self.operation,
                gen_ai.provider.name = self.provider,
                gen_ai.request.model = model,
                server.address = self.address,
                server.port = self.port,
            ),
            ended: false,
        }
    }
}

impl Traced {
    pub(super) fn new(provider: Arc<dyn Provider>, config: &ProviderConfig) -> Self {
        Self { provider, place: Place::of(config) }
    }
}

/// Where the SDK calls Bedrock, by the partitions' own domains
/// (<https://docs.aws.amazon.com/general/latest/gr/bedrock.html>).
fn regional_url(region: &str) -> String {
    let domain = match region {
        region if region.starts_with("cn-") => "amazonaws.com.cn",
        region if region.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    };
    format!("https://bedrock-runtime.{region}.{domain}")
}

#[async_trait]
impl Provider for Traced {
    async fn complete(&self, model: &str, request: &Arc<ChatRequest>) -> Result<Completion, Error> {
        let mut call = self.place.call(model);
        let result = self.provider.complete(model, request).instrument(call.span.clone()).await;
        match &result {
            Ok(answer) => call.answered(&answer.finish, answer.usage, answer.model.as_deref()),
            Err(error) => call.failed(error),
        }
        result
    }

    async fn stream(&self, model: &str, request: &Arc<ChatRequest>) -> Result<CompletionStream, Error> {
        let mut call = self.place.call(model);
        match self.provider.stream(model, request).instrument(call.span.clone()).await {
            Ok(items) => Ok(Box::pin(Items { items, call })),
            Err(error) => {
                call.failed(&error);
                Err(error)
            }
        }
    }

    fn takes_typed_questions(&self) -> bool {
        self.provider.takes_typed_questions()
    }

    async fn choose(&self, model: &str, question: &ChoiceQuestion) -> Result<Choice, Error> {
        let mut call = self.place.call(model);
        let result = self.provider.choose(model, question).instrument(call.span.clone()).await;
        match &result {
            Ok(choice) => call.answered(&FinishReason::Stop, choice.usage, choice.model.as_deref()),
            Err(error) => call.failed(error),
        }
        result
    }
}

/// One call under way.
struct Call {
    span: Span,
    ended: bool,
}

impl Call {
    fn answered(&mut self, finish: &FinishReason, usage: Option<Usage>, model: Option<&str>) {
        self.ended = true;
        if self.span.is_disabled() {
            return;
        }
        set(&self.span, "gen_ai.response.finish_reasons", words(word(finish)));
        if let Some(model) = model {
            set(&self.span, "gen_ai.response.model", model.to_owned());
        }
        let Some(usage) = usage else { return };
        let counts = [
            ("gen_ai.usage.input_tokens", usage.input_tokens),
            ("gen_ai.usage.output_tokens", usage.output_tokens),
            ("gen_ai.usage.cache_read.input_tokens", usage.cached_input_tokens),
            ("gen_ai.usage.cache_creation.input_tokens", usage.cache_write_tokens),
        ];
        for (at, (name, tokens)) in counts.into_iter().enumerate() {
            // Of caches only what there was.
            if at < 2 || tokens > 0 {
                set(&self.span, name, i64::try_from(tokens).unwrap_or(i64::MAX));
            }
        }
    }

    fn failed(&mut self, error: &Error) {
        self.ended = true;
        failed(&self.span, error.kind());
        if let Some(status) = error.status() {
            set(&self.span, "http.response.status_code", i64::from(status));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            failed(&self.span, "cancelled");
        }
    }
}

fn word(finish: &FinishReason) -> &str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Other(word) => word,
    }
}

/// A stream whose call ends with its last item.
struct Items {
    items: CompletionStream,
    call: Call,
}

impl Stream for Items {
    type Item = Result<StreamItem, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { items, call } = &mut *self;
        let item = ready!(call.span.in_scope(|| items.as_mut().poll_next(cx)));
        match &item {
            Some(Ok(StreamItem::End { finish, usage, model, .. })) => call.answered(finish, *usage, model.as_deref()),
            Some(Ok(_)) => {}
            Some(Err(error)) => call.failed(error),
            None if call.ended => {}
            None => call.failed(&Error::Truncated),
        }
        Poll::Ready(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_where_the_calls_go() {
        let check = |config: ProviderConfig, address: Option<&str>, port: Option<u16>| {
            let place = Place::of(&config);
            assert_eq!((place.address.as_deref(), place.port), (address, port));
        };
        let bedrock = |region: &str, base_url: Option<&str>| ProviderConfig {
            region: Some(region.to_owned()),
            base_url: base_url.map(str::to_owned),
            ..ProviderConfig::new("a", Kind::Bedrock)
        };
        check(ProviderConfig::new("a", Kind::Anthropic), Some("api.anthropic.com"), Some(443));
        check(bedrock("eu-central-1", None), Some("bedrock-runtime.eu-central-1.amazonaws.com"), Some(443));
        check(bedrock("cn-north-1", None), Some("bedrock-runtime.cn-north-1.amazonaws.com.cn"), Some(443));
        check(bedrock("eu-central-1", Some("http://127.0.0.1:8080/a")), Some("127.0.0.1"), Some(8080));
        check(ProviderConfig::new("a", Kind::Demo), None, None);
    }
}
