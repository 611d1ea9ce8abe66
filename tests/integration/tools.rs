//! Tools from end to end: the model's calls reach the caller, whole and in pieces, and the caller's answers the model.

use prost_types::value::Kind;
use semroute::grpc::pb;
use serde_json::{Value, json};

use crate::scripted::{Script, Scripted, Step};
use crate::server::{Setup, TestServer};

const ASK: &str = "what is 7 times 8?";

fn object(fields: Vec<(&str, Kind)>) -> prost_types::Struct {
    let fields = fields.into_iter().map(|(name, kind)| (name.to_owned(), prost_types::Value { kind: Some(kind) }));
    prost_types::Struct { fields: fields.collect() }
}

fn message(role: pb::Role, text: &str) -> pb::ChatMessage {
    pb::ChatMessage { role: role.into(), text: text.to_owned(), ..Default::default() }
}

/// Asks with one tool, and with two fields that OpenAI's format has no place for.
fn request(messages: Vec<pb::ChatMessage>) -> pb::CompleteRequest {
    let conversation = pb::input::Input::Conversation(pb::Conversation { messages });
    let parameters = object(vec![("type", Kind::StringValue("object".to_owned()))]);
    let top_k = object(vec![("top_k", Kind::NumberValue(5.0))]);
    pb::CompleteRequest {
        input: Some(pb::Input { input: Some(conversation) }),
        tools: vec![pb::Tool {
            name: "times".to_owned(),
            description: "Multiplies.".to_owned(),
            parameters: Some(parameters),
            ..Default::default()
        }],
        tool_choice: Some(pb::ToolChoice {
            choice: Some(pb::tool_choice::Choice::Mode(pb::ToolChoiceMode::Required.into())),
        }),
        reasoning_budget_tokens: Some(2048),
        provider_options: Some(object(vec![("anthropic", Kind::StructValue(top_k))])),
        ..Default::default()
    }
}

const DROPPED: [&str; 2] = ["reasoning_budget_tokens", "provider_options.anthropic.top_k"];

fn calls(arguments: &str, id: Option<&str>) -> Value {
    let name = id.map(|_| "times");
    json!([{"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}])
}

async fn complete(server: &TestServer, request: pb::CompleteRequest) -> pb::CompleteResponse {
    server.router().await.complete(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_and_its_answer_go_there_and_back() {
    let message_of_model = json!({
        "role": "assistant", "content": null, "reasoning_content": "A tool knows.",
        "tool_calls": calls(r#"{"a":7,"b":8}"#, Some("call_1")),
    });
    let called = json!({"model": "m", "choices": [{"message": message_of_model, "finish_reason": "tool_calls"}]});
    let provider = Scripted::start([Script::json(200, &called), Script::completion("56")]).await;
    let server = Setup::providers(&[provider.address()], "").start().await;

    let asked = complete(&server, request(vec![message(pb::Role::User, ASK)])).await;
    let served = asked.served.unwrap();
    assert_eq!(served.finish_reason(), pb::FinishReason::ToolCalls);
    assert_eq!(served.dropped_fields, DROPPED);
    assert_eq!(asked.reasoning[0].text, "A tool knows.");
    let call = pb::ToolCall {
        id: "call_1".to_owned(),
        name: "times".to_owned(),
        arguments: r#"{"a":7,"b":8}"#.to_owned(),
        signature: String::new(),
    };
    assert_eq!(asked.tool_calls, std::slice::from_ref(&call));

    let turns = vec![
        message(pb::Role::User, ASK),
        pb::ChatMessage { tool_calls: asked.tool_calls, ..message(pb::Role::Assistant, "") },
        pb::ChatMessage { tool_call_id: call.id, ..message(pb::Role::Tool, "56") },
    ];
    assert_eq!(complete(&server, request(turns)).await.text, "56");
    let sent = provider.requests().remove(1).json();
    assert_eq!(sent["messages"][1]["tool_calls"][0]["function"]["arguments"], r#"{"a":7,"b":8}"#);
    assert_eq!(sent["messages"][2], json!({"role": "tool", "tool_call_id": "call_1", "content": "56"}));
    assert_eq!((&sent["tool_choice"], &sent["tools"][0]["function"]["name"]), (&json!("required"), &json!("times")));
    assert_eq!(sent.get("top_k"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_brings_calls_thoughts_and_refusals_in_pieces() {
    let delta = |delta: Value| Step::event(&json!({"model": "m", "choices": [{"index": 0, "delta": delta}]}));
    let finish = json!({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    let provider = Scripted::start([Script::events([
        delta(json!({"reasoning_content": "A tool knows."})),
        delta(json!({"tool_calls": calls("", Some("call_1"))})),
        delta(json!({"tool_calls": calls(r#"{"a":7,"#, None)})),
        delta(json!({"tool_calls": calls(r#""b":8}"#, None)})),
        delta(json!({"refusal": "No more."})),
        Step::event(&finish),
        Step::done(),
    ])])
    .await;
    let server = Setup::providers(&[provider.address()], "").start().await;
    let request = request(vec![message(pb::Role::User, ASK)]);
    let mut stream = server.router().await.complete_stream(request).await.unwrap().into_inner();
    let (mut ids, mut arguments, mut rest) = (Vec::new(), String::new(), Vec::new());
    while let Some(event) = stream.message().await.unwrap() {
        match event.event.unwrap() {
            pb::complete_event::Event::Decision(_) => rest.push("decision".to_owned()),
            pb::complete_event::Event::Text(text) => panic!("nobody said {text:?}"),
            pb::complete_event::Event::Reasoning(thought) => rest.push(thought.text),
            pb::complete_event::Event::Refusal(words) => rest.push(words),
            pb::complete_event::Event::ToolCallDelta(piece) => {
                assert_eq!(piece.index, 0);
                ids.push((piece.id, piece.name));
                arguments.push_str(&piece.arguments);
            }
            pb::complete_event::Event::Served(served) => {
                assert_eq!(served.finish_reason(), pb::FinishReason::ContentFilter);
                assert_eq!(served.dropped_fields, DROPPED);
                rest.push("served".to_owned());
            }
        }
    }
    assert_eq!(rest, ["decision", "A tool knows.", "No more.", "served"]);
    assert_eq!(arguments, r#"{"a":7,"b":8}"#);
    let first = ("call_1".to_owned(), "times".to_owned());
    assert_eq!(ids, [first, Default::default(), Default::default()]);
}
