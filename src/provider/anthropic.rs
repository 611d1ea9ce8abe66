//! Anthropic's Messages API.
//!
//! Its rules differ from ours: the system prompt stands beside the messages, roles alternate, `max_tokens` is required.

use std::collections::VecDeque;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::endpoint::Endpoint;
use super::error::Error;
use super::error_class::ErrorClass;
use super::redact::Redactor;
use super::request::{ChatRequest, Completion, FinishReason, StreamItem, Usage};
use super::sse::Event;
use super::stream::{self, Decoder};
use super::wire::{self, decimal, set};
use super::{CompletionStream, Provider};
use crate::prompt::Role;

/// Sent when the request sets no limit; every model of the API allows it.
const DEFAULT_MAX_TOKENS: u32 = 4096;
const VERSION: &str = "2023-06-01";

pub(super) struct Anthropic {
    endpoint: Endpoint,
}

impl Anthropic {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint: endpoint.with_header("anthropic-version", VERSION) }
    }

    fn url(&self) -> reqwest::Url {
        self.endpoint.url(["messages"])
    }
}

#[async_trait]
impl Provider for Anthropic {
    async fn complete(&self, model: &str, request: &ChatRequest) -> Result<Completion, Error> {
        let answer = self.endpoint.post(self.url(), &body(model, request, false), request).await?;
        completion(&answer, &self.endpoint.redactor(request))
    }

    async fn stream(&self, model: &str, request: &ChatRequest) -> Result<CompletionStream, Error> {
        let response = self.endpoint.post_for_events(self.url(), &body(model, request, true), request).await?;
        Ok(stream::items(response, Events::new(self.endpoint.redactor(request))))
    }
}

fn body(model: &str, request: &ChatRequest, stream: bool) -> Value {
    let (system, turns) = turns(request);
    let turns = turns.into_iter().map(|(role, content)| json!({"role": role, "content": content}));
    let mut body = Map::new();
    set(&mut body, "model", Some(model));
    set(&mut body, "max_tokens", Some(request.max_output_tokens.unwrap_or(DEFAULT_MAX_TOKENS)));
    set(&mut body, "system", (!system.is_empty()).then_some(system));
    set(&mut body, "messages", Some(turns.collect::<Value>()));
    set(&mut body, "temperature", request.temperature.and_then(decimal));
    set(&mut body, "top_p", request.top_p.and_then(decimal));
    set(&mut body, "stop_sequences", (!request.stop.is_empty()).then(|| request.stop.clone()));
    set(
        &mut body,
        "output_config",
        request
            .response_schema
            .as_ref()
            .map(|schema| json!({"format": {"type": "json_schema", "schema": schema.schema}})),
    );
    set(&mut body, "stream", stream.then_some(true));
    wire::merge(&mut body, &request.extra);
    Value::Object(body)
}

