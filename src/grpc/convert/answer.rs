//! What a model answered, as messages.

use super::super::pb;
use crate::prompt::{Reasoning, ToolCall};
use crate::provider::{Completion, ToolCallPiece};

impl From<ToolCall> for pb::ToolCall {
    fn from(call: ToolCall) -> Self {
        let ToolCall { id, name, arguments, signature } = call;
        Self { id, name, arguments, signature: signature.unwrap_or_default() }
    }
}

impl From<ToolCallPiece> for pb::ToolCallDelta {
    fn from(piece: ToolCallPiece) -> Self {
        let ToolCallPiece { index, id, name, arguments, signature } = piece;
        let (id, name, signature) = (id.unwrap_or_default(), name.unwrap_or_default(), signature.unwrap_or_default());
        Self { index, id, name, arguments, signature }
    }
}

impl From<Reasoning> for pb::Reasoning {
    fn from(thought: Reasoning) -> Self {
        let Reasoning { text, signature, redacted } = thought;
        Self { text, signature: signature.unwrap_or_default(), redacted }
    }
}

/// The answer's own words and calls; who served it, and the decision, are the caller's to add.
impl From<Completion> for pb::CompleteResponse {
    fn from(completion: Completion) -> Self {
        Self {
            text: completion.text,
            tool_calls: completion.tool_calls.into_iter().map(Into::into).collect(),
            refusal: completion.refusal.unwrap_or_default(),
            reasoning: completion.reasoning.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}
