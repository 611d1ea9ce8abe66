//! The turns of a conversation, each for itself and with what they say of each other.

use std::collections::HashSet;

use super::super::pb;
use super::super::violation::Violations;
use super::image::{ImageBudget, image};
use crate::prompt::{Answered, Message, Part, Reasoning, Role, ToolCall};

const MESSAGES: &str = "input.conversation.messages";
const MAX_PARTS: usize = 64;
const MAX_CALLS: usize = 128;
const MAX_ID_BYTES: usize = 256;
const MAX_TOOL_NAME_BYTES: usize = 64;

pub(super) fn messages(violations: &mut Violations, messages: Vec<pb::ChatMessage>) -> Option<Vec<Message>> {
    if messages.is_empty() {
        violations.add(MESSAGES, "is empty");
        return None;
    }
    let count = messages.len();
    let mut images = ImageBudget::default();
    let turns = messages.into_iter().enumerate();
    let converted: Vec<Message> =
        turns.filter_map(|(at, message)| turn(violations, &mut images, at, message)).collect();
    // What is wrong with the whole can be said only of all its turns.
    if converted.len() < count {
        return None;
    }
    check_calls(violations, &converted);
    Some(converted)
}

fn turn(violations: &mut Violations, images: &mut ImageBudget, at: usize, message: pb::ChatMessage) -> Option<Message> {
    let path = format!("{MESSAGES}[{at}]");
    let role = match message.role() {
        pb::Role::System => Role::System,
        pb::Role::User => Role::User,
        pb::Role::Assistant => Role::Assistant,
        pb::Role::Tool => Role::Tool,
        pb::Role::Unspecified => {
            let value = message.role;
            violations.add(
                format!("{path}.role"),
                format!("is {value}: give ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT or ROLE_TOOL"),
            );
            return None;
        }
    };
    check_fields(violations, &path, role, &message)?;
    let answers = (role == Role::Tool && !message.tool_call_id.is_empty())
        .then_some(Answered { call_id: message.tool_call_id, failed: message.tool_failed });
    let parts = parts(violations, images, &path, message.parts);
    let calls = message.tool_calls.into_iter().enumerate();
    let tool_calls = calls.map(|(at, call)| tool_call(violations, &format!("{path}.tool_calls[{at}]"), call)).collect();
    let plain = if parts.is_empty() { Message::new(role, message.text) } else { Message::of_parts(role, parts) };
    let reasoning = message.reasoning.into_iter().map(reasoning).collect();
    Some(Message { tool_calls, answers, reasoning, cache_mark: message.cache_mark, ..plain })
}

/// What the role allows. `None`: the turn says nothing, so that no more can be said of it.
fn check_fields(violations: &mut Violations, path: &str, role: Role, message: &pb::ChatMessage) -> Option<()> {
    let mut only_of = |field: &str, given: bool, allowed: bool, whose: &str| {
        if given && !allowed {
            violations.add(format!("{path}.{field}"), format!("is given, which only {whose} may have"));
        }
    };
    let (assistants, tools) = (role == Role::Assistant, role == Role::Tool);
    only_of("tool_calls", !message.tool_calls.is_empty(), assistants, "an assistant's turn");
    only_of("reasoning", !message.reasoning.is_empty(), assistants, "an assistant's turn");
    only_of("tool_call_id", !message.tool_call_id.is_empty(), tools, "a tool's turn");
    only_of(
        "tool_failed",
        message.tool_failed,
        tools && !message.tool_call_id.is_empty(),
        "a tool's turn with a call id",
    );
    let seen = role == Role::User || tools;
    let has_image = message.parts.iter().any(|part| matches!(part.part, Some(pb::content_part::Part::Image(_))));
    only_of("parts", has_image && !seen, false, "a user's or tool's turn (images)");
    if !message.text.is_empty() && !message.parts.is_empty() {
        violations.add(format!("{path}.parts"), "are given beside `text`: give one of them");
    }
    for (field, count, most) in
        [("parts", message.parts.len(), MAX_PARTS), ("tool_calls", message.tool_calls.len(), MAX_CALLS)]
    {
        if count > most {
            violations.add(format!("{path}.{field}"), format!("has {count} entries, at most {most} are allowed"));
        }
    }
    let says_something = !message.text.is_empty() || !message.parts.is_empty() || !message.tool_call_id.is_empty();
    if !says_something && role != Role::Assistant {
        violations.add(format!("{path}.text"), "is empty, which only an assistant's turn may be");
        return None;
    }
    Some(())
}

