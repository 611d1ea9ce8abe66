//! Golden requests, answers and streams. Answers go through the whole SDK, from a connector that has them ready.

mod frames;
mod loopback;
mod places;
mod signature;
mod streams;

use std::sync::Arc;

use aws_sdk_bedrockruntime::config::Credentials;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

use super::super::answer::FinishReason;
use super::super::effort::Effort;
use super::super::error_class::ErrorClass;
use super::super::request::Usage;
use super::super::samples::{self, USAGE, check_body, full, minimal};
use super::super::tool::ToolChoice;
use super::connector::Events;
use super::thinking::Thinking;
use super::*;
use crate::prompt::{Message, Reasoning, Role};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/wire/bedrock/", $name))
    };
}
use golden;

const CLAUDE: &str = "eu.anthropic.claude-sonnet-4-6";
const LLAMA: &str = "meta.llama3-3-70b-instruct-v1:0";
const TOKEN: &str = "session-token-0123456789";

fn keys() -> Access {
    Access::Keys(Credentials::new("AKIASCRIPTED", "secret-0123456789", Some(TOKEN.to_owned()), None, "a test"))
}

/// Answers every call with the same bytes, in pieces of a size.
#[derive(Debug, Clone)]
struct Ready {
    bytes: Arc<Vec<u8>>,
    size: usize,
    streams: bool,
}

impl Ready {
    fn provider(bytes: impl Into<Vec<u8>>, size: usize, streams: bool) -> Bedrock {
        let ready = Self { bytes: Arc::new(bytes.into()), size, streams };
        Bedrock::new("eu-central-1", None, ready, keys())
    }
}

impl HttpClient for Ready {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Ready {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            self.bytes.chunks(self.size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let body = if self.streams {
            SdkBody::from_body_1_x(Events::new(reqwest::Body::wrap_stream(stream::iter(pieces))))
        } else {
            SdkBody::from(self.bytes.to_vec())
        };
        HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), body)))
    }
}

async fn whole(answer: &str) -> Result<Completion, Error> {
    Ready::provider(answer, usize::MAX, false).complete(CLAUDE, &minimal().into()).await
}

#[test]
fn requests_are_golden() {
    let check = |model: &str, request: &ChatRequest, golden: &str, dropped: &[&str]| {
        let sent = body(model, request).unwrap();
        check_body(&sent.body, golden);
        assert_eq!(sent.dropped, dropped);
    };
    let foreign = |family: &str| ["user", "model", "stream"].map(|name| format!("provider_options.{family}.{name}"));
    let own = ["model", "stream"].map(|name| format!("provider_options.bedrock.{name}"));
    let others = ["openai", "anthropic", "gemini"].into_iter().flat_map(foreign).chain(own);
    let dropped: Vec<String> = ["top_p", "seed"].map(str::to_owned).into_iter().chain(others).collect();
    let dropped: Vec<&str> = dropped.iter().map(String::as_str).collect();
    check(CLAUDE, &full(), golden!("request.json"), &dropped);
    check(LLAMA, &minimal(), golden!("request_minimal.json"), &[]);
    check(CLAUDE, &samples::tools(), golden!("request_tools.json"), &["parallel_tool_calls"]);
    let dropped = ["temperature", "top_p", "reasoning_budget_tokens"];
    check(CLAUDE, &samples::thinking(), golden!("request_thinking.json"), &dropped);
    let mut images = samples::images();
    images.messages[0].parts.remove(2);
    let dropped = ["messages[0].parts[1].image.detail", "seed", "response_format"];
    check(CLAUDE, &images, golden!("request_images.json"), &dropped);
}

#[test]
fn what_the_model_does_not_take_is_dropped_and_told() {
    let request = ChatRequest { temperature: Some(1.5), ..samples::tools() };
    let sent = body(LLAMA, &request).unwrap();
    let dropped = [
        "messages[0].cache_mark",
        "messages[2].reasoning",
        "temperature",
        "tools[1].cache_mark",
        "parallel_tool_calls",
    ];
    assert_eq!(sent.dropped, dropped);
    assert_eq!(sent.body["inferenceConfig"], json!({"temperature": 1.0}));
    assert!(!sent.body.to_string().contains("cachePoint"), "{}", sent.body);
}

