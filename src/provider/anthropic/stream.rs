//! What comes back event by event.

use std::collections::VecDeque;

use serde::Deserialize;

use super::super::answer::{FinishReason, StreamItem, ToolCallPiece};
use super::super::calls::Calls;
use super::super::count::lenient;
use super::super::error::Error;
use super::super::redact::Redactor;
use super::super::sse::Event;
use super::super::stream::Decoder;
use super::super::wire;
use super::reply::{Answer, Block, Counts, Reported, Stopped, redacted, sealed};
use crate::prompt::Reasoning;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    MessageStart {
        message: Answer,
    },
    ContentBlockStart {
        #[serde(default)]
        index: u64,
        content_block: Block,
    },
    ContentBlockDelta {
        #[serde(default)]
        index: u64,
        delta: Delta,
    },
    ContentBlockStop {
        #[serde(default)]
        index: u64,
    },
    MessageDelta {
        delta: Stopped,
        #[serde(default, deserialize_with = "lenient")]
        usage: Option<Counts>,
    },
    MessageStop,
    Error {
        error: Reported,
    },
    /// `ping`, and events to come.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "signature_delta")]
    Signature { signature: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    /// Citations and kinds to come.
    #[serde(other)]
    Other,
}

struct Writing {
    block: u64,
    /// What the call's arguments are if none come piece by piece; `None` once one came.
    whole: Option<String>,
}

/// Collects what the events of a stream say besides text.
pub(super) struct Events {
    redactor: Redactor,
    calls: Calls,
    /// The tool call that is being written.
    writing: Option<Writing>,
    finish: Option<FinishReason>,
    counts: Counts,
    model: Option<String>,
}

impl Events {
    pub(super) fn new(redactor: Redactor) -> Self {
        let counts = Counts::default();
        Self { redactor, calls: Calls::default(), writing: None, finish: None, counts, model: None }
    }

    fn begin(&mut self, block: u64, content: Block) -> Result<Option<StreamItem>, Error> {
        Ok(match content {
            Block::Text { text } => said(text),
            Block::Thinking { thinking, signature } => thought(thinking, signature),
            Block::RedactedThinking { data } => Some(StreamItem::Reasoning(redacted(data))),
            Block::ToolUse { id, name, input } => {
                let (index, id) = self.calls.place(block, Some(&id))?;
                self.writing = Some(Writing { block, whole: Some(wire::arguments_text(&input)) });
                let piece = ToolCallPiece { index, id, name: Some(name), ..ToolCallPiece::default() };
                Some(StreamItem::ToolCall(piece))
            }
            Block::Other => None,
        })
    }

    fn go_on(&mut self, block: u64, delta: Delta) -> Result<Option<StreamItem>, Error> {
        Ok(match delta {
            Delta::Text { text } => said(text),
            Delta::Thinking { thinking } => thought(thinking, None),
            Delta::Signature { signature } => thought(String::new(), Some(signature)),
            Delta::InputJson { partial_json } => self.arguments(block, partial_json)?,
            Delta::Other => None,
        })
    }

    /// Arguments of blocks that are no call of ours, such as a search at the provider, are passed over.
    fn arguments(&mut self, block: u64, arguments: String) -> Result<Option<StreamItem>, Error> {
        match &mut self.writing {
            Some(writing) if writing.block == block && !arguments.is_empty() => writing.whole = None,
            _ => return Ok(None),
        }
        let (index, _) = self.calls.place(block, None)?;
        Ok(Some(StreamItem::ToolCall(ToolCallPiece { index, arguments, ..ToolCallPiece::default() })))
    }

    /// The API itself begins a call with an empty object and writes its arguments piece by piece; others that speak its
    /// format begin with all of them.
    fn finish_block(&mut self, block: u64) -> Result<Option<StreamItem>, Error> {
        let writing = self.writing.as_mut().filter(|writing| writing.block == block);
        match writing.and_then(|writing| writing.whole.take()) {
            Some(whole) => self.arguments(block, whole),
            None => Ok(None),
        }
    }
}

fn said(text: String) -> Option<StreamItem> {
    (!text.is_empty()).then_some(StreamItem::Text(text))
}

fn thought(text: String, signature: Option<String>) -> Option<StreamItem> {
    let piece = Reasoning { text, signature: sealed(signature), redacted: false };
    (piece != Reasoning::default()).then_some(StreamItem::Reasoning(piece))
}

impl Decoder for Events {
    fn decode(&mut self, event: &Event, items: &mut VecDeque<StreamItem>) -> Result<(), Error> {
        // The type in the data says the same as the event's name, and survives proxies that drop the name.
        match wire::read::<Said>(event.data.as_bytes())? {
            Said::MessageStart { message } => {
                self.model = message.model.as_deref().map(wire::word);
                self.counts.update(message.usage.unwrap_or_default());
            }
            Said::ContentBlockStart { index, content_block } => items.extend(self.begin(index, content_block)?),
            Said::ContentBlockDelta { index, delta } => items.extend(self.go_on(index, delta)?),
            Said::ContentBlockStop { index } => items.extend(self.finish_block(index)?),
            Said::MessageDelta { delta, usage } => {
                self.finish = delta.finish().or(self.finish.take());
                self.counts.update(usage.unwrap_or_default());
                items.extend(delta.refusal().map(StreamItem::Refusal));
            }
            Said::MessageStop => items.push_back(StreamItem::End {
                finish: self.finish.take().unwrap_or_else(wire::unreported),
                usage: self.counts.usage(),
                model: self.model.take(),
                dropped: Vec::new(),
            }),
            Said::Error { error } => return Err(error.error(&self.redactor)),
            Said::Other => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Option<StreamItem> {
        None
    }
}
