//! Google's Gemini API: `generateContent` and `streamGenerateContent`.
//!
//! Its stream has no end marker; it is whole when the last candidate has named its finish reason.

use std::collections::VecDeque;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

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

pub(super) struct Gemini {
    pub(super) endpoint: Endpoint,
}

#[async_trait]
impl Provider for Gemini {
    async fn complete(&self, model: &str, request: &ChatRequest) -> Result<Completion, Error> {
        let url = self.url(model, "generateContent");
        let answer = self.endpoint.post(url, &body(request), request).await?;
        completion(&answer, &self.endpoint.redactor(request))
    }

    async fn stream(&self, model: &str, request: &ChatRequest) -> Result<CompletionStream, Error> {
        let mut url = self.url(model, "streamGenerateContent");
        url.query_pairs_mut().append_pair("alt", "sse");
        let response = self.endpoint.post_for_events(url, &body(request), request).await?;
        Ok(stream::items(response, Answers { redactor: self.endpoint.redactor(request), last: Last::default() }))
    }
}

impl Gemini {
    /// A model is named `gemini-...` or by its whole path, such as `tunedModels/...`.
    fn url(&self, model: &str, method: &str) -> reqwest::Url {
        let path = if model.contains('/') { format!("{model}:{method}") } else { format!("models/{model}:{method}") };
        self.endpoint.url(path.split('/'))
    }
}

fn body(request: &ChatRequest) -> Value {
    let part = |text: &str| json!({"text": text});
    let system: Vec<_> = texts(request, Role::System).map(part).collect();
    let turns = request.messages.iter().filter_map(|message| {
        let role = match message.role {
            Role::System => return None,
            // A tool's turn would have to name the call that it answers, which messages do not carry yet.
            Role::User | Role::Tool => "user",
            Role::Assistant => "model",
        };
        Some(json!({"role": role, "parts": [part(&message.text)]}))
    });
    let mut body = Map::new();
    set(&mut body, "systemInstruction", (!system.is_empty()).then(|| json!({"parts": system})));
    set(&mut body, "contents", Some(turns.collect::<Value>()));
    let generation = generation(request);
    set(&mut body, "generationConfig", (!generation.is_empty()).then_some(generation));
    wire::merge(&mut body, &request.extra);
    Value::Object(body)
}

fn texts(request: &ChatRequest, role: Role) -> impl Iterator<Item = &str> {
    request.messages.iter().filter(move |message| message.role == role).map(|message| message.text.as_str())
}

fn generation(request: &ChatRequest) -> Map<String, Value> {
    let mut generation = Map::new();
    set(&mut generation, "maxOutputTokens", request.max_output_tokens);
    set(&mut generation, "temperature", request.temperature.and_then(decimal));
    set(&mut generation, "topP", request.top_p.and_then(decimal));
    set(&mut generation, "stopSequences", (!request.stop.is_empty()).then(|| request.stop.clone()));
    set(&mut generation, "seed", request.seed);
    if let Some(schema) = &request.response_schema {
        set(&mut generation, "responseMimeType", Some("application/json"));
        // Not `responseSchema`, which takes a dialect of OpenAPI's and refuses common JSON schema.
        set(&mut generation, "responseJsonSchema", Some(schema.schema.clone()));
    }
    generation
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<PromptFeedback>,
    usage_metadata: Option<Counts>,
    model_version: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    index: u32,
    content: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    text: Option<String>,
    /// A summary of the model's reasoning, not of the answer.
    #[serde(default)]
    thought: bool,
    function_call: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Counts {
    prompt_token_count: u64,
    candidates_token_count: u64,
    thoughts_token_count: u64,
}

impl Counts {
    fn usage(&self) -> Usage {
        let output_tokens = self.candidates_token_count.saturating_add(self.thoughts_token_count);
        Usage::new(self.prompt_token_count, output_tokens)
    }
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY" => {
            FinishReason::ContentFilter
        }
        other => FinishReason::Other(wire::word(other)),
    }
}

/// What the answers have said so far besides text; each may repeat or correct the one before.
#[derive(Default)]
struct Last {
    finish: Option<FinishReason>,
    calls_tool: bool,
    usage: Option<Usage>,
    model: Option<String>,
}

impl Last {
    /// Takes an answer in and returns its text.
    fn update(&mut self, answer: Answer, redactor: &Redactor) -> Result<String, Error> {
        if let Some(error) = &answer.error {
            return Err(reported(error, redactor));
        }
        self.usage = answer.usage_metadata.as_ref().map(Counts::usage).or(self.usage);
        self.model = answer.model_version.as_deref().map(wire::word).or(self.model.take());
        if answer.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            self.finish = Some(FinishReason::ContentFilter);
        }
        let mut text = String::new();
        for candidate in answer.candidates.into_iter().filter(|candidate| candidate.index == 0) {
            self.finish = candidate.finish_reason.as_deref().map(finish_reason).or(self.finish.take());
            for part in candidate.content.into_iter().flat_map(|content| content.parts) {
                self.calls_tool |= part.function_call.is_some();
                text.extend(part.text.filter(|_| !part.thought));
            }
        }
        Ok(text)
    }

    /// Gemini says `STOP` also where it asks for a tool.
    fn finish(&mut self) -> Option<FinishReason> {
        match self.finish.take()? {
            FinishReason::Stop if self.calls_tool => Some(FinishReason::ToolCalls),
            finish => Some(finish),
        }
    }
}

fn reported(error: &Value, redactor: &Redactor) -> Error {
    let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = code.filter(|code| (400..600).contains(code)).unwrap_or(500);
    let message = redactor.clean(error_body::in_value(error).unwrap_or("an error without a message"));
    Error::Status { status, class: ErrorClass::of(status, error), retry_after: None, message }
}

fn completion(answer: &[u8], redactor: &Redactor) -> Result<Completion, Error> {
    let answer: Answer = wire::read(answer)?;
    let answered = !answer.candidates.is_empty();
    let mut last = Last::default();
    let text = last.update(answer, redactor)?;
    let finish = match last.finish() {
        Some(finish) => finish,
        None if answered => wire::unreported(),
        None => return Err(Error::malformed("neither a candidate nor a reason to block the prompt")),
    };
    Ok(Completion { text, finish, usage: last.usage, model: last.model })
}

/// Decodes a stream: each event is an answer with the next piece of text.
struct Answers {
    redactor: Redactor,
    last: Last,
}

impl Decoder for Answers {
    fn decode(&mut self, event: &Event, items: &mut VecDeque<StreamItem>) -> Result<(), Error> {
        let text = self.last.update(wire::read(event.data.as_bytes())?, &self.redactor)?;
        if !text.is_empty() {
            items.push_back(StreamItem::Text(text));
        }
        Ok(())
    }

    fn end(&mut self) -> Option<StreamItem> {
        let finish = self.last.finish()?;
        Some(StreamItem::End { finish, usage: self.last.usage, model: self.last.model.take() })
    }
}

#[cfg(test)]
mod tests;
