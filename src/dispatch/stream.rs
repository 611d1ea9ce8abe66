//! A dispatch whose answer comes in pieces. Until the first output, targets replace each other; after it, none can.
//!
//! A plain stream without a task of its own: who does not pull makes the provider wait, who drops it closes the call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{self, Stream, StreamExt};

use super::account::Account;
use super::attempt::{Attempt, Passed};
use super::course::Leg;
use super::dispatcher::Dispatch;
use super::error::Error;
use super::pursuit::{dice, log, now, pursue};
use crate::prompt::Reasoning;
use crate::provider::{self, CompletionStream, FinishReason, StreamItem, ToolCallPiece, Usage};
use crate::routing::Target;

/// Ends with one [`DispatchEvent::End`] or one error.
pub struct DispatchStream {
    events: Pin<Box<dyn Stream<Item = Result<DispatchEvent, Error>> + Send>>,
    account: Account,
}

impl DispatchStream {
    /// What has been done so far; it outlives the stream.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

impl Stream for DispatchStream {
    type Item = Result<DispatchEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(cx)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum DispatchEvent {
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
        /// Targets that come before it in the plan and were not called.
        passed: Vec<Passed>,
    },
}

pub(super) fn run(dispatch: Dispatch) -> DispatchStream {
    let account = dispatch.account.clone();
    let delivery = Delivery { dispatch, state: State::Seeking };
    let events = Box::pin(stream::unfold(delivery, |mut delivery| async move {
        let event = delivery.next().await?;
        Some((event, delivery))
    }));
    DispatchStream { events, account }
}

struct Delivery {
    dispatch: Dispatch,
    state: State,
}

#[derive(Default)]
enum State {
    /// Nothing has been handed over.
    Seeking,
    Delivering {
        leg: Leg,
        items: CompletionStream,
    },
    #[default]
    Over,
}

impl Delivery {
    async fn next(&mut self) -> Option<Result<DispatchEvent, Error>> {
        match std::mem::take(&mut self.state) {
            State::Over => None,
            State::Seeking => {
                // Boxed, so that the room for seeking is given back once text comes.
                let seeking = Box::pin(pursue(&self.dispatch.account, |leg| self.dispatch.open(leg)));
                Some(match seeking.await {
                    Ok((leg, (item, items))) => Ok(self.hand_over(item, leg, items)),
                    Err(error) => Err(error),
                })
            }
            State::Delivering { leg, items } => Some(self.deliver(leg, items).await),
        }
    }

    async fn deliver(&mut self, leg: Leg, mut items: CompletionStream) -> Result<DispatchEvent, Error> {
        let deadline = self.dispatch.account.with(|course| course.deadline());
        let left = deadline.saturating_duration_since(now());
        let patience = self.dispatch.parts.config.idle_timeout.min(left);
        let item = match tokio::time::timeout(patience, items.next()).await {
            Ok(item) => item.unwrap_or(Err(provider::Error::Truncated)),
            Err(_) => Err(provider::Error::Timeout { after: patience }),
        };
        match item {
            Ok(item) => Ok(self.hand_over(item, leg, items)),
            Err(error) => {
                log(&leg, &error);
                Err(self.dispatch.account.with(|course| course.break_off(&leg, &error, now(), dice())))
            }
        }
    }

    /// Whatever is no end is output.
    fn hand_over(&mut self, item: StreamItem, leg: Leg, items: CompletionStream) -> DispatchEvent {
        let output = match &item {
            StreamItem::Text(text) | StreamItem::Refusal(text) => text.as_str(),
            StreamItem::Reasoning(thought) => &thought.text,
            StreamItem::ToolCall(piece) => &piece.arguments,
            StreamItem::End { .. } => "",
        };
        if !matches!(item, StreamItem::End { .. }) {
            self.dispatch.account.with(|course| course.deliver(&leg, output, now()));
        }
        let event = match item {
            StreamItem::End { finish, usage, model, dropped } => {
                let (attempts, passed) = self.dispatch.account.with(|course| {
                    course.succeed(&leg, usage, now(), dice());
                    (course.attempts().to_vec(), course.passed_before(&leg.target, now()))
                });
                return DispatchEvent::End { finish, usage, model, dropped, target: leg.target, attempts, passed };
            }
            StreamItem::Text(text) => DispatchEvent::Text(text),
            StreamItem::Reasoning(thought) => DispatchEvent::Reasoning(thought),
            StreamItem::Refusal(words) => DispatchEvent::Refusal(words),
            StreamItem::ToolCall(piece) => DispatchEvent::ToolCall(piece),
        };
        self.state = State::Delivering { leg, items };
        event
    }
}
