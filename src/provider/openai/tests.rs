use super::super::samples::{USAGE, check_body, end, full, minimal, redactor};
use super::super::stream::tests::decode;
use super::*;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../tests/golden/openai/", $name))
    };
}

#[test]
fn requests_are_golden() {
    let field = MaxTokensField::MaxCompletionTokens;
    check_body(&body("gpt-5-mini", &full(), field, true), golden!("request.json"));
    let request = ChatRequest { max_output_tokens: Some(16), ..minimal() };
    check_body(&body("llama3.2", &request, MaxTokensField::MaxTokens, false), golden!("request_minimal.json"));
}

#[test]
fn answers_are_read() {
    let check = |answer: &str, text: &str, finish: FinishReason, usage: Option<Usage>, model: &str| {
        let expected = Completion { text: text.to_owned(), finish, usage, model: Some(model.to_owned()) };
        assert_eq!(completion(answer.as_bytes(), &redactor()), Ok(expected));
    };
    let stop = FinishReason::Stop;
    check(golden!("answer.json"), "Grüezi 🦀", stop, Some(USAGE), "gpt-5-mini-2025-08-07");
    check(golden!("answer_tool_calls.json"), "", FinishReason::ToolCalls, None, "gpt-5-mini");
    let usage = Some(Usage::new(5, 3));
    check(golden!("answer_parts.json"), "Four.", FinishReason::Length, usage, "magistral-medium");
    check(golden!("answer_refusal.json"), "I cannot help.", FinishReason::ContentFilter, None, "gpt-5");
}

#[test]
fn a_success_that_is_none_is_an_error() {
    let check = |answer: &str, expected: Option<u16>| {
        assert_eq!(completion(answer.as_bytes(), &redactor()).unwrap_err().status(), expected, "{answer}");
    };
    check(golden!("error.json"), Some(400));
    check(r#"{"error":{"message":"slow down","code":429}}"#, Some(429));
    check(r#"{"error":{"message":"slow down","code":"429"}}"#, Some(429));
    check(r#"{"error":{"message":"slow down","type":"rate_limit_exceeded"}}"#, Some(429));
    check(r#"{"error":"out of memory"}"#, Some(500));
    check(r#"{"choices":[]}"#, None);
    check("<html></html>", None);
}

#[tokio::test]
async fn a_stream_is_read_in_pieces_of_any_size() {
    let bytes = golden!("stream.sse").as_bytes();
    for size in [1, 7, 64, bytes.len()] {
        let (texts, last) = decode(bytes, size, Chunks::new(redactor())).await;
        assert_eq!(texts, ["Grüezi", " 🦀"]);
        assert_eq!(last, Ok(end(FinishReason::Stop, "gpt-5-mini-2025-08-07")));
    }
}

#[tokio::test]
async fn a_stream_ends_well_only_after_its_finish_reason() {
    let whole = golden!("stream.sse");
    let check = async |upto: &str, expected: Option<Error>| {
        let bytes = &whole.as_bytes()[..whole.find(upto).unwrap()];
        let (_, last) = decode(bytes, 64, Chunks::new(redactor())).await;
        assert_eq!(last.err(), expected, "up to {upto}");
    };
    check("data: [DONE]", None).await;
    check("data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-5-mini-2025-08-07\",\"choices\":[],", None).await;
    check(" 🦀", Some(Error::Truncated)).await;
    check("data", Some(Error::Truncated)).await;
}

#[tokio::test]
async fn an_error_inside_a_stream_is_reported_after_its_text() {
    let (texts, last) = decode(golden!("stream_error.sse").as_bytes(), 64, Chunks::new(redactor())).await;
    assert_eq!(texts, ["Gr"]);
    let message = "The server had an error while processing your request.".to_owned();
    assert_eq!(last, Err(Error::Status { status: 500, class: ErrorClass::Transient, retry_after: None, message }));
}

#[tokio::test]
async fn an_empty_answer_is_an_answer() {
    let (texts, last) = decode(b"data: [DONE]\n\n", 64, Chunks::new(redactor())).await;
    let end = StreamItem::End { finish: wire::unreported(), usage: None, model: None };
    assert_eq!((texts.len(), last), (0, Ok(end)));
}
