use super::super::answer::{FinishReason, StreamItem};
use super::super::error_class::ErrorClass;
use super::super::request::Usage;
use super::super::samples::{self, USAGE, check_body, end, full, minimal, redactor};
use super::super::stream::Decoder;
use super::super::stream::tests::{decode, decode_all};
use super::*;
use crate::prompt::{Message, Reasoning, Role};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../tests/golden/wire/anthropic/", $name))
    };
}

const MODEL: &str = "claude-sonnet-4-5-20250929";
const COUNTED: Usage = Usage { cached_input_tokens: 4, cache_write_tokens: 3, ..USAGE };

pub(in crate::provider) fn whole(answer: &[u8]) -> Result<Completion, Error> {
    completion(answer, &redactor())
}

pub(in crate::provider) fn decoder() -> impl Decoder {
    Events::new(redactor())
}

#[test]
fn requests_are_golden() {
    check_body(&body("claude-sonnet-4-5", &full(), true).body, golden!("request.json"));
    check_body(&body("claude-haiku-4-5", &minimal(), false).body, golden!("request_minimal.json"));
}

#[test]
fn answers_are_read() {
    let expected = Completion {
        text: "Grüezi 🦀".to_owned(),
        finish: FinishReason::Stop,
        reasoning: vec![Reasoning {
            text: "hidden".to_owned(),
            signature: Some("x".to_owned()),
            ..Reasoning::default()
        }],
        usage: Some(COUNTED),
        model: Some(MODEL.to_owned()),
        ..Completion::default()
    };
    assert_eq!(completion(golden!("answer.json").as_bytes(), &redactor()), Ok(expected));
    let refused = r#"{"type":"message","content":[],"stop_reason":"refusal","model":"m"}"#;
    assert_eq!(completion(refused.as_bytes(), &redactor()).unwrap().finish, FinishReason::ContentFilter);
}

