//! Requests as they come in: what they become, and every fault of a bad one at once.

use std::collections::BTreeMap;

use tonic::Status;
use tonic_types::StatusExt;

use super::super::pb;
use super::{Completion, Limits};
use crate::prompt::{MediaType, PartRef};
use crate::provider::{Capability, ChatRequest, Effort, Family, ResponseFormat, ToolChoice};
use crate::routing::Known;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const LIMIT: usize = 1 << 20;

fn completion(request: pb::CompleteRequest, max_bytes: usize) -> Result<Completion, Status> {
    super::completion(request, Limits { max_bytes, known: &Known::default() })
}

fn message(role: pb::Role, text: &str) -> pb::ChatMessage {
    pb::ChatMessage { role: role.into(), text: text.to_owned(), ..Default::default() }
}

fn parts(role: pb::Role, parts: Vec<pb::content_part::Part>) -> pb::ChatMessage {
    let parts = parts.into_iter().map(|part| pb::ContentPart { part: Some(part) }).collect();
    pb::ChatMessage { parts, ..message(role, "") }
}

fn text(text: &str) -> pb::content_part::Part {
    pb::content_part::Part::Text(text.to_owned())
}

fn image(source: pb::image::Source, media_type: &str) -> pb::content_part::Part {
    let detail = pb::ImageDetail::High.into();
    pb::content_part::Part::Image(pb::Image { source: Some(source), media_type: media_type.to_owned(), detail })
}

fn data(bytes: &[u8], media_type: &str) -> pb::content_part::Part {
    image(pb::image::Source::Data(bytes.to_vec()), media_type)
}

fn url(url: &str) -> pb::content_part::Part {
    image(pb::image::Source::Url(url.to_owned()), "")
}

fn calling(calls: &[(&str, &str, &str)]) -> pb::ChatMessage {
    let call = |(id, name, arguments): &(&str, &str, &str)| pb::ToolCall {
        id: (*id).to_owned(),
        name: (*name).to_owned(),
        arguments: (*arguments).to_owned(),
        signature: String::new(),
    };
    pb::ChatMessage { tool_calls: calls.iter().map(call).collect(), ..message(pb::Role::Assistant, "") }
}

fn answering(call_id: &str) -> pb::ChatMessage {
    pb::ChatMessage { tool_call_id: call_id.to_owned(), ..message(pb::Role::Tool, "12 °C") }
}

fn request(messages: Vec<pb::ChatMessage>) -> pb::CompleteRequest {
    let conversation = pb::input::Input::Conversation(pb::Conversation { messages });
    pb::CompleteRequest { input: Some(pb::Input { input: Some(conversation) }), ..Default::default() }
}

fn asking() -> pb::CompleteRequest {
    request(vec![message(pb::Role::User, "weather?")])
}

fn object(json: serde_json::Value) -> prost_types::Struct {
    fn value(json: serde_json::Value) -> prost_types::Value {
        use prost_types::value::Kind;
        let kind = match json {
            serde_json::Value::Null => Kind::NullValue(0),
            serde_json::Value::Bool(flag) => Kind::BoolValue(flag),
            serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
            serde_json::Value::String(text) => Kind::StringValue(text),
            serde_json::Value::Array(values) => {
                Kind::ListValue(prost_types::ListValue { values: values.into_iter().map(value).collect() })
            }
            serde_json::Value::Object(_) => Kind::StructValue(object(json)),
        };
        prost_types::Value { kind: Some(kind) }
    }
    let serde_json::Value::Object(fields) = json else { panic!("no object: {json}") };
    prost_types::Struct {
        fields: fields.into_iter().map(|(name, json)| (name, value(json))).collect::<BTreeMap<_, _>>(),
    }
}

fn tool(name: &str, parameters: Option<serde_json::Value>) -> pb::Tool {
    pb::Tool { name: name.to_owned(), parameters: parameters.map(object), ..Default::default() }
}

fn converted(request: pb::CompleteRequest) -> ChatRequest {
    completion(request, LIMIT).unwrap().chat
}

fn check(request: pb::CompleteRequest, expected: &[&str]) {
    let status: Status = completion(request, LIMIT).unwrap_err();
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, expected, "{status}");
}