#[test]
fn a_mark_that_has_no_place_is_told() {
    let marked = |role: Role, text: &str| Message { cache_mark: true, ..Message::new(role, text) };
    let thought = Reasoning { text: "hm".to_owned(), signature: Some("c2VhbA==".to_owned()), redacted: false };
    let thinks = Message { reasoning: vec![thought], ..marked(Role::Assistant, " ") };
    let messages = vec![marked(Role::System, " "), marked(Role::User, ""), marked(Role::User, "a"), thinks];
    let sent = body(CLAUDE, &ChatRequest { messages, ..ChatRequest::default() }).unwrap();
    assert_eq!(sent.dropped, [0, 1, 3].map(|at| format!("messages[{at}].cache_mark")));
    let (user, assistant) = (&sent.body["messages"][0]["content"], &sent.body["messages"][1]["content"]);
    assert_eq!(*user, json!([{"text": "a"}, {"cachePoint": {"type": "default"}}]));
    assert_eq!(assistant.as_array().map(Vec::len), Some(1), "{assistant}");
}

#[test]
fn tools_that_may_not_be_called_are_left_out_unless_the_turns_speak_of_them() {
    let none = Some(ToolChoice::None);
    let amid = ChatRequest { tool_choice: none.clone(), ..samples::tools() };
    let sent = body(CLAUDE, &amid).unwrap();
    assert_eq!(sent.dropped, ["tool_choice", "parallel_tool_calls"]);
    assert!(sent.body["toolConfig"].get("toolChoice").is_none());
    let before = ChatRequest { tools: amid.tools, tool_choice: none, ..minimal() };
    let sent = body(CLAUDE, &before).unwrap();
    assert_eq!((sent.dropped.len(), sent.body.get("toolConfig")), (0, None));
}

#[test]
fn tools_that_are_no_longer_offered_are_named_where_the_turns_speak_of_them() {
    let check = |request: ChatRequest, names: Option<&[&str]>, dropped: &[&str]| {
        let sent = body(CLAUDE, &request).unwrap();
        let spec = |name: &&str| json!({"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}});
        let config = names.map(|names| json!({"tools": names.iter().map(spec).collect::<Vec<_>>()}));
        assert_eq!(sent.body.get("toolConfig"), config.as_ref());
        assert_eq!(sent.dropped, dropped);
    };
    let mut after = ChatRequest { tools: Vec::new(), tool_choice: None, parallel_tool_calls: None, ..samples::tools() };
    let again = after.messages[2].clone();
    after.messages.push(again);
    let names: Option<&[&str]> = Some(&["weather", "clock"]);
    check(after.clone(), names, &[]);
    check(ChatRequest { tool_choice: Some(ToolChoice::None), ..after.clone() }, names, &["tool_choice"]);
    check(ChatRequest { messages: minimal().messages, ..after }, None, &[]);
}

#[test]
fn an_image_by_address_is_for_another_target() {
    let Err(error) = body(CLAUDE, &samples::images()) else { panic!("it was written") };
    assert_eq!((error.status(), error.class()), (Some(400), ErrorClass::ContentRefused));
    assert!(error.to_string().contains("messages[0].parts[2]"), "{error}");
}

#[test]
fn every_maker_is_told_in_its_own_way_how_much_to_think() {
    let check = |model: &str, request: &ChatRequest, fields: Value, max_tokens: Option<u32>, dropped: &[&str]| {
        let found = Thinking::of(model, request);
        assert_eq!((Value::Object(found.fields), found.max_tokens), (fields, max_tokens), "{model}");
        assert_eq!(found.dropped, dropped, "{model}");
    };
    let asked = |effort: Effort, limit: Option<u32>| ChatRequest {
        reasoning_effort: Some(effort),
        max_output_tokens: limit,
        ..minimal()
    };
    let nova = |effort: &str| json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}});
    let budget = json!({"thinking": {"type": "enabled", "budget_tokens": 16_384}});
    check("anthropic.claude-haiku-4-5-20251001-v1:0", &asked(Effort::High, None), budget, Some(20_480), &[]);
    check(CLAUDE, &asked(Effort::None, Some(9)), json!({"thinking": {"type": "disabled"}}), Some(9), &[]);
    check("us.amazon.nova-2-lite-v1:0", &asked(Effort::High, None), nova("high"), None, &[]);
    check("us.amazon.nova-2-lite-v1:0", &asked(Effort::High, Some(9)), nova("medium"), Some(9), &["reasoning_effort"]);
    check("us.amazon.nova-2-lite-v1:0", &asked(Effort::Low, Some(9)), nova("low"), Some(9), &[]);
    check("amazon.nova-lite-v1:0", &asked(Effort::Low, None), json!({}), None, &["reasoning_effort"]);
    check("openai.gpt-oss-120b-1:0", &asked(Effort::Low, None), json!({"reasoning_effort": "low"}), None, &[]);
    check("openai.gpt-5.6", &asked(Effort::Medium, None), json!({"reasoning": {"effort": "medium"}}), None, &[]);
    check(LLAMA, &samples::thinking(), json!({}), None, &["reasoning_effort", "reasoning_budget_tokens"]);
    check(LLAMA, &asked(Effort::None, None), json!({}), None, &[]);
    check(LLAMA, &minimal(), json!({}), None, &[]);
}

