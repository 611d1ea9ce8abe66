//! What comes back whole, and the parts that streams have in common with it.

use aws_sdk_bedrockruntime::operation::converse::ConverseOutput as Answer;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ConverseOutput, PromptRouterTrace, ReasoningContentBlock, StopReason, TokenUsage,
};

use super::super::answer::{Completion, FinishReason};
use super::super::calls::Calls;
use super::super::count::{self, Count};
use super::super::error::Error;
use super::super::request::Usage;
use super::super::wire;
use super::json::json;
use crate::prompt::{Reasoning, ToolCall};

pub(super) fn completion(answer: Answer) -> Result<Completion, Error> {
    let Some(ConverseOutput::Message(message)) = answer.output else {
        return Err(Error::malformed("JSON of another form: no message"));
    };
    let router = answer.trace.and_then(|trace| trace.prompt_router);
    let mut completion = Completion {
        finish: finish_reason(&answer.stop_reason),
        usage: answer.usage.as_ref().and_then(usage),
        model: router.as_ref().and_then(model),
        ..Completion::default()
    };
    let mut calls = Calls::default();
    for block in message.content {
        match block {
            ContentBlock::Text(text) => completion.text.push_str(&text),
            ContentBlock::ReasoningContent(ReasoningContentBlock::ReasoningText(thought)) => {
                let signature = thought.signature.filter(|seal| !seal.is_empty());
                completion.reasoning.push(Reasoning { text: thought.text, signature, redacted: false });
            }
            ContentBlock::ReasoningContent(ReasoningContentBlock::RedactedContent(bytes)) => {
                completion.reasoning.push(redacted(bytes.as_ref()));
            }
            ContentBlock::ToolUse(call) => {
                let (_, id) = calls.add(Some(&call.tool_use_id))?;
                let arguments = wire::arguments_text(&json(call.input));
                completion.tool_calls.push(ToolCall { id, name: call.name, arguments, signature: None });
            }
            // Citations, pictures and kinds to come.
            _ => {}
        }
    }
    Ok(completion)
}

pub(super) fn redacted(bytes: &[u8]) -> Reasoning {
    Reasoning { text: String::new(), signature: Some(wire::base64(bytes)), redacted: true }
}

pub(super) fn finish_reason(reason: &StopReason) -> FinishReason {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence => FinishReason::Stop,
        StopReason::MaxTokens | StopReason::ModelContextWindowExceeded => FinishReason::Length,
        StopReason::ContentFiltered | StopReason::GuardrailIntervened => FinishReason::ContentFilter,
        StopReason::ToolUse => FinishReason::ToolCalls,
        // Claude's own word, which Converse passes on.
        other if other.as_str() == "refusal" => FinishReason::ContentFilter,
        other => FinishReason::Other(wire::word(other.as_str())),
    }
}

/// `input_tokens` alone leaves out what went through the prompt cache
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>).
pub(super) fn usage(counted: &TokenUsage) -> Option<Usage> {
    let given = |number: i32| u64::try_from(number).map_or(Count::Unbelievable, Count::Given);
    let cached = |number: Option<i32>| number.map_or(Count::Absent, given);
    let (read, written) = (cached(counted.cache_read_input_tokens), cached(counted.cache_write_input_tokens));
    let input = given(counted.input_tokens).plus(written).plus(read);
    let usage = Usage {
        cached_input_tokens: read.or_zero(),
        cache_write_tokens: written.or_zero(),
        ..count::usage(input, given(counted.output_tokens))?
    };
    // The SDK reads counts that are not there as zero; nothing is answered without a token.
    (usage.input_tokens + usage.output_tokens > 0).then_some(usage)
}

/// Converse tells the model only where a router has chosen it.
pub(super) fn model(router: &PromptRouterTrace) -> Option<String> {
    router.invoked_model_id.as_deref().map(wire::word)
}
