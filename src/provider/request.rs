//! What every provider is asked and what it answers, in our own words.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use super::capability::Capability;
use crate::prompt::Message;

/// A chat request. Fields that are `None` or empty are left out, so that the provider's own defaults hold.
#[derive(Clone, Default, PartialEq)]
pub struct ChatRequest {
    pub messages: Vec<Message>,
    /// Most tokens to generate.
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    /// Texts at which generation ends.
    pub stop: Vec<String>,
    /// Not sent to Anthropic, which has no such field.
    pub seed: Option<i64>,
    pub response_schema: Option<ResponseSchema>,
    /// Fields of one provider's own wire format, merged into the body as they are (objects are merged field by field).
    /// They never replace the model, the messages or the choice to stream. They go to every target that is tried.
    pub extra: Map<String, Value>,
}

impl ChatRequest {
    /// What a model must be able to do to answer it.
    pub fn needs(&self) -> BTreeSet<Capability> {
        self.response_schema.iter().map(|_| Capability::JsonSchema).collect()
    }
}

/// Prompts stay out of logs, also by way of `{:?}`.
impl fmt::Debug for ChatRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatRequest")
            .field("messages", &self.messages.len())
            .field("max_output_tokens", &self.max_output_tokens)
            .finish_non_exhaustive()
    }
}

/// JSON schema that the answer has to obey. OpenAI's strict mode, which is asked for, wants every property `required`
/// and `additionalProperties: false` in each object.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseSchema {
    /// Letters, digits, `_` and `-`; sent where the wire format has a place for it.
    pub name: String,
    pub schema: Value,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    pub text: String,
    pub finish: FinishReason,
    pub usage: Option<Usage>,
    /// The model that answered, as the provider reported it.
    pub model: Option<String>,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    /// Never empty.
    Text(String),
    /// Comes once, as the last item.
    End { finish: FinishReason, usage: Option<Usage>, model: Option<String> },
}

/// Why generation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// By itself or at a stop text.
    Stop,
    /// At the limit of tokens.
    Length,
    /// The provider's content rules withheld the answer or a part of it.
    ContentFilter,
    /// The model asks for a tool.
    ToolCalls,
    /// The provider's own word, bounded, or `unreported`.
    Other(String),
}

/// Tokens as the provider counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Of the prompt, those read from a cache included.
    pub input_tokens: u64,
    /// Generated, hidden reasoning included.
    pub output_tokens: u64,
    /// Those of `input_tokens` that were read from the provider's prompt cache.
    pub cached_input_tokens: u64,
    /// Those of `input_tokens` that were written to the provider's prompt cache.
    pub cache_write_tokens: u64,
    /// Those of `output_tokens` that were spent on hidden reasoning.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Without any cache or reasoning.
    pub const fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Self { input_tokens, output_tokens, cached_input_tokens: 0, cache_write_tokens: 0, reasoning_tokens: 0 }
    }
}

/// One question with labelled options, for places that answer such questions and write nothing.
#[derive(Clone, PartialEq)]
pub struct ChoiceQuestion {
    /// What the question is about.
    pub state: String,
    pub instructions: String,
    /// Label and description; 1 to 255, no label twice.
    pub options: Vec<(String, String)>,
}

/// Prompts stay out of logs, also by way of `{:?}`.
impl fmt::Debug for ChoiceQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChoiceQuestion").field("options", &self.options.len()).finish_non_exhaustive()
    }
}

/// The option that was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// As the provider reported it, bounded: perhaps none of the options.
    pub label: String,
    /// That it is right, in [0, 1], where the provider says so.
    pub probability: Option<f32>,
    pub usage: Option<Usage>,
    /// The model that answered, as the provider reported it.
    pub model: Option<String>,
}
