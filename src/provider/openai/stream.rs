//! What comes back chunk by chunk.

use std::collections::VecDeque;

use super::super::answer::{FinishReason, StreamItem, ToolCallPiece};
use super::super::calls::Calls;
use super::super::error::Error;
use super::super::redact::Redactor;
use super::super::request::Usage;
use super::super::sse::Event;
use super::super::stream::Decoder;
use super::super::wire;
use super::reply::{Answer, Call, Choice, Counts, finish_reason, reported};
use crate::prompt::Reasoning;

/// Collects what the chunks of a stream say besides text.
pub(super) struct Chunks {
    redactor: Redactor,
    calls: Calls,
    /// Whether a delta has come. What comes as a message then, it repeats.
    in_deltas: bool,
    finish: Option<FinishReason>,
    refused: bool,
    called: bool,
    usage: Option<Usage>,
    model: Option<String>,
}

impl Chunks {
    pub(super) fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            calls: Calls::default(),
            in_deltas: false,
            finish: None,
            refused: false,
            called: false,
            usage: None,
            model: None,
        }
    }

    fn choice(&mut self, mut choice: Choice, items: &mut VecDeque<StreamItem>) -> Result<(), Error> {
        self.in_deltas |= choice.delta.is_some();
        let message = choice.message.take().filter(|_| !self.in_deltas);
        if let Some(mut words) = choice.delta.take().or(message) {
            let told = words.take();
            if !told.reasoning.is_empty() {
                items.push_back(StreamItem::Reasoning(Reasoning { text: told.reasoning, ..Reasoning::default() }));
            }
            if !told.text.is_empty() {
                items.push_back(StreamItem::Text(told.text));
            }
            if !told.refusal.is_empty() {
                self.refused = true;
                items.push_back(StreamItem::Refusal(told.refusal));
            }
            for (position, call) in words.tool_calls.unwrap_or_default().into_iter().enumerate() {
                items.push_back(self.piece(position as u64, call)?);
            }
        }
        self.finish = choice.finish_reason.as_deref().map(finish_reason).or(self.finish.take());
        Ok(())
    }

    fn piece(&mut self, position: u64, call: Call) -> Result<StreamItem, Error> {
        let (index, id) = self.calls.place(call.index.unwrap_or(position), call.id.as_deref())?;
        self.called = true;
        let arguments = call.function.arguments();
        // Some servers repeat id and name with every piece.
        let name = id.is_some().then(|| call.function.name.unwrap_or_default());
        Ok(StreamItem::ToolCall(ToolCallPiece { index, id, name, arguments, signature: None }))
    }

    fn end_with(&mut self, finish: FinishReason) -> StreamItem {
        let finish = match finish {
            _ if self.refused => FinishReason::ContentFilter,
            FinishReason::Stop if self.called => FinishReason::ToolCalls,
            finish => finish,
        };
        StreamItem::End { finish, usage: self.usage, model: self.model.take(), dropped: Vec::new() }
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
        self.usage = chunk.usage.and_then(Counts::usage).or(self.usage);
        self.model =
            self.model.take().or_else(|| chunk.model.as_deref().map(wire::word).filter(|name| !name.is_empty()));
        for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
            self.choice(choice, items)?;
        }
        Ok(())
    }

    /// Some servers close the stream after the finish reason, without `[DONE]`.
    fn end(&mut self) -> Option<StreamItem> {
        self.finish.take().map(|finish| self.end_with(finish))
    }
}
