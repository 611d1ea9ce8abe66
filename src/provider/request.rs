//! What every provider is asked, in our own words.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use super::capability::Capability;
use super::effort::Effort;
use super::format::ResponseFormat;
use super::options::{Family, ProviderOptions};
use super::tool::{Tool, ToolChoice};
use crate::prompt::Message;

/// A chat request. Fields that are `None` or empty are left out, so that the provider's own defaults hold. What a wire
/// format cannot carry is named in the answer: see [`super::Completion::dropped`].
#[derive(Clone, Default, PartialEq)]
pub struct ChatRequest {
    pub messages: Vec<Message>,
    /// Most tokens to generate.
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    /// Texts at which generation ends.
    pub stop: Vec<String>,
    pub seed: Option<i64>,
    pub response_format: ResponseFormat,
    pub tools: Vec<Tool>,
    /// `None`: as the model likes. Only with tools.
    pub tool_choice: Option<ToolChoice>,
    /// Whether the model may ask for several tools at once. Only with tools.
    pub parallel_tool_calls: Option<bool>,
    pub reasoning_effort: Option<Effort>,
    /// Most tokens to think with, for models that are told so rather than how hard.
    pub reasoning_budget_tokens: Option<u32>,
    pub options: ProviderOptions,
}

impl ChatRequest {
    /// All that becomes input tokens, but for images: words, tool calls and tools, thoughts, the schema of the answer,
    /// and fields of the provider's own.
    pub fn texts(&self) -> Vec<Cow<'_, str>> {
        let mut texts: Vec<Cow<'_, str>> = Vec::with_capacity(self.messages.len());
        for message in &self.messages {
            texts.push(Cow::Borrowed(&message.text));
            texts.extend(
                message.tool_calls.iter().flat_map(|call| [call.name.as_str(), &call.arguments]).map(Cow::Borrowed),
            );
            for thought in &message.reasoning {
                texts.push(Cow::Borrowed(&thought.text));
                texts.extend(thought.signature.as_deref().map(Cow::Borrowed));
            }
        }
        for tool in &self.tools {
            texts.extend([tool.name.as_str(), &tool.description].map(Cow::Borrowed));
            texts.push(Cow::Owned(tool.schema().to_string()));
        }
        texts.extend(self.response_format.schema().map(|schema| Cow::Owned(schema.schema.to_string())));
        let fields = Family::ALL.into_iter().flat_map(|family| self.options.fields(family).values());
        texts.extend(fields.map(|value| Cow::Owned(value.to_string())));
        texts
    }

    /// Whether the model is told to think before it answers. Some do so unasked.
    pub fn asks_to_think(&self) -> bool {
        self.reasoning_budget_tokens.is_some() || self.reasoning_effort.is_some_and(|effort| effort != Effort::None)
    }

    pub fn images(&self) -> usize {
        let parts = self.messages.iter().flat_map(|message| &message.parts);
        parts.filter(|part| part.text().is_none()).count()
    }

    /// What a model must be able to do to answer it.
    pub fn needs(&self) -> BTreeSet<Capability> {
        let needs = [
            (Capability::Tools, !self.tools.is_empty()),
            (Capability::Vision, self.messages.iter().any(Message::has_image)),
            (Capability::JsonSchema, self.response_format.schema().is_some()),
        ];
        needs.into_iter().filter(|(_, needed)| *needed).map(|(capability, _)| capability).collect()
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

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_request_says_what_it_needs_of_a_model() {
        let check = |request: &ChatRequest, expected: &[Capability]| {
            assert_eq!(request.needs().into_iter().collect::<Vec<_>>(), expected);
        };
        check(&samples::minimal(), &[]);
        check(&samples::full(), &[Capability::JsonSchema]);
        check(&samples::tools(), &[Capability::Tools]);
        check(&samples::images(), &[Capability::Vision]);
    }
}