#[test]
fn a_success_that_is_none_is_an_error() {
    let check = |answer: &str, expected: Option<u16>| {
        assert_eq!(completion(answer.as_bytes(), &redactor()).unwrap_err().status(), expected, "{answer}");
    };
    check(golden!("error.json"), Some(400));
    check(r#"{"choices":[]}"#, None);
    check("", None);
}

#[tokio::test]
async fn a_stream_is_read_in_pieces_of_any_size() {
    let bytes = golden!("stream.sse").as_bytes();
    for size in [1, 7, 64, bytes.len()] {
        let (texts, last) = decode(bytes, size, Events::new(redactor())).await;
        assert_eq!(texts, ["Grüezi", " 🦀"]);
        assert_eq!(last, Ok(end(FinishReason::Stop, Some(COUNTED), MODEL)));
    }
}

#[tokio::test]
async fn a_stream_without_message_stop_is_truncated() {
    let whole = golden!("stream.sse");
    let bytes = &whole.as_bytes()[..whole.find("event: message_stop").unwrap()];
    let (texts, last) = decode(bytes, 64, Events::new(redactor())).await;
    assert_eq!((texts.len(), last), (2, Err(Error::Truncated)));
}

#[tokio::test]
async fn an_error_inside_a_stream_is_reported_after_its_text() {
    let (texts, last) = decode(golden!("stream_error.sse").as_bytes(), 64, Events::new(redactor())).await;
    assert_eq!(texts, ["Gr"]);
    assert_eq!(
        last,
        Err(Error::Status {
            status: 529,
            class: ErrorClass::Transient,
            retry_after: None,
            message: "Overloaded".to_owned()
        })
    );
}

#[test]
fn what_more_is_asked_is_golden_and_what_cannot_be_is_told() {
    let check = |request: &ChatRequest, golden: &str, dropped: &[&str]| {
        let sent = body("claude-sonnet-4-6", request, false);
        check_body(&sent.body, golden);
        assert_eq!(sent.dropped, dropped);
    };
    check(&samples::tools(), golden!("request_tools.json"), &[]);
    check(
        &samples::images(),
        golden!("request_images.json"),
        &["messages[0].parts[1].image.detail", "messages[0].parts[2].image.detail", "seed", "response_format"],
    );
    check(&samples::thinking(), golden!("request_thinking.json"), &["temperature", "top_p", "reasoning_budget_tokens"]);
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let check = async |answer: &str, stream: &str| {
        let whole = completion(answer.as_bytes(), &redactor()).unwrap();
        samples::check_stream(&whole, stream, decoder).await;
        whole
    };
    let tools = check(golden!("answer_tools.json"), golden!("stream_tools.sse")).await;
    assert_eq!(tools.finish, FinishReason::ToolCalls);
    assert_eq!(tools.tool_calls, samples::calls_of_answers(None));
    assert_eq!((tools.reasoning.len(), tools.text.as_str()), (1, "Let me look."));
    let usage = Usage { cached_input_tokens: 64, cache_write_tokens: 16, reasoning_tokens: 40, ..Usage::new(100, 60) };
    assert_eq!(tools.usage, Some(usage));
    let refused = check(golden!("answer_refused.json"), golden!("stream_refused.sse")).await;
    assert_eq!(
        (refused.finish, refused.refusal.as_deref()),
        (FinishReason::ContentFilter, Some("This looks like a request for malware."))
    );
}

#[test]
fn usage_that_cannot_be_true_is_not_believed() {
    for (counts, expected) in [
        (r#"{"input_tokens":3,"output_tokens":2}"#, Some(Usage::new(3, 2))),
        (r#"{"input_tokens":-3,"output_tokens":2}"#, None),
        (r#"{"input_tokens":3,"output_tokens":0.5}"#, None),
        (r#"{"input_tokens":3,"cache_read_input_tokens":-1,"output_tokens":2}"#, None),
        ("{}", None),
        ("null", None),
        ("7", None),
    ] {
        let answer = format!(r#"{{"type":"message","content":[],"stop_reason":"end_turn","usage":{counts}}}"#);
        assert_eq!(completion(answer.as_bytes(), &redactor()).unwrap().usage, expected, "{answer}");
    }
}

#[tokio::test]
async fn a_call_that_comes_whole_is_taken_whole() {
    let stream = |input: &str, delta: &str| {
        let mut events = format!(
            "data: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":\
             {{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"clock\",\"input\":{input}}}}}\n\n"
        );
        if !delta.is_empty() {
            events.push_str(&format!(
                "data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
                 {{\"type\":\"input_json_delta\",\"partial_json\":\"{delta}\"}}}}\n\n"
            ));
        }
        format!(
            "{events}data: {{\"type\":\"content_block_stop\",\"index\":0}}\n\ndata: {{\"type\":\"message_stop\"}}\n\n"
        )
    };
    let check = async |input: &str, delta: &str, expected: &str| {
        let (items, _) = decode_all(stream(input, delta).as_bytes(), 64, decoder()).await;
        let arguments: String = items
            .iter()
            .filter_map(|item| if let StreamItem::ToolCall(piece) = item { Some(&*piece.arguments) } else { None })
            .collect();
        assert_eq!(arguments, expected, "{input} {delta}");
    };
    check(r#"{"zone":"CET"}"#, "", r#"{"zone":"CET"}"#).await;
    check("{}", r#"{\"zone\":1}"#, r#"{"zone":1}"#).await;
    check(r#"{"zone":"CET"}"#, r#"{\"zone\":1}"#, r#"{"zone":1}"#).await;
    check("{}", "", "{}").await;
    check("null", "", "{}").await;
}

#[test]
fn no_thought_is_marked() {
    let thought = Reasoning { text: "hm".to_owned(), signature: Some("seal".to_owned()), redacted: false };
    let thinking = |text: &str| Message {
        reasoning: vec![thought.clone()],
        cache_mark: true,
        ..Message::new(Role::Assistant, text)
    };
    let sent = |text: &str| {
        let messages = vec![Message::user("why?"), thinking(text)];
        body(MODEL, &ChatRequest { messages, ..ChatRequest::default() }, false)
    };
    let bare = sent("");
    assert_eq!(bare.dropped, ["messages[1].cache_mark"]);
    assert!(!bare.body.to_string().contains("cache_control"), "{}", bare.body);
    let marked = sent("so");
    assert!(marked.dropped.is_empty());
    assert_eq!(marked.body["messages"][1]["content"][1]["cache_control"], serde_json::json!({"type": "ephemeral"}));
}

#[test]
fn the_mark_of_a_blank_system_text_is_told_to_be_dropped() {
    let system = |text: &str, cache_mark: bool| Message { cache_mark, ..Message::new(Role::System, text) };
    let messages = vec![system("Be brief.", false), system(" \n", true), Message::user("why?"), system("", false)];
    let sent = body(MODEL, &ChatRequest { messages, ..ChatRequest::default() }, false);
    assert_eq!(sent.dropped, ["messages[1].cache_mark"]);
    assert_eq!(sent.body["system"], "Be brief.");
}
