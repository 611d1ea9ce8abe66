//! A dispatch whose answer comes in pieces. Until the first text, targets replace each other; after it, none can.
//!
//! A plain stream without a task of its own: who does not pull makes the provider wait, who drops it closes the call.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, Stream, StreamExt};

use super::attempt::Attempt;
use super::course::{Course, Leg};
use super::dispatcher::{Dispatcher, log, within};
use super::error::Error;
use crate::prompt::Reasoning;
use crate::provider::{self, ChatRequest, CompletionStream, FinishReason, StreamItem, ToolCallPiece, Usage};
use crate::routing::Target;

/// Ends with one [`DispatchEvent::End`] or one error.
pub type DispatchStream = Pin<Box<dyn Stream<Item = Result<DispatchEvent, Error>> + Send>>;

#[derive(Debug, Clone, PartialEq)]
pub enum DispatchEvent {
    /// A call to this target begins. Text that follows is this target's.
    Attempting {
        target: Arc<Target>,
    },
    /// Never empty.
    Text(String),
    /// The next piece of a thought.
    Reasoning(Reasoning),
    /// The next piece of the model's own words for not answering. Never empty.
    Refusal(String),
    ToolCall(ToolCallPiece),
    /// The answer is whole; the last of the attempts brought it.
    End {
        finish: FinishReason,
        usage: Option<Usage>,
        /// The model that answered, as the provider reported it.
        model: Option<String>,
        /// Fields of the request that this target's wire format could not carry.
        dropped: Vec<String>,
        target: Arc<Target>,
        attempts: Vec<Attempt>,
    },
}

pub(super) fn run(dispatcher: Dispatcher, request: Arc<ChatRequest>, course: Course) -> DispatchStream {
    let delivery = Delivery { dispatcher, request, course, state: State::Seeking };
    Box::pin(stream::unfold(delivery, |mut delivery| async move {
        let event = delivery.next().await?;
        Some((event, delivery))
    }))
}

struct Delivery {
    dispatcher: Dispatcher,
    request: Arc<ChatRequest>,
    course: Course,
    state: State,
}

#[derive(Default)]
enum State {
    /// No target is being called.
    Seeking,
    /// A target was announced; nothing of its answer has been handed over.
    Opening(Leg),
    /// Text has been handed over.
    Delivering { leg: Leg, items: CompletionStream, delivered_chars: u64 },
    #[default]
    Over,
}

impl Delivery {
    async fn next(&mut self) -> Option<Result<DispatchEvent, Error>> {
        loop {
            match std::mem::take(&mut self.state) {
                State::Over => return None,
                State::Seeking => return Some(self.seek()),
                State::Opening(leg) => {
                    if let Some(event) = self.open(leg).await {
                        return Some(Ok(event));
                    }
                }
                State::Delivering { leg, items, delivered_chars } => {
                    return Some(self.deliver(leg, items, delivered_chars).await);
                }
            }
        }
    }

    fn seek(&mut self) -> Result<DispatchEvent, Error> {
        let leg = self.course.next(Instant::now())?;
        let target = leg.target.clone();
        self.state = State::Opening(leg);
        Ok(DispatchEvent::Attempting { target })
    }

    /// Calls the target and waits for its first item; `None` if it failed.
    async fn open(&mut self, leg: Leg) -> Option<DispatchEvent> {
        let opening = async {
            let provider = self.dispatcher.provider(&leg.target)?;
            let mut items = provider.stream(&leg.target.model, &self.request).await?;
            let first = items.next().await.unwrap_or(Err(provider::Error::Truncated))?;
            Ok((first, items))
        };
        match within(&leg, opening).await {
            Ok((item, items)) => Some(self.hand_over(item, leg, items, 0)),
            Err(error) => {
                log(&leg, &error);
                self.course.fail(&leg, &error, Instant::now());
                self.state = State::Seeking;
                None
            }
        }
    }

    async fn deliver(
        &mut self,
        leg: Leg,
        mut items: CompletionStream,
        delivered_chars: u64,
    ) -> Result<DispatchEvent, Error> {
        let left = self.course.deadline().saturating_duration_since(Instant::now());
        let patience = self.dispatcher.config().idle_timeout.min(left);
        let item = match tokio::time::timeout(patience, items.next()).await {
            Ok(item) => item.unwrap_or(Err(provider::Error::Truncated)),
            Err(_) => Err(provider::Error::Timeout { after: patience }),
        };
        match item {
            Ok(item) => Ok(self.hand_over(item, leg, items, delivered_chars)),
            Err(error) => {
                log(&leg, &error);
                Err(self.course.break_off(&leg, &error, delivered_chars, Instant::now()))
            }
        }
    }

    fn hand_over(
        &mut self,
        item: StreamItem,
        leg: Leg,
        items: CompletionStream,
        delivered_chars: u64,
    ) -> DispatchEvent {
        let (event, chars) = match item {
            StreamItem::End { finish, usage, model, dropped } => {
                let attempts = self.course.succeed(&leg, Instant::now());
                return DispatchEvent::End { finish, usage, model, dropped, target: leg.target, attempts };
            }
            StreamItem::Text(text) => {
                let chars = text.chars().count();
                (DispatchEvent::Text(text), chars)
            }
            StreamItem::Reasoning(thought) => {
                let chars = thought.text.chars().count();
                (DispatchEvent::Reasoning(thought), chars)
            }
            StreamItem::Refusal(words) => {
                let chars = words.chars().count();
                (DispatchEvent::Refusal(words), chars)
            }
            StreamItem::ToolCall(piece) => {
                let chars = piece.arguments.chars().count();
                (DispatchEvent::ToolCall(piece), chars)
            }
        };
        self.state = State::Delivering { leg, items, delivered_chars: delivered_chars.saturating_add(chars as u64) };
        event
    }
}
