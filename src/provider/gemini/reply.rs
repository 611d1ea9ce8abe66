//! What comes back: the same form whole and in a stream, whose events each hold the next piece.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use super::super::answer::{Completion, FinishReason, StreamItem, ToolCallPiece};
use super::super::calls::Calls;
use super::super::count::{self, Count, lenient};
use super::super::error::Error;
use super::super::error_body;
use super::super::error_class::ErrorClass;
use super::super::redact::Redactor;
use super::super::request::Usage;
use super::super::sse::Event;
use super::super::stream::Decoder;
use super::super::wire;
use crate::prompt::{Reasoning, ToolCall};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<PromptFeedback>,
    #[serde(default, deserialize_with = "lenient")]
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
    function_call: Option<FunctionCall>,
    thought_signature: Option<String>,
}

#[derive(Deserialize)]
struct FunctionCall {
    id: Option<String>,
    name: String,
    #[serde(default)]
    args: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Counts {
    prompt_token_count: Count,
    /// What tools at the provider put into the prompt.
    tool_use_prompt_token_count: Count,
    cached_content_token_count: Count,
    candidates_token_count: Count,
    thoughts_token_count: Count,
}

impl Counts {
    fn usage(&self) -> Option<Usage> {
        let input = self.prompt_token_count.plus(self.tool_use_prompt_token_count);
        let output = self.candidates_token_count.plus(self.thoughts_token_count);
        Some(Usage {
            cached_input_tokens: self.cached_content_token_count.or_zero(),
            reasoning_tokens: self.thoughts_token_count.or_zero(),
            ..count::usage(input, output)?
        })
    }
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => FinishReason::ContentFilter,
        other => FinishReason::Other(wire::word(other)),
    }
}

/// Takes answers in, one or many; each may repeat or correct what the one before said besides its content.
pub(super) struct Answers {
    redactor: Redactor,
    calls: Calls,
    answered: bool,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    model: Option<String>,
}

impl Answers {
    pub(super) fn new(redactor: Redactor) -> Self {
        Self { redactor, calls: Calls::default(), answered: false, finish: None, usage: None, model: None }
    }

    fn take(&mut self, answer: Answer, items: &mut VecDeque<StreamItem>) -> Result<(), Error> {
        if let Some(error) = &answer.error {
            return Err(reported(error, &self.redactor));
        }
        self.usage = answer.usage_metadata.as_ref().and_then(Counts::usage).or(self.usage);
        self.model = answer.model_version.as_deref().map(wire::word).or(self.model.take());
        if answer.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            self.finish = Some(FinishReason::ContentFilter);
        }
        self.answered |= !answer.candidates.is_empty();
        for candidate in answer.candidates.into_iter().filter(|candidate| candidate.index == 0) {
            self.finish = candidate.finish_reason.as_deref().map(finish_reason).or(self.finish.take());
            for part in candidate.content.into_iter().flat_map(|content| content.parts) {
                items.extend(self.part(part)?);
            }
        }
        Ok(())
    }

    fn part(&mut self, part: Part) -> Result<Option<StreamItem>, Error> {
        if let Some(call) = part.function_call {
            let (index, id) = self.calls.add(call.id.as_deref().filter(|id| !id.is_empty()))?;
            let arguments = if call.args.is_null() { "{}".to_owned() } else { call.args.to_string() };
            let (id, name) = (Some(id), Some(call.name));
            let piece = ToolCallPiece { index, id, name, arguments, signature: part.thought_signature };
            return Ok(Some(StreamItem::ToolCall(piece)));
        }
        let text = part.text.filter(|text| !text.is_empty());
        Ok(text.map(|text| {
            if part.thought {
                StreamItem::Reasoning(Reasoning { text, ..Reasoning::default() })
            } else {
                StreamItem::Text(text)
            }
        }))
    }

    /// Gemini says `STOP` also where it asks for a tool.
    fn finish(&mut self) -> Option<FinishReason> {
        match self.finish.take()? {
            FinishReason::Stop if self.calls.any() => Some(FinishReason::ToolCalls),
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

pub(super) fn completion(answer: &[u8], redactor: &Redactor) -> Result<Completion, Error> {
    let (mut answers, mut items) = (Answers::new(redactor.clone()), VecDeque::new());
    answers.take(wire::read(answer)?, &mut items)?;
    let finish = match answers.finish() {
        Some(finish) => finish,
        None if answers.answered => wire::unreported(),
        None => return Err(Error::malformed("neither a candidate nor a reason to block the prompt")),
    };
    let (usage, model) = (answers.usage, answers.model);
    let mut completion = Completion { finish, usage, model, ..Completion::default() };
    for item in items {
        match item {
            StreamItem::Text(text) => completion.text.push_str(&text),
            StreamItem::Reasoning(thought) => completion.reasoning.push(thought),
            StreamItem::ToolCall(ToolCallPiece { id, name, arguments, signature, .. }) => {
                let (id, name) = (id.unwrap_or_default(), name.unwrap_or_default());
                completion.tool_calls.push(ToolCall { id, name, arguments, signature });
            }
            StreamItem::Refusal(_) | StreamItem::End { .. } => {}
        }
    }
    Ok(completion)
}

impl Decoder for Answers {
    fn decode(&mut self, event: &Event, items: &mut VecDeque<StreamItem>) -> Result<(), Error> {
        self.take(wire::read(event.data.as_bytes())?, items)
    }

    fn end(&mut self) -> Option<StreamItem> {
        let finish = self.finish()?;
        Some(StreamItem::End { finish, usage: self.usage, model: self.model.take(), dropped: Vec::new() })
    }
}
