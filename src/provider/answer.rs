//! What a provider answers, in our own words: whole, or piece by piece.

use super::request::Usage;
use crate::prompt::{Reasoning, ToolCall};

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Completion {
    pub text: String,
    /// The model's own words for not answering, where its provider keeps them apart from the text.
    pub refusal: Option<String>,
    pub reasoning: Vec<Reasoning>,
    pub tool_calls: Vec<ToolCall>,
    pub finish: FinishReason,
    /// `None` if the provider did not say, or said what cannot be.
    pub usage: Option<Usage>,
    /// The model that answered, as the provider reported it.
    pub model: Option<String>,
    /// Fields of the request that the provider's wire format could not carry, for example `seed` or
    /// `messages[2].parts[0].image.detail`; in their order.
    pub dropped: Vec<String>,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    /// Never empty.
    Text(String),
    /// The next piece of a thought; one with a signature, or a redacted one, ends its thought.
    Reasoning(Reasoning),
    /// The next piece of the model's own words for not answering. Never empty.
    Refusal(String),
    ToolCall(ToolCallPiece),
    /// Comes once, as the last item. The fields are those of a [`Completion`].
    End {
        finish: FinishReason,
        usage: Option<Usage>,
        model: Option<String>,
        dropped: Vec<String>,
    },
}

/// A piece of a call of a tool. The first one of a call brings id and name, each one the next piece of the arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolCallPiece {
    /// Which call of the answer, from 0.
    pub index: u32,
    pub id: Option<String>,
    pub name: Option<String>,
    /// Appended to what came before.
    pub arguments: String,
    pub signature: Option<String>,
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

/// `unreported`.
impl Default for FinishReason {
    fn default() -> Self {
        Self::Other("unreported".to_owned())
    }
}