#[tokio::test]
async fn answers_are_read() {
    let usage = Usage { cached_input_tokens: 4, cache_write_tokens: 3, ..USAGE };
    let signature = Some("x".to_owned());
    let expected = Completion {
        text: "Grüezi 🦀".to_owned(),
        finish: FinishReason::Stop,
        reasoning: vec![Reasoning { text: "hidden".to_owned(), signature, ..Reasoning::default() }],
        usage: Some(usage),
        ..Completion::default()
    };
    assert_eq!(whole(golden!("answer.json")).await, Ok(expected));
    let tools = whole(golden!("answer_tools.json")).await.unwrap();
    assert_eq!(tools.finish, FinishReason::ToolCalls);
    assert_eq!(tools.tool_calls, samples::calls_of_answers(None));
    let usage = Usage { cached_input_tokens: 64, cache_write_tokens: 16, ..Usage::new(100, 60) };
    assert_eq!((tools.usage, tools.reasoning.len()), (Some(usage), 2));
    assert!(tools.model.unwrap().ends_with("claude-sonnet-4-6"));
    assert_eq!(whole(golden!("answer_refused.json")).await.unwrap().finish, FinishReason::ContentFilter);
}

#[tokio::test]
async fn a_success_that_is_none_is_an_error() {
    let check = async |answer: &str, expected: &str| {
        let error = whole(answer).await.unwrap_err().to_string();
        assert!(error.starts_with("malformed answer: ") && error.contains(expected), "{answer} gave {error}");
    };
    check("<html>secret</html>", "HTML").await;
    check("{\"output\":", "ends too early").await;
    check("{\"output\": {\"message\": 7}}", "another form").await;
    check("{}", "no message").await;
    check("", "").await;
    check(&format!("{{\"output\": {}", "[".repeat(100_000)), "").await;
}

#[tokio::test]
async fn usage_that_cannot_be_true_is_not_believed() {
    let table = [
        (r#"{"inputTokens":3,"outputTokens":2,"totalTokens":5}"#, Some(Usage::new(3, 2))),
        (r#"{"inputTokens":-3,"outputTokens":2,"totalTokens":5}"#, None),
        (r#"{"inputTokens":3,"cacheReadInputTokens":-1,"outputTokens":2,"totalTokens":5}"#, None),
        ("{}", None),
        ("null", None),
    ];
    for (counts, expected) in table {
        let answer = format!(
            r#"{{"output":{{"message":{{"role":"assistant","content":[]}}}},"stopReason":"end_turn","usage":{counts}}}"#
        );
        assert_eq!(whole(&answer).await.unwrap().usage, expected, "{answer}");
    }
}
