use super::super::answer::{FinishReason, StreamItem};
use super::super::error_class::ErrorClass;
use super::super::request::Usage;
use super::super::samples::{self, USAGE, check_body, end, full, minimal, redactor};
use super::super::stream::Decoder;
use super::super::stream::tests::decode;
use super::*;
use crate::prompt::Reasoning;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../tests/golden/wire/gemini/", $name))
    };
}

const MODEL: &str = "gemini-2.5-flash";
const COUNTED: Usage = Usage { reasoning_tokens: 4, ..USAGE };

pub(in crate::provider) fn whole(answer: &[u8]) -> Result<Completion, Error> {
    completion(answer, &redactor())
}

pub(in crate::provider) fn decoder() -> impl Decoder {
    Answers::new(redactor())
}

#[test]
fn requests_are_golden() {
    check_body(&body(MODEL, &full()).body, golden!("request.json"));
    check_body(&body(MODEL, &minimal()).body, golden!("request_minimal.json"));
}

#[test]
fn answers_are_read() {
    let check = |answer: &str, [text, thought]: [&str; 2], finish: FinishReason, usage: Usage| {
        let (usage, model) = (Some(usage), Some(MODEL.to_owned()));
        let thought = Some(thought).filter(|text| !text.is_empty()).map(str::to_owned);
        let reasoning = thought.map(|text| Reasoning { text, ..Reasoning::default() }).into_iter().collect();
        let expected = Completion { text: text.to_owned(), reasoning, finish, usage, model, ..Completion::default() };
        assert_eq!(completion(answer.as_bytes(), &redactor()), Ok(expected));
    };
    check(golden!("answer.json"), ["Grüezi 🦀", "hidden"], FinishReason::Stop, COUNTED);
    let usage = Usage::new(19, 0);
    check(golden!("answer_blocked.json"), ["", ""], FinishReason::ContentFilter, usage);
    let usage = Usage { reasoning_tokens: 64, ..Usage::new(19, 64) };
    check(golden!("answer_thought_only.json"), ["", ""], FinishReason::Length, usage);
}

#[test]
fn a_tool_call_is_told_from_a_stop() {
    let answer = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}]}"#;
    assert_eq!(completion(answer.as_bytes(), &redactor()).unwrap().finish, FinishReason::ToolCalls);
}

#[test]
fn a_success_that_is_none_is_an_error() {
    let check = |answer: &str, expected: Option<u16>| {
        assert_eq!(completion(answer.as_bytes(), &redactor()).unwrap_err().status(), expected, "{answer}");
    };
    check(r#"{"error":{"code":403,"message":"no"}}"#, Some(403));
    check("{}", None);
    check("[]", None);
}

#[tokio::test]
async fn a_stream_is_read_in_pieces_of_any_size() {
    let bytes = golden!("stream.sse").as_bytes();
    for size in [1, 7, 64, bytes.len()] {
        let (texts, last) = decode(bytes, size, decoder()).await;
        assert_eq!(texts, ["Grüezi", " 🦀"]);
        assert_eq!(last, Ok(end(FinishReason::Stop, Some(COUNTED), MODEL)));
    }
}

#[tokio::test]
async fn a_stream_without_finish_reason_is_truncated() {
    let whole = golden!("stream.sse");
    let bytes = &whole.as_bytes()[..whole.find("🦀").unwrap()];
    let (texts, last) = decode(bytes, 64, decoder()).await;
    assert_eq!((texts, last), (vec!["Grüezi".to_owned()], Err(Error::Truncated)));
}

#[tokio::test]
async fn a_blocked_prompt_ends_the_stream_well() {
    let (texts, last) = decode(b"data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n", 64, decoder()).await;
    let end = StreamItem::End { finish: FinishReason::ContentFilter, usage: None, model: None, dropped: Vec::new() };
    assert_eq!((texts.len(), last), (0, Ok(end)));
}

#[tokio::test]
async fn an_error_inside_a_stream_is_reported_after_its_text() {
    let (texts, last) = decode(golden!("stream_error.sse").as_bytes(), 64, decoder()).await;
    assert_eq!(texts, ["Gr"]);
    let message = "The model is overloaded. Please try again later.".to_owned();
    assert_eq!(last, Err(Error::Status { status: 503, class: ErrorClass::Transient, retry_after: None, message }));
}

#[test]
fn what_more_is_asked_is_golden_and_what_cannot_be_is_told() {
    let check = |request: &ChatRequest, golden: &str, dropped: &[&str]| {
        let sent = body("gemini-3-flash-preview", request);
        check_body(&sent.body, golden);
        assert_eq!(sent.dropped, dropped);
    };
    check(
        &samples::tools(),
        golden!("request_tools.json"),
        &[
            "messages[0].cache_mark",
            "messages[2].reasoning",
            "tools[0].strict",
            "tools[1].cache_mark",
            "parallel_tool_calls",
        ],
    );
    check(
        &samples::images(),
        golden!("request_images.json"),
        &["messages[0].parts[1].image.detail", "messages[0].parts[2].image.detail"],
    );
    check(&samples::thinking(), golden!("request_thinking.json"), &[]);
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
    assert_eq!(tools.tool_calls, samples::calls_of_answers(Some("c2VhbA==")));
    assert_eq!((tools.reasoning.len(), tools.text.as_str()), (1, "Let me look."));
    let usage = Usage { cached_input_tokens: 64, cache_write_tokens: 0, reasoning_tokens: 40, ..Usage::new(100, 60) };
    assert_eq!(tools.usage, Some(usage));
    let refused = check(golden!("answer_refused.json"), golden!("stream_refused.sse")).await;
    assert_eq!((refused.finish, refused.refusal.as_deref()), (FinishReason::ContentFilter, None));
}

#[test]
fn usage_that_cannot_be_true_is_not_believed() {
    for (counts, expected) in [
        (r#"{"promptTokenCount":3,"candidatesTokenCount":2}"#, Some(Usage::new(3, 2))),
        (r#"{"promptTokenCount":-3,"candidatesTokenCount":2}"#, None),
        (r#"{"promptTokenCount":3,"candidatesTokenCount":1e300}"#, None),
        ("{}", None),
        ("null", None),
        ("[]", None),
    ] {
        let answer = format!(r#"{{"candidates":[{{"finishReason":"STOP"}}],"usageMetadata":{counts}}}"#);
        assert_eq!(completion(answer.as_bytes(), &redactor()).unwrap().usage, expected, "{answer}");
    }
}