fn parts(violations: &mut Violations, images: &mut ImageBudget, path: &str, parts: Vec<pb::ContentPart>) -> Vec<Part> {
    let parts = parts.into_iter().enumerate().take(MAX_PARTS);
    let converted = parts.filter_map(|(at, part)| {
        let path = format!("{path}.parts[{at}]");
        match part.part {
            Some(pb::content_part::Part::Text(text)) if !text.is_empty() => Some(Part::Text(text)),
            Some(pb::content_part::Part::Text(_)) => {
                violations.add(format!("{path}.text"), "is empty");
                None
            }
            Some(pb::content_part::Part::Image(theirs)) => {
                image(violations, images, &format!("{path}.image"), theirs).map(Part::Image)
            }
            None => {
                violations.add(path, "is missing: give `text` or `image`");
                None
            }
        }
    });
    converted.collect()
}

fn tool_call(violations: &mut Violations, path: &str, call: pb::ToolCall) -> ToolCall {
    let printable = call.id.bytes().all(|byte| byte.is_ascii_graphic());
    if call.id.is_empty() || call.id.len() > MAX_ID_BYTES || !printable {
        violations.add(format!("{path}.id"), format!("must be 1 to {MAX_ID_BYTES} bytes of printable ASCII"));
    }
    check_tool_name(violations, &format!("{path}.name"), &call.name);
    let object = |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok();
    if !call.arguments.is_empty() && !object(&call.arguments) {
        violations.add(format!("{path}.arguments"), "is not a JSON object");
    }
    let signature = Some(call.signature).filter(|seal| !seal.is_empty());
    ToolCall { id: call.id, name: call.name, arguments: call.arguments, signature }
}

/// The names that every provider takes.
pub(super) fn check_tool_name(violations: &mut Violations, field: &str, name: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > MAX_TOOL_NAME_BYTES || !name.bytes().all(plain) {
        violations.add(field, format!("must be 1 to {MAX_TOOL_NAME_BYTES} letters, digits, _ and -"));
    }
}

fn reasoning(theirs: pb::Reasoning) -> Reasoning {
    let signature = Some(theirs.signature).filter(|seal| !seal.is_empty());
    Reasoning { text: theirs.text, signature, redacted: theirs.redacted }
}

/// Each call is answered once, by a turn right behind the call's own, and each answer has its call: providers refuse
/// anything else, each in its own words.
fn check_calls(violations: &mut Violations, messages: &[Message]) {
    let mut known = HashSet::new();
    let mut open: Vec<(&str, String)> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let path = format!("{MESSAGES}[{at}]");
        if let Some(answered) = &message.answers {
            match open.iter().position(|(id, _)| *id == answered.call_id) {
                Some(call) => drop(open.swap_remove(call)),
                None => violations.add(
                    format!("{path}.tool_call_id"),
                    format!("{:?} is no open call of the assistant's turn before it", answered.call_id),
                ),
            }
            continue;
        }
        check_closed(violations, &mut open);
        for (call, tool_call) in message.tool_calls.iter().enumerate() {
            let path = format!("{path}.tool_calls[{call}]");
            if !known.insert(tool_call.id.as_str()) {
                violations.add(format!("{path}.id"), format!("{:?} is given twice", tool_call.id));
            }
            open.push((&tool_call.id, path));
        }
    }
    check_closed(violations, &mut open);
}

fn check_closed(violations: &mut Violations, open: &mut Vec<(&str, String)>) {
    for (id, path) in open.drain(..) {
        violations.add(path, format!("{id:?} is not answered by a tool's turn right behind"));
    }
}