/// The system prompt and the turns: empty ones left out, since the API refuses them, and neighbours of one role joined.
fn turns(request: &ChatRequest) -> (String, Vec<(&'static str, String)>) {
    let mut system: Vec<&str> = Vec::new();
    let mut turns: Vec<(&'static str, String)> = Vec::new();
    for message in request.messages.iter().filter(|message| !message.text.trim().is_empty()) {
        let role = match message.role {
            Role::System => {
                system.push(&message.text);
                continue;
            }
            // A tool's turn would have to name the call that it answers, which messages do not carry yet.
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        match turns.last_mut() {
            Some((last, content)) if *last == role => {
                content.push_str("\n\n");
                content.push_str(&message.text);
            }
            _ => turns.push((role, message.text.clone())),
        }
    }
    (system.join("\n\n"), turns)
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    content: Vec<Block>,
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Counts,
    model: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    /// Thinking, tool calls and kinds to come.
    #[serde(other)]
    Other,
}

/// In a stream the counts come in two events, each with some of the fields.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Counts {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl Counts {
    fn update(&mut self, newer: Self) {
        self.input_tokens = newer.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = newer.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = newer.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = newer.output_tokens.or(self.output_tokens);
    }

    /// `input_tokens` alone leaves out what went through the prompt cache.
    fn usage(&self) -> Option<Usage> {
        let input = [self.input_tokens, self.cache_creation_input_tokens, self.cache_read_input_tokens];
        let input_tokens = input.into_iter().flatten().fold(0, u64::saturating_add);
        let reported = self.input_tokens.is_some() || self.output_tokens.is_some();
        reported.then(|| Usage::new(input_tokens, self.output_tokens.unwrap_or(0)))
    }
}

#[derive(Deserialize)]
struct Reported {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    message: String,
}

impl Reported {
    /// The statuses that the API documents for its error types.
    fn error(&self, redactor: &Redactor) -> Error {
        let status = match self.kind.as_str() {
            "invalid_request_error" => 400,
            "authentication_error" => 401,
            "billing_error" => 402,
            "permission_error" => 403,
            "not_found_error" => 404,
            "request_too_large" => 413,
            "rate_limit_error" => 429,
            "timeout_error" => 504,
            "overloaded_error" => 529,
            _ => 500,
        };
        let said = json!({"type": self.kind, "message": self.message});
        let (class, message) = (ErrorClass::of(status, &said), redactor.clean(&self.message));
        Error::Status { status, class, retry_after: None, message }
    }
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "refusal" => FinishReason::ContentFilter,
        "tool_use" => FinishReason::ToolCalls,
        other => FinishReason::Other(wire::word(other)),
    }
}

fn completion(answer: &[u8], redactor: &Redactor) -> Result<Completion, Error> {
    #[derive(Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Whole {
        Message(Answer),
        Error { error: Reported },
    }
    let answer = match wire::read::<Whole>(answer)? {
        Whole::Message(answer) => answer,
        Whole::Error { error } => return Err(error.error(redactor)),
    };
    let texts = answer.content.into_iter().filter_map(|block| match block {
        Block::Text { text } => Some(text),
        Block::Other => None,
    });
    Ok(Completion {
        text: texts.collect(),
        finish: answer.stop_reason.as_deref().map_or_else(wire::unreported, finish_reason),
        usage: answer.usage.usage(),
        model: answer.model.as_deref().map(wire::word),
    })
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    MessageStart {
        message: Answer,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        delta: Stopped,
        #[serde(default)]
        usage: Counts,
    },
    MessageStop,
    Error {
        error: Reported,
    },
    /// `ping`, block starts and stops, and events to come.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    TextDelta {
        text: String,
    },
    /// Thinking, signatures, a tool's JSON and kinds to come.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Stopped {
    stop_reason: Option<String>,
}

/// Collects what the events of a stream say besides text.
struct Events {
    redactor: Redactor,
    finish: Option<FinishReason>,
    counts: Counts,
    model: Option<String>,
}

impl Events {
    fn new(redactor: Redactor) -> Self {
        Self { redactor, finish: None, counts: Counts::default(), model: None }
    }
}

impl Decoder for Events {
    fn decode(&mut self, event: &Event, items: &mut VecDeque<StreamItem>) -> Result<(), Error> {
        // The type in the data says the same as the event's name, and survives proxies that drop the name.
        match wire::read::<Said>(event.data.as_bytes())? {
            Said::MessageStart { message } => {
                self.model = message.model.as_deref().map(wire::word);
                self.counts.update(message.usage);
            }
            Said::ContentBlockDelta { delta: Delta::TextDelta { text } } if !text.is_empty() => {
                items.push_back(StreamItem::Text(text));
            }
            Said::ContentBlockDelta { .. } | Said::Other => {}
            Said::MessageDelta { delta, usage } => {
                self.finish = delta.stop_reason.as_deref().map(finish_reason).or(self.finish.take());
                self.counts.update(usage);
            }
            Said::MessageStop => items.push_back(StreamItem::End {
                finish: self.finish.take().unwrap_or_else(wire::unreported),
                usage: self.counts.usage(),
                model: self.model.take(),
            }),
            Said::Error { error } => return Err(error.error(&self.redactor)),
        }
        Ok(())
    }

    fn end(&mut self) -> Option<StreamItem> {
        None
    }
}

#[cfg(test)]
mod tests;
