use super::super::samples::{USAGE, check_body, end, full, minimal, redactor};
use super::super::stream::tests::decode;
use super::*;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../tests/golden/gemini/", $name))
    };
}

const MODEL: &str = "gemini-2.5-flash";

fn decoder() -> Answers {
    Answers { redactor: redactor(), last: Last::default() }
}

#[test]
fn requests_are_golden() {
    check_body(&body(&full()), golden!("request.json"));
    check_body(&body(&minimal()), golden!("request_minimal.json"));
}

#[test]
fn answers_are_read() {
    let check = |answer: &str, text: &str, finish: FinishReason, usage: Usage| {
        let usage = Some(usage);
        let expected = Completion { text: text.to_owned(), finish, usage, model: Some(MODEL.to_owned()) };
        assert_eq!(completion(answer.as_bytes(), &redactor()), Ok(expected));
    };
    check(golden!("answer.json"), "Grüezi 🦀", FinishReason::Stop, USAGE);
    let usage = Usage::new(19, 0);
    check(golden!("answer_blocked.json"), "", FinishReason::ContentFilter, usage);
    let usage = Usage::new(19, 64);
    check(golden!("answer_thought_only.json"), "", FinishReason::Length, usage);
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
        assert_eq!(last, Ok(end(FinishReason::Stop, MODEL)));
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
    let end = StreamItem::End { finish: FinishReason::ContentFilter, usage: None, model: None };
    assert_eq!((texts.len(), last), (0, Ok(end)));
}

#[tokio::test]
async fn an_error_inside_a_stream_is_reported_after_its_text() {
    let (texts, last) = decode(golden!("stream_error.sse").as_bytes(), 64, decoder()).await;
    assert_eq!(texts, ["Gr"]);
    let message = "The model is overloaded. Please try again later.".to_owned();
    assert_eq!(last, Err(Error::Status { status: 503, class: ErrorClass::Transient, retry_after: None, message }));
}
