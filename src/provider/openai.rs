//! OpenAI's chat completions, which Azure, Mistral, Together, Groq, vLLM, Ollama and llama.cpp speak as well.
//!
//! Readers are lenient where these servers differ: content as text or parts, usage or model absent, no `[DONE]`.

use std::collections::VecDeque;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::config::MaxTokensField;
use super::endpoint::Endpoint;
use super::error::Error;
use super::error_body;
use super::error_class::ErrorClass;
use super::redact::Redactor;
use super::request::{ChatRequest, Completion, FinishReason, StreamItem, Usage};
use super::sse::Event;
use super::stream::{self, Decoder};
use super::wire::{self, decimal, set};
use super::{CompletionStream, Provider};
use crate::prompt::Role;

pub(super) struct OpenAi {
    pub(super) endpoint: Endpoint,
    pub(super) max_tokens_field: MaxTokensField,
}

#[async_trait]
impl Provider for OpenAi {
    async fn complete(&self, model: &str, request: &ChatRequest) -> Result<Completion, Error> {
        let body = body(model, request, self.max_tokens_field, false);
        let answer = self.endpoint.post(self.url(), &body, request).await?;
        completion(&answer, &self.endpoint.redactor(request))
    }

    async fn stream(&self, model: &str, request: &ChatRequest) -> Result<CompletionStream, Error> {
        let body = body(model, request, self.max_tokens_field, true);
        let response = self.endpoint.post_for_events(self.url(), &body, request).await?;
        Ok(stream::items(response, Chunks::new(self.endpoint.redactor(request))))
    }
}

impl OpenAi {
    fn url(&self) -> reqwest::Url {
        self.endpoint.url(["chat", "completions"])
    }
}

fn body(model: &str, request: &ChatRequest, max_tokens_field: MaxTokensField, stream: bool) -> Value {
    let messages = request.messages.iter().map(|message| {
        let role = match message.role {
            Role::System => "system",
            // A tool's turn would have to name the call that it answers, which messages do not carry yet.
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        json!({"role": role, "content": message.text})
    });
    let mut body = Map::new();
    set(&mut body, "model", Some(model));
    set(&mut body, "messages", Some(messages.collect::<Value>()));
    set(&mut body, max_tokens_field.name(), request.max_output_tokens);
    set(&mut body, "temperature", request.temperature.and_then(decimal));
    set(&mut body, "top_p", request.top_p.and_then(decimal));
    set(&mut body, "stop", (!request.stop.is_empty()).then(|| request.stop.clone()));
    set(&mut body, "seed", request.seed);
    set(
        &mut body,
        "response_format",
        request.response_schema.as_ref().map(|schema| {
            json!({
                "type": "json_schema",
                "json_schema": {"name": schema.name, "schema": schema.schema, "strict": true},
            })
        }),
    );
    if stream {
        set(&mut body, "stream", Some(true));
        set(&mut body, "stream_options", Some(json!({"include_usage": true})));
    }
    wire::merge(&mut body, &request.extra);
    Value::Object(body)
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Counts>,
    model: Option<String>,
    error: Option<Value>,
}

/// One alternative; `message` in a whole answer, `delta` in a stream.
#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(alias = "delta")]
    message: Option<Words>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Words {
    content: Option<Content>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    /// Mistral's reasoning models answer in parts, of which those with a text are the answer.
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl Counts {
    fn usage(self) -> Usage {
        let (input_tokens, output_tokens) = (self.prompt_tokens.unwrap_or(0), self.completion_tokens.unwrap_or(0));
        Usage::new(input_tokens, output_tokens)
    }
}

impl Words {
    /// The text and whether it is a refusal in the model's own words.
    fn text(self) -> (String, bool) {
        let text = match self.content {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.into_iter().filter_map(|part| part.text).collect(),
            None => String::new(),
        };
        match self.refusal.filter(|refusal| !refusal.is_empty()) {
            Some(refusal) => (text + &refusal, true),
            None => (text, false),
        }
    }
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "stop" | "eos" | "stop_sequence" => FinishReason::Stop,
        "length" | "model_length" => FinishReason::Length,
        "content_filter" => FinishReason::ContentFilter,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        other => FinishReason::Other(wire::word(other)),
    }
}

fn completion(answer: &[u8], redactor: &Redactor) -> Result<Completion, Error> {
    let answer: Answer = wire::read(answer)?;
    if let Some(error) = &answer.error {
        return Err(reported(error, redactor));
    }
    let choice = answer.choices.into_iter().find(|choice| choice.index == 0);
    let choice = choice.ok_or_else(|| Error::malformed("no choices"))?;
    let (text, refused) = choice.message.map(Words::text).unwrap_or_default();
    let finish = match choice.finish_reason {
        _ if refused => FinishReason::ContentFilter,
        Some(reason) => finish_reason(&reason),
        None => wire::unreported(),
    };
    let model = answer.model.map(|model| wire::word(&model));
    Ok(Completion { text, finish, usage: answer.usage.map(Counts::usage), model })
}

/// An error object inside an answer that began with a success status. Its code stands for the status.
fn reported(error: &Value, redactor: &Redactor) -> Error {
    let code = error.get("code").or_else(|| error.get("status"));
    let status = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    let kind = error.get("type").or(code).and_then(Value::as_str).unwrap_or_default();
    let status = match status.and_then(|status| u16::try_from(status).ok()) {
        Some(status @ 400..=599) => status,
        _ if kind.contains("rate_limit") => 429,
        _ if kind.contains("invalid_request") => 400,
        _ => 500,
    };
    let message = redactor.clean(error_body::in_value(error).unwrap_or("an error without a message"));
    Error::Status { status, class: ErrorClass::of(status, error), retry_after: None, message }
}

/// Collects what the chunks of a stream say besides text.
struct Chunks {
    redactor: Redactor,
    finish: Option<FinishReason>,
    refused: bool,
    usage: Option<Usage>,
    model: Option<String>,
}

impl Chunks {
    fn new(redactor: Redactor) -> Self {
        Self { redactor, finish: None, refused: false, usage: None, model: None }
    }

    fn end_with(&mut self, finish: FinishReason) -> StreamItem {
        let finish = if self.refused { FinishReason::ContentFilter } else { finish };
        StreamItem::End { finish, usage: self.usage, model: self.model.take() }
    }
}

impl Decoder for Chunks {
    fn decode(&mut self, event: &Event, items: &mut VecDeque<StreamItem>) -> Result<(), Error> {
        if event.data.trim() == "[DONE]" {
            let finish = self.finish.take().unwrap_or_else(wire::unreported);
            items.push_back(self.end_with(finish));
            return Ok(());
        }
        let chunk: Answer = wire::read(event.data.as_bytes())?;
        if let Some(error) = &chunk.error {
            return Err(reported(error, &self.redactor));
        }
        self.usage = chunk.usage.map(Counts::usage).or(self.usage);
        self.model =
            self.model.take().or_else(|| chunk.model.as_deref().map(wire::word).filter(|name| !name.is_empty()));
        for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
            let (text, refused) = choice.message.map(Words::text).unwrap_or_default();
            self.refused |= refused;
            if !text.is_empty() {
                items.push_back(StreamItem::Text(text));
            }
            self.finish = choice.finish_reason.as_deref().map(finish_reason).or(self.finish.take());
        }
        Ok(())
    }

    /// Some servers close the stream after the finish reason, without `[DONE]`.
    fn end(&mut self) -> Option<StreamItem> {
        self.finish.take().map(|finish| self.end_with(finish))
    }
}

#[cfg(test)]
mod tests;
