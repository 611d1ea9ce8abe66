//! The conversation as Converse wants it: roles alternate, the answers of tools stand in the user's turns, and images
//! come as bytes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::super::error::Error;
use super::super::error_class::ErrorClass;
use super::super::request::ChatRequest;
use super::super::wire;
use super::body::Maker;
use crate::prompt::{Answered, Image, ImageSource, Message, PartRef, Reasoning, Role, ToolCall};

pub(super) fn cache_point() -> Value {
    json!({"cachePoint": {"type": "default"}})
}

pub(super) fn system(request: &ChatRequest, maker: Maker, dropped: &mut Vec<String>) -> Vec<Value> {
    let mut blocks = Vec::new();
    for (at, message) in request.messages.iter().enumerate().filter(|(_, message)| message.role == Role::System) {
        let is_blank = message.text.trim().is_empty();
        if !is_blank {
            blocks.push(text(&message.text));
        }
        blocks.extend(mark(at, message, maker.caches_messages() && !is_blank, dropped));
    }
    blocks
}

/// The turns: neighbours of one role joined, and empty ones left out, both of which the API would refuse.
pub(super) fn turns(request: &ChatRequest, maker: Maker, dropped: &mut Vec<String>) -> Result<Value, Error> {
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for (at, message) in request.messages.iter().enumerate().filter(|(_, message)| message.role != Role::System) {
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        let mut blocks = blocks(at, message, maker, dropped)?;
        let has_place = blocks.last().is_some_and(|last| !is_thought(last));
        blocks.extend(mark(at, message, maker.caches_messages() && has_place, dropped));
        match turns.last_mut() {
            Some((last, before)) if *last == role => before.extend(blocks),
            _ if blocks.is_empty() => {}
            _ => turns.push((role, blocks)),
        }
    }
    Ok(turns.into_iter().map(|(role, blocks)| json!({"role": role, "content": blocks})).collect())
}

/// What stands behind the message's blocks if it is marked.
fn mark(at: usize, message: &Message, may_stand: bool, dropped: &mut Vec<String>) -> Option<Value> {
    if message.cache_mark && !may_stand {
        dropped.push(format!("messages[{at}].cache_mark"));
    }
    (message.cache_mark && may_stand).then(cache_point)
}

/// Behind thoughts the API takes no mark. They come first in a turn: where one is the last block, there is nothing
/// else.
fn is_thought(block: &Value) -> bool {
    block.get("reasoningContent").is_some()
}

fn blocks(at: usize, message: &Message, maker: Maker, dropped: &mut Vec<String>) -> Result<Vec<Value>, Error> {
    let mut parts = Vec::new();
    for (part, piece) in message.pieces().into_iter().enumerate() {
        match piece {
            // Blank texts are refused.
            PartRef::Text(words) if words.trim().is_empty() => {}
            PartRef::Text(words) => parts.push(text(words)),
            PartRef::Image(picture) => {
                if picture.detail.is_some() {
                    dropped.push(format!("messages[{at}].parts[{part}].image.detail"));
                }
                parts.push(image(at, part, picture)?);
            }
        }
    }
    if let Some(answered) = &message.answers {
        return Ok(vec![tool_result(answered, parts)]);
    }
    // Models that did not think them refuse them.
    let own = message.reasoning.iter().filter(|_| maker == Maker::Claude);
    let thoughts: Vec<Value> = own.filter_map(thought).collect();
    if thoughts.len() < message.reasoning.len() {
        dropped.push(format!("messages[{at}].reasoning"));
    }
    Ok(thoughts.into_iter().chain(parts).chain(message.tool_calls.iter().map(tool_use)).collect())
}

fn text(text: &str) -> Value {
    json!({"text": text})
}

/// An address cannot be sent, and an answer that has not seen the picture would be wrong: that is for others to answer.
fn image(at: usize, part: usize, image: &Image) -> Result<Value, Error> {
    match &image.source {
        ImageSource::Bytes { bytes, media_type } => {
            let format = media_type.as_str().trim_start_matches("image/");
            Ok(json!({"image": {"format": format, "source": {"bytes": wire::base64(bytes)}}}))
        }
        ImageSource::Url { .. } => Err(Error::Status {
            status: 400,
            class: ErrorClass::ContentRefused,
            retry_after: None,
            message: format!("not sent: Bedrock takes images as data only, messages[{at}].parts[{part}] is a url"),
        }),
    }
}

fn tool_result(answered: &Answered, content: Vec<Value>) -> Value {
    let mut block = json!({"toolUseId": wire::tool_id(&answered.call_id), "content": content});
    if answered.failed {
        wire::insert(&mut block, "status", "error");
    }
    json!({"toolResult": block})
}

fn tool_use(call: &ToolCall) -> Value {
    let input = wire::arguments(&call.arguments);
    json!({"toolUse": {"toolUseId": wire::tool_id(&call.id), "name": call.name, "input": input}})
}

/// Only sealed thoughts are taken back. Hidden ones are bytes here, which [`Reasoning`] holds as base64.
fn thought(thought: &Reasoning) -> Option<Value> {
    let seal = thought.signature.as_deref()?;
    if thought.redacted {
        BASE64_STANDARD.decode(seal).ok()?;
        return Some(json!({"reasoningContent": {"redactedContent": seal}}));
    }
    Some(json!({"reasoningContent": {"reasoningText": {"text": thought.text, "signature": seal}}}))
}
