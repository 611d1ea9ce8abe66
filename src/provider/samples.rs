//! The requests behind `tests/golden/*/request*.json`, and how golden files are compared.

use serde_json::{Value, json};

use super::redact::Redactor;
use super::request::{ChatRequest, ResponseSchema, StreamItem, Usage};
use crate::prompt::{Message, Role};

/// Uses every field.
pub(super) fn full() -> ChatRequest {
    let messages = [
        (Role::System, "Be brief."),
        (Role::System, "Answer in English."),
        (Role::User, "Say \"grüezi\" 🦀"),
        (Role::User, "and why"),
        (Role::Assistant, "Grüezi."),
        (Role::Tool, "Tool says: 3"),
    ];
    let schema = json!({
        "type": "object",
        "properties": {"route": {"type": "string"}},
        "required": ["route"],
        "additionalProperties": false,
    });
    let Value::Object(extra) = json!({"user": "tenant-1", "model": "not this one", "stream": false}) else {
        unreachable!("an object was written")
    };
    ChatRequest {
        messages: messages.map(|(role, text)| Message::new(role, text)).to_vec(),
        max_output_tokens: Some(64),
        temperature: Some(0.7),
        top_p: Some(0.95),
        stop: vec!["END".to_owned()],
        seed: Some(7),
        response_schema: Some(ResponseSchema { name: "verdict".to_owned(), schema }),
        extra,
    }
}

/// Sets nothing but what is asked.
pub(super) fn minimal() -> ChatRequest {
    ChatRequest { messages: vec![Message::user("Hello")], ..ChatRequest::default() }
}

pub(super) fn redactor() -> Redactor {
    Redactor::new(None, &full())
}

/// What all golden answers were counted as.
pub(super) const USAGE: Usage = Usage::new(19, 10);

/// The body must be the golden one in every byte, the order of fields included.
pub(super) fn check_body(body: &Value, golden: &str) {
    assert_eq!(format!("{body:#}\n"), golden);
}

pub(super) fn end(finish: super::FinishReason, model: &str) -> StreamItem {
    StreamItem::End { finish, usage: Some(USAGE), model: Some(model.to_owned()) }
}
