//! What comes back event by event. `messageStop` says why the answer ended, `metadata` after it what it has cost.

use std::collections::VecDeque;

use aws_sdk_bedrockruntime::primitives::event_stream::EventReceiver;
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;
use aws_sdk_bedrockruntime::types::{
    ContentBlockDelta, ContentBlockStart, ConverseStreamOutput, ReasoningContentBlockDelta,
};
use futures_util::stream;

use super::super::CompletionStream;
use super::super::answer::{FinishReason, StreamItem, ToolCallPiece};
use super::super::calls::Calls;
use super::super::error::Error;
use super::super::redact::Redactor;
use super::super::request::Usage;
use super::failure::stream_failure;
use super::reply::{finish_reason, model, redacted, usage};
use crate::prompt::Reasoning;

type Receiver = EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>;

/// Nothing is read ahead of what is asked for, and dropping it closes the connection. The end item carries `dropped`.
pub(super) fn items(receiver: Receiver, redactor: Redactor, dropped: Vec<String>) -> CompletionStream {
    let reader =
        Reader { receiver: Some(receiver), redactor, dropped, events: Events::default(), items: VecDeque::new() };
    Box::pin(stream::unfold(reader, |mut reader| async move {
        let item = reader.next().await?;
        Some((item, reader))
    }))
}

struct Reader {
    /// `None` once nothing more is to be read.
    receiver: Option<Receiver>,
    redactor: Redactor,
    /// For the end item.
    dropped: Vec<String>,
    events: Events,
    items: VecDeque<StreamItem>,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<StreamItem, Error>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(Ok(item));
            }
            let taken = match self.receiver.as_mut()?.recv().await {
                Ok(Some(event)) => self.events.take(event, &mut self.items).map(|()| self.events.is_whole()),
                // The bytes ended, one way or another: that is the answer's end only if it was whole.
                ended => self.events.finish.is_some().then_some(true).ok_or_else(|| match ended {
                    Err(error) => stream_failure(&error, &self.redactor),
                    Ok(_) => Error::Truncated,
                }),
            };
            match taken {
                Ok(false) => {}
                Ok(true) => {
                    self.receiver = None;
                    self.items.push_back(self.events.end(std::mem::take(&mut self.dropped)));
                }
                Err(fault) => {
                    self.receiver = None;
                    return Some(Err(fault));
                }
            }
        }
    }
}

/// Collects what the events say besides text.
#[derive(Default)]
struct Events {
    calls: Calls,
    /// The tool call that is being written: the block's number, and whether any argument came.
    writing: Option<(i32, bool)>,
    finish: Option<FinishReason>,
    told_cost: bool,
    usage: Option<Usage>,
    model: Option<String>,
}

impl Events {
    fn take(&mut self, event: ConverseStreamOutput, items: &mut VecDeque<StreamItem>) -> Result<(), Error> {
        match event {
            ConverseStreamOutput::ContentBlockStart(begun) => {
                if let Some(ContentBlockStart::ToolUse(call)) = begun.start {
                    let (index, id) = self.calls.place(number(begun.content_block_index), Some(&call.tool_use_id))?;
                    self.writing = Some((begun.content_block_index, false));
                    let piece = ToolCallPiece { index, id, name: Some(call.name), ..ToolCallPiece::default() };
                    items.push_back(StreamItem::ToolCall(piece));
                }
            }
            ConverseStreamOutput::ContentBlockDelta(more) => match more.delta {
                Some(ContentBlockDelta::Text(text)) if !text.is_empty() => items.push_back(StreamItem::Text(text)),
                Some(ContentBlockDelta::ReasoningContent(delta)) => items.extend(thought(delta)),
                Some(ContentBlockDelta::ToolUse(delta)) => {
                    items.extend(self.arguments(more.content_block_index, delta.input)?);
                }
                // Citations and kinds to come.
                _ => {}
            },
            // A call without arguments is one with an empty object.
            ConverseStreamOutput::ContentBlockStop(ended)
                if self.writing == Some((ended.content_block_index, false)) =>
            {
                items.extend(self.arguments(ended.content_block_index, "{}".to_owned())?);
            }
            ConverseStreamOutput::MessageStop(stopped) => self.finish = Some(finish_reason(&stopped.stop_reason)),
            ConverseStreamOutput::Metadata(told) => {
                self.told_cost = true;
                self.usage = told.usage.as_ref().and_then(usage);
                self.model = told.trace.and_then(|trace| trace.prompt_router).as_ref().and_then(model);
            }
            // The beginning, and events to come.
            _ => {}
        }
        Ok(())
    }

    /// Arguments of blocks that are no call of ours are passed over.
    fn arguments(&mut self, block: i32, arguments: String) -> Result<Option<StreamItem>, Error> {
        match &mut self.writing {
            Some((writing, any)) if *writing == block && !arguments.is_empty() => *any = true,
            _ => return Ok(None),
        }
        let (index, _) = self.calls.place(number(block), None)?;
        Ok(Some(StreamItem::ToolCall(ToolCallPiece { index, arguments, ..ToolCallPiece::default() })))
    }

    fn is_whole(&self) -> bool {
        self.told_cost && self.finish.is_some()
    }

    fn end(&mut self, dropped: Vec<String>) -> StreamItem {
        let finish = self.finish.take().unwrap_or_default();
        StreamItem::End { finish, usage: self.usage, model: self.model.take(), dropped }
    }
}

fn number(block: i32) -> u64 {
    u64::from(block.unsigned_abs())
}

fn thought(delta: ReasoningContentBlockDelta) -> Option<StreamItem> {
    let piece = match delta {
        ReasoningContentBlockDelta::Text(text) => Reasoning { text, ..Reasoning::default() },
        ReasoningContentBlockDelta::Signature(seal) => {
            Reasoning { signature: Some(seal).filter(|seal| !seal.is_empty()), ..Reasoning::default() }
        }
        ReasoningContentBlockDelta::RedactedContent(bytes) => redacted(bytes.as_ref()),
        _ => Reasoning::default(),
    };
    (piece != Reasoning::default()).then_some(StreamItem::Reasoning(piece))
}
