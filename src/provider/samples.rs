//! The requests behind `tests/golden/wire/*/request*.json`, and how golden files are compared.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Completion, FinishReason, StreamItem, ToolCallPiece};
use super::effort::Effort;
use super::error::Error;
use super::format::{ResponseFormat, ResponseSchema};
use super::options::{Family, ProviderOptions};
use super::redact::Redactor;
use super::request::{ChatRequest, Usage};
use super::stream::Decoder;
use super::stream::tests::decode_all;
use super::tool::{Tool, ToolChoice};
use crate::prompt::{Answered, Image, ImageDetail, ImageSource, MediaType, Message, Part, Reasoning, Role, ToolCall};

/// Uses every field that texts have.
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
    let mut options = ProviderOptions::default();
    for family in Family::ALL {
        options.fields_mut(family).clone_from(&extra);
    }
    ChatRequest {
        messages: messages.map(|(role, text)| Message::new(role, text)).to_vec(),
        max_output_tokens: Some(64),
        temperature: Some(0.7),
        top_p: Some(0.95),
        stop: vec!["END".to_owned()],
        seed: Some(7),
        response_format: ResponseFormat::Schema(ResponseSchema { name: "verdict".to_owned(), schema, strict: true }),
        options,
        ..ChatRequest::default()
    }
}

/// Sets nothing but what is asked.
pub(super) fn minimal() -> ChatRequest {
    ChatRequest { messages: vec![Message::user("Hello")], ..ChatRequest::default() }
}

pub(super) fn redactor() -> Redactor {
    Redactor::new(None, &Arc::new(full()))
}

/// A conversation in the middle of the use of tools, begun by a model of Anthropic's.
pub(super) fn tools() -> ChatRequest {
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        signature: None,
    };
    let answer = |call_id: &str, failed: bool, text: &str| Message {
        answers: Some(Answered { call_id: call_id.to_owned(), failed }),
        ..Message::new(Role::Tool, text)
    };
    let thought = |text: &str, signature: Option<&str>| Reasoning {
        text: text.to_owned(),
        signature: signature.map(str::to_owned),
        redacted: text.is_empty(),
    };
    let messages = vec![
        Message { cache_mark: true, ..Message::new(Role::System, "Use the tools.") },
        Message::user("What is the weather in Zürich, and what time is it?"),
        Message {
            tool_calls: vec![
                call("toolu_1", "weather", r#"{"city":"Zürich"}"#),
                call("functions.clock:1", "clock", ""),
            ],
            reasoning: vec![thought("Two tools.", Some("c2lnbmVk")), thought("", Some("aGlkZGVu"))],
            ..Message::new(Role::Assistant, "Let me look.")
        },
        answer("toolu_1", false, "12 °C, rain"),
        answer("functions.clock:1", true, "the clock is broken"),
        Message::user("Then only the weather."),
    ];
    let parameters = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": false,
    });
    let tool = |name: &str, parameters: Value, strict: Option<bool>, cache_mark: bool| Tool {
        name: name.to_owned(),
        description: if strict.is_some() { "Tells the weather of a city.".to_owned() } else { String::new() },
        parameters: parameters.as_object().cloned().unwrap_or_default(),
        strict,
        cache_mark,
    };
    ChatRequest {
        messages,
        tools: vec![tool("weather", parameters, Some(true), false), tool("clock", Value::Null, None, true)],
        tool_choice: Some(ToolChoice::Named("weather".to_owned())),
        parallel_tool_calls: Some(false),
        ..ChatRequest::default()
    }
}

/// Two images between two texts.
pub(super) fn images() -> ChatRequest {
    let inline = ImageSource::Bytes { bytes: b"\x89PNG\r\n\x1a\n".as_slice().into(), media_type: MediaType::Png };
    let url = "https://example.com/cat.webp".to_owned();
    let linked = ImageSource::Url { url, media_type: Some(MediaType::WebP) };
    let image = |source: ImageSource, detail: ImageDetail| Part::Image(Image { source, detail: Some(detail) });
    let parts = vec![
        Part::Text("What differs".to_owned()),
        image(inline, ImageDetail::Low),
        image(linked, ImageDetail::High),
        Part::Text("between the two?".to_owned()),
    ];
    ChatRequest {
        messages: vec![Message::of_parts(Role::User, parts)],
        response_format: ResponseFormat::JsonObject,
        seed: Some(7),
        ..ChatRequest::default()
    }
}

/// Hard thinking.
pub(super) fn thinking() -> ChatRequest {
    ChatRequest {
        reasoning_effort: Some(Effort::High),
        reasoning_budget_tokens: Some(2048),
        temperature: Some(0.2),
        top_p: Some(0.9),
        ..minimal()
    }
}

/// What `answer_tools.json` and `stream_tools.sse` of every wire format ask for.
pub(super) fn calls_of_answers(signature: Option<&str>) -> Vec<ToolCall> {
    let call = |id: &str, name: &str, arguments: &str, signature: Option<&str>| ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        signature: signature.map(str::to_owned),
    };
    vec![call("call_1", "weather", r#"{"city":"Zürich"}"#, signature), call("call_2", "clock", "{}", None)]
}

/// The stream must say what the whole answer says, in whatever pieces its bytes come.
pub(super) async fn check_stream<D: Decoder>(whole: &Completion, stream: &str, decoder: impl Fn() -> D) {
    let bytes = stream.as_bytes();
    let expected = decode_all(bytes, bytes.len(), decoder()).await;
    assert_eq!(&assembled(&expected), whole);
    for size in 1..bytes.len().min(300) {
        assert_eq!(decode_all(bytes, size, decoder()).await, expected, "in pieces of {size}");
    }
}

/// What a client makes of the pieces of a stream that ended well.
pub(super) fn assembled((pieces, end): &(Vec<StreamItem>, Result<StreamItem, Error>)) -> Completion {
    let Ok(StreamItem::End { finish, usage, model, dropped }) = end.clone() else { panic!("{end:?}") };
    let mut whole = Completion { finish, usage, model, dropped, ..Completion::default() };
    let mut open = false;
    for piece in pieces {
        match piece.clone() {
            StreamItem::Text(text) => whole.text.push_str(&text),
            StreamItem::Refusal(words) => whole.refusal.get_or_insert_default().push_str(&words),
            StreamItem::Reasoning(thought) => {
                let ends = thought.signature.is_some();
                match whole.reasoning.last_mut().filter(|_| open && !thought.redacted) {
                    Some(last) => {
                        last.text.push_str(&thought.text);
                        last.signature = thought.signature;
                    }
                    None => whole.reasoning.push(thought),
                }
                open = !ends;
            }
            StreamItem::ToolCall(ToolCallPiece { index, id, name, arguments, signature }) => {
                if let Some(id) = id {
                    assert_eq!(index as usize, whole.tool_calls.len());
                    let name = name.unwrap();
                    whole.tool_calls.push(ToolCall { id, name, arguments: String::new(), signature });
                }
                whole.tool_calls[index as usize].arguments.push_str(&arguments);
            }
            StreamItem::End { .. } => unreachable!("the end comes last"),
        }
    }
    whole
}

/// What all golden answers were counted as.
pub(super) const USAGE: Usage = Usage::new(19, 10);

/// The body must be the golden one in every byte, the order of fields included.
pub(super) fn check_body(body: &Value, golden: &str) {
    assert_eq!(format!("{body:#}\n"), golden);
}

pub(super) fn end(finish: FinishReason, usage: Option<Usage>, model: &str) -> StreamItem {
    StreamItem::End { finish, usage, model: Some(model.to_owned()), dropped: Vec::new() }
}