#[test]
fn a_conversation_with_tools_is_taken_over() {
    let weather = tool("weather", Some(serde_json::json!({"type": "object", "properties": {"city": {}}})));
    let chat = converted(pb::CompleteRequest {
        tools: vec![weather, tool("clock", None)],
        tool_choice: Some(pb::ToolChoice { choice: Some(pb::tool_choice::Choice::Name("clock".to_owned())) }),
        parallel_tool_calls: Some(false),
        reasoning_effort: pb::ReasoningEffort::Low.into(),
        ..request(vec![
            message(pb::Role::User, "weather?"),
            calling(&[("call_1", "weather", r#"{"city":"Zürich"}"#), ("call_2", "clock", "")]),
            answering("call_2"),
            pb::ChatMessage { tool_failed: true, ..answering("call_1") },
        ])
    });
    assert_eq!(chat.tool_choice, Some(ToolChoice::Named("clock".to_owned())));
    assert_eq!((chat.parallel_tool_calls, chat.reasoning_effort), (Some(false), Some(Effort::Low)));
    assert_eq!(chat.messages[1].tool_calls[0].arguments, r#"{"city":"Zürich"}"#);
    let answered = |at: usize| chat.messages[at].answers.clone().map(|answered| (answered.call_id, answered.failed));
    assert_eq!(answered(2), Some(("call_2".to_owned(), false)));
    assert_eq!(answered(3), Some(("call_1".to_owned(), true)));
    assert!(chat.needs().contains(&Capability::Tools));
}

#[test]
fn images_are_known_by_their_bytes_and_their_turn_is_classified_by_its_words() {
    let turn = parts(pb::Role::User, vec![text("which"), data(PNG, ""), text("cat?"), url("https://example.com/a")]);
    let completion = completion(request(vec![turn]), LIMIT).unwrap();
    assert_eq!(&*completion.classification.prompt.text(), "which\n\ncat?");
    let pieces = completion.chat.messages[0].pieces();
    let PartRef::Image(image) = pieces[1] else { panic!("{pieces:?}") };
    assert!(format!("{image:?}").contains(&format!("{:?} of 8 bytes", MediaType::Png)), "{image:?}");
    assert!(completion.chat.needs().contains(&Capability::Vision));
}

#[test]
fn every_fault_of_a_conversation_is_named() {
    let user = || message(pb::Role::User, "weather?");
    let of = |turns: Vec<pb::ChatMessage>| request([vec![user()], turns].concat());
    let path = "input.conversation.messages[1]";
    let at = |field: &str| format!("{path}.{field}");
    let one = |turn: pb::ChatMessage, field: &str| check(of(vec![turn]), &[&at(field)]);
    one(answering("call_9"), "tool_call_id");
    one(calling(&[("call_1", "weather", "{}")]), "tool_calls[0]");
    one(parts(pb::Role::User, vec![text("")]), "parts[0].text");
    one(parts(pb::Role::User, vec![text("a"), data(b"<svg/>", "")]), "parts[1].image.data");
    one(parts(pb::Role::User, vec![text("a"), data(PNG, "image/jpeg")]), "parts[1].image.media_type");
    one(parts(pb::Role::User, vec![text("a"), data(PNG, "image/tiff")]), "parts[1].image.media_type");
    one(parts(pb::Role::User, vec![text("a"), data(&vec![0; (5 << 20) + 1], "")]), "parts[1].image.data");
    for bad in ["", "https://", "file:///etc/passwd", "https://a b", "https://a\r\nx: y", "data:image/png;base64,AA"] {
        one(parts(pb::Role::User, vec![text("a"), url(bad)]), "parts[1].image.url");
    }
    one(parts(pb::Role::Assistant, vec![text("a"), data(PNG, "")]), "parts");
    one(pb::ChatMessage { tool_call_id: "x".to_owned(), ..user() }, "tool_call_id");
    one(pb::ChatMessage { reasoning: vec![pb::Reasoning::default()], ..user() }, "reasoning");
    one(pb::ChatMessage { text: "both".to_owned(), ..parts(pb::Role::User, vec![text("a")]) }, "parts");

    let bad_calls = calling(&[("", "a b", "[]"), ("x", "ok", "{"), ("x", "ok", "{}")]);
    let expected = ["tool_calls[0].id", "tool_calls[0].name", "tool_calls[0].arguments", "tool_calls[1].arguments"];
    let expected = expected.map(at);
    let twice = at("tool_calls[2].id");
    let answer = "input.conversation.messages[5].tool_call_id";
    let expected: Vec<&str> = expected.iter().map(String::as_str).chain([twice.as_str(), answer]).collect();
    let answers = ["", "x", "x", "x"].map(|id| pb::ChatMessage { tool_call_id: id.to_owned(), ..answering("x") });
    // The first answer has no id, so that it is the user's and closes the calls.
    let mut turns = vec![bad_calls];
    turns.extend(answers);
    let status = completion(of(turns), LIMIT).unwrap_err();
    let violations = status.get_details_bad_request().unwrap().field_violations;
    for field in expected {
        assert!(violations.iter().any(|violation| violation.field == field), "{field} is missing in {status}");
    }
}

#[test]
fn every_fault_of_the_rest_is_named() {
    let check_rest = |request: pb::CompleteRequest, expected: &[&str]| check(request, expected);
    check_rest(
        pb::CompleteRequest {
            tools: vec![
                tool("a b", None),
                tool("ok", Some(serde_json::json!({"type": "string"}))),
                tool("ok", Some(serde_json::json!({"type": "object", "required": "city", "properties": []}))),
            ],
            tool_choice: Some(pb::ToolChoice { choice: Some(pb::tool_choice::Choice::Name("other".to_owned())) }),
            response_format: pb::ResponseFormat::JsonObject.into(),
            response_schema: Some(pb::ResponseSchema::default()),
            reasoning_effort: 99,
            reasoning_budget_tokens: Some(500),
            max_output_tokens: Some(100),
            provider_options_family: "mistral".to_owned(),
            stop: vec![String::new()],
            ..asking()
        },
        &[
            "stop[0]",
            "reasoning_budget_tokens",
            "reasoning_budget_tokens",
            "tools[0].name",
            "tools[1].parameters.type",
            "tools[2].name",
            "tools[2].parameters.properties",
            "tools[2].parameters.required",
            "tool_choice.name",
            "response_format",
            "reasoning_effort",
            "provider_options_family",
        ],
    );
    let auto = Some(pb::ToolChoice { choice: Some(pb::tool_choice::Choice::Mode(1)) });
    check_rest(
        pb::CompleteRequest { tool_choice: auto, parallel_tool_calls: Some(true), ..asking() },
        &["tool_choice", "parallel_tool_calls"],
    );
    let mut marked = request(vec![pb::ChatMessage { cache_mark: true, ..message(pb::Role::User, "a") }; 3]);
    marked.tools =
        vec![pb::Tool { cache_mark: true, ..tool("t", None) }, pb::Tool { cache_mark: true, ..tool("u", None) }];
    check_rest(marked, &["cache_mark"]);
    let options = |json: serde_json::Value| pb::CompleteRequest { provider_options: Some(object(json)), ..asking() };
    check_rest(options(serde_json::json!({"openai": {}, "gemini": 1})), &["provider_options.gemini"]);
}

#[test]
fn options_belong_to_a_family() {
    let of = |json: serde_json::Value, family: &str| {
        let (provider_options, provider_options_family) = (Some(object(json)), family.to_owned());
        converted(pb::CompleteRequest { provider_options, provider_options_family, ..asking() }).options
    };
    let plain = || serde_json::json!({"top_k": 5});
    assert_eq!(of(plain(), "").fields(Family::OpenAi)["top_k"], 5);
    assert!(of(plain(), "anthropic").fields(Family::OpenAi).is_empty());
    assert_eq!(of(plain(), "anthropic").fields(Family::Anthropic)["top_k"], 5);
    let each = of(serde_json::json!({"anthropic": {"top_k": 5}, "gemini": {"x": true}}), "");
    assert_eq!(each.fields(Family::Anthropic)["top_k"], 5);
    assert_eq!(each.fields(Family::Gemini)["x"], true);
    assert!(each.fields(Family::OpenAi).is_empty());
}

#[test]
fn a_schema_is_strict_unless_it_says_otherwise() {
    let of = |strict: Option<bool>| {
        let schema = Some(object(serde_json::json!({"type": "object"})));
        let response_schema = Some(pb::ResponseSchema { schema, strict, ..Default::default() });
        let format = converted(pb::CompleteRequest { response_schema, ..asking() }).response_format;
        let ResponseFormat::Schema(schema) = format else { panic!("{format:?}") };
        (schema.name, schema.strict)
    };
    assert_eq!(of(None), ("answer".to_owned(), true));
    assert_eq!(of(Some(false)), ("answer".to_owned(), false));
}
