//! What comes back whole, and the parts that streams have in common with it.

use serde::Deserialize;
use serde_json::Value;

use super::super::answer::{Completion, FinishReason};
use super::super::calls::Calls;
use super::super::count::{self, Count, lenient};
use super::super::error::Error;
use super::super::error_body;
use super::super::error_class::ErrorClass;
use super::super::redact::Redactor;
use super::super::request::Usage;
use super::super::wire;
use crate::prompt::{Reasoning, ToolCall};

#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) choices: Vec<Choice>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) usage: Option<Counts>,
    pub(super) model: Option<String>,
    pub(super) error: Option<Value>,
}

/// One alternative; only one is ever asked for.
#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) index: u32,
    /// In a whole answer. Perplexity writes it into each chunk of a stream as well, with all that was said until then.
    pub(super) message: Option<Words>,
    /// In a stream.
    pub(super) delta: Option<Words>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Words {
    content: Option<Content>,
    refusal: Option<String>,
    /// DeepSeek, vLLM, llama.cpp.
    #[serde(default, deserialize_with = "lenient")]
    reasoning_content: Option<String>,
    /// OpenRouter, Ollama, Groq.
    #[serde(default, deserialize_with = "lenient")]
    reasoning: Option<String>,
    pub(super) tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    /// Mistral's reasoning models answer in parts.
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    thinking: Option<Vec<Part>>,
}

/// A call, or a piece of one.
#[derive(Deserialize)]
pub(super) struct Call {
    pub(super) index: Option<u64>,
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) function: Function,
}

#[derive(Deserialize, Default)]
pub(super) struct Function {
    pub(super) name: Option<String>,
    arguments: Option<Value>,
}

impl Function {
    /// Some servers write the object itself instead of its text.
    pub(super) fn arguments(&self) -> String {
        match &self.arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Counts {
    #[serde(default)]
    prompt_tokens: Count,
    #[serde(default)]
    completion_tokens: Count,
    #[serde(default, deserialize_with = "lenient")]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default, deserialize_with = "lenient")]
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's place for what it read from its cache.
    #[serde(default)]
    prompt_cache_hit_tokens: Count,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Count,
}

impl Counts {
    pub(super) fn usage(self) -> Option<Usage> {
        let prompt = self.prompt_tokens_details.unwrap_or_default();
        Some(Usage {
            cached_input_tokens: prompt.cached_tokens.or(self.prompt_cache_hit_tokens).or_zero(),
            cache_write_tokens: prompt.cache_write_tokens.or_zero(),
            reasoning_tokens: self.completion_tokens_details.unwrap_or_default().reasoning_tokens.or_zero(),
            ..count::usage(self.prompt_tokens, self.completion_tokens)?
        })
    }
}

/// The words of a message or delta, told apart. Each may be empty.
#[derive(Default)]
pub(super) struct Told {
    pub(super) reasoning: String,
    pub(super) text: String,
    pub(super) refusal: String,
}

impl Words {
    pub(super) fn take(&mut self) -> Told {
        let mut told = Told { refusal: self.refusal.take().unwrap_or_default(), ..Told::default() };
        told.reasoning = self.reasoning_content.take().or(self.reasoning.take()).unwrap_or_default();
        match self.content.take() {
            Some(Content::Text(text)) => told.text = text,
            Some(Content::Parts(parts)) => {
                for part in parts {
                    told.text.extend(part.text);
                    told.reasoning.extend(part.thinking.into_iter().flatten().filter_map(|part| part.text));
                }
            }
            None => {}
        }
        told
    }
}

pub(super) fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "stop" | "eos" | "stop_sequence" => FinishReason::Stop,
        "length" | "model_length" => FinishReason::Length,
        "content_filter" => FinishReason::ContentFilter,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        other => FinishReason::Other(wire::word(other)),
    }
}

pub(super) fn completion(answer: &[u8], redactor: &Redactor) -> Result<Completion, Error> {
    let answer: Answer = wire::read(answer)?;
    if let Some(error) = &answer.error {
        return Err(reported(error, redactor));
    }
    let choice = answer.choices.into_iter().find(|choice| choice.index == 0);
    let choice = choice.ok_or_else(|| Error::malformed("no choices"))?;
    let (mut told, mut tool_calls) = (Told::default(), Vec::new());
    if let Some(mut words) = choice.message.or(choice.delta) {
        told = words.take();
        tool_calls = calls(words.tool_calls.unwrap_or_default())?;
    }
    let finish = match choice.finish_reason {
        _ if !told.refusal.is_empty() => FinishReason::ContentFilter,
        // Where one tool is forced, the API itself says `stop` beside its call.
        Some(reason) => match finish_reason(&reason) {
            FinishReason::Stop if !tool_calls.is_empty() => FinishReason::ToolCalls,
            finish => finish,
        },
        None => wire::unreported(),
    };
    let thought = |text: String| Reasoning { text, ..Reasoning::default() };
    Ok(Completion {
        text: told.text,
        refusal: Some(told.refusal).filter(|words| !words.is_empty()),
        reasoning: Some(told.reasoning).filter(|words| !words.is_empty()).map(thought).into_iter().collect(),
        tool_calls,
        finish,
        usage: answer.usage.and_then(Counts::usage),
        model: answer.model.map(|model| wire::word(&model)),
        dropped: Vec::new(),
    })
}

fn calls(theirs: Vec<Call>) -> Result<Vec<ToolCall>, Error> {
    let mut calls = Calls::default();
    let ours = theirs.into_iter().map(|call| {
        let (_, id) = calls.add(call.id.as_deref())?;
        let arguments = call.function.arguments();
        Ok(ToolCall { id, name: call.function.name.unwrap_or_default(), arguments, signature: None })
    });
    ours.collect()
}

/// An error object inside an answer that began with a success status. Its code stands for the status.
pub(super) fn reported(error: &Value, redactor: &Redactor) -> Error {
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
