//! What comes back whole, and the parts that streams have in common with it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::answer::{Completion, FinishReason};
use super::super::calls::Calls;
use super::super::count::{self, Count, lenient};
use super::super::error::Error;
use super::super::error_class::ErrorClass;
use super::super::redact::Redactor;
use super::super::request::Usage;
use super::super::wire;
use crate::prompt::{Reasoning, ToolCall};

#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    content: Vec<Block>,
    #[serde(flatten)]
    stopped: Stopped,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) usage: Option<Counts>,
    pub(super) model: Option<String>,
}

/// A piece of the content; in a stream, its beginning.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Text {
        text: String,
    },
    Thinking {
        thinking: String,
        signature: Option<String>,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    /// Tools that run at the provider, and kinds to come.
    #[serde(other)]
    Other,
}

/// Why generation ended.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Stopped {
    stop_reason: Option<String>,
    #[serde(deserialize_with = "lenient")]
    stop_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    explanation: Option<String>,
}

impl Stopped {
    pub(super) fn finish(&self) -> Option<FinishReason> {
        self.stop_reason.as_deref().map(finish_reason)
    }

    /// Words for a refusal, where the API gives some.
    pub(super) fn refusal(self) -> Option<String> {
        let explained = self.stop_details.filter(|_| self.stop_reason.as_deref() == Some("refusal"));
        explained.and_then(|details| details.explanation).filter(|words| !words.is_empty())
    }
}

/// In a stream the counts come in two events, each with some of the fields.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Counts {
    input_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_read_input_tokens: Count,
    output_tokens: Count,
    #[serde(deserialize_with = "lenient")]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Count,
}

impl Counts {
    pub(super) fn update(&mut self, newer: Self) {
        self.input_tokens = newer.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = newer.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = newer.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = newer.output_tokens.or(self.output_tokens);
        self.output_tokens_details = newer.output_tokens_details.or(self.output_tokens_details);
    }

    /// `input_tokens` alone leaves out what went through the prompt cache.
    pub(super) fn usage(&self) -> Option<Usage> {
        let (written, read) = (self.cache_creation_input_tokens, self.cache_read_input_tokens);
        Some(Usage {
            cached_input_tokens: read.or_zero(),
            cache_write_tokens: written.or_zero(),
            reasoning_tokens: self.output_tokens_details.unwrap_or_default().thinking_tokens.or_zero(),
            ..count::usage(self.input_tokens.plus(written).plus(read), self.output_tokens)?
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Reported {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    message: String,
}

impl Reported {
    /// The statuses that the API documents for its error types.
    pub(super) fn error(&self, redactor: &Redactor) -> Error {
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

pub(super) fn completion(answer: &[u8], redactor: &Redactor) -> Result<Completion, Error> {
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
    let mut completion = Completion {
        finish: answer.stopped.finish().unwrap_or_else(wire::unreported),
        usage: answer.usage.and_then(|counts| counts.usage()),
        model: answer.model.as_deref().map(wire::word),
        refusal: answer.stopped.refusal(),
        ..Completion::default()
    };
    let mut calls = Calls::default();
    for block in answer.content {
        match block {
            Block::Text { text } => completion.text.push_str(&text),
            Block::Thinking { thinking, signature } => {
                completion.reasoning.push(Reasoning { text: thinking, signature: sealed(signature), redacted: false });
            }
            Block::RedactedThinking { data } => completion.reasoning.push(redacted(data)),
            Block::ToolUse { id, name, input } => {
                let (_, id) = calls.add(Some(&id))?;
                completion.tool_calls.push(ToolCall {
                    id,
                    name,
                    arguments: wire::arguments_text(&input),
                    signature: None,
                });
            }
            Block::Other => {}
        }
    }
    Ok(completion)
}

pub(super) fn sealed(signature: Option<String>) -> Option<String> {
    signature.filter(|seal| !seal.is_empty())
}

pub(super) fn redacted(data: String) -> Reasoning {
    Reasoning { text: String::new(), signature: Some(data), redacted: true }
}
