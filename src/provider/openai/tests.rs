use super::super::answer::{FinishReason, StreamItem};
use super::super::error_class::ErrorClass;
use super::super::request::Usage;
use super::super::samples::{self, USAGE, check_body, end, full, minimal, redactor};
use super::super::stream::Decoder;
use super::super::stream::tests::decode;
use super::super::wire;
use super::*;
use crate::prompt::Reasoning;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../tests/golden/wire/openai/", $name))
    };
}

pub(in crate::provider) fn whole(answer: &[u8]) -> Result<Completion, Error> {
    completion(answer, &redactor())
}

pub(in crate::provider) fn decoder() -> impl Decoder {
    Chunks::new(redactor())
}

#[test]
fn requests_are_golden() {
    let field = MaxTokensField::MaxCompletionTokens;
    check_body(&body("gpt-5-mini", &full(), field, true).body, golden!("request.json"));
    let request = ChatRequest { max_output_tokens: Some(16), ..minimal() };
    check_body(&body("llama3.2", &request, MaxTokensField::MaxTokens, false).body, golden!("request_minimal.json"));
}

#[test]
fn answers_are_read() {
    let check = |answer: &str, expected: Completion| {
        assert_eq!(completion(answer.as_bytes(), &redactor()), Ok(expected));
    };
    let said = |text: &str, finish: FinishReason, usage: Option<Usage>, model: &str| Completion {
        text: text.to_owned(),
        finish,
        usage,
        model: Some(model.to_owned()),
        ..Completion::default()
    };
    let usage = Usage { reasoning_tokens: 4, ..USAGE };
    check(golden!("answer.json"), said("Grüezi 🦀", FinishReason::Stop, Some(usage), "gpt-5-mini-2025-08-07"));
    let usage = Some(Usage::new(5, 3));
    let parts = Completion {
        reasoning: vec![Reasoning { text: "hidden".to_owned(), ..Reasoning::default() }],
        ..said("Four.", FinishReason::Length, usage, "magistral-medium")
    };
    check(golden!("answer_parts.json"), parts);
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
        assert_eq!(last, Ok(end(FinishReason::Stop, Some(USAGE), "gpt-5-mini-2025-08-07")));
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
    let end = StreamItem::End { finish: wire::unreported(), usage: None, model: None, dropped: Vec::new() };
    assert_eq!((texts.len(), last), (0, Ok(end)));
}

#[test]
fn what_more_is_asked_is_golden_and_what_cannot_be_is_told() {
    let check = |request: &ChatRequest, golden: &str, dropped: &[&str]| {
        let sent = body("gpt-5-mini", request, MaxTokensField::MaxCompletionTokens, false);
        check_body(&sent.body, golden);
        assert_eq!(sent.dropped, dropped);
    };
    check(
        &samples::tools(),
        golden!("request_tools.json"),
        &["messages[0].cache_mark", "messages[2].reasoning", "messages[4].tool_failed", "tools[1].cache_mark"],
    );
    check(&samples::images(), golden!("request_images.json"), &[]);
    check(&samples::thinking(), golden!("request_thinking.json"), &["reasoning_budget_tokens"]);
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
        (FinishReason::ContentFilter, Some("I cannot help with that."))
    );
}

#[test]
fn usage_that_cannot_be_true_is_not_believed() {
    for (counts, expected) in [
        (r#"{"prompt_tokens":3,"completion_tokens":2}"#, Some(Usage::new(3, 2))),
        (r#"{"prompt_tokens":-3,"completion_tokens":2}"#, None),
        (r#"{"prompt_tokens":3,"completion_tokens":2.5}"#, None),
        (r#"{"prompt_tokens":3,"completion_tokens":18446744073709551615}"#, None),
        (
            r#"{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":-1}}"#,
            Some(Usage::new(3, 2)),
        ),
        (r#"{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":7}"#, Some(Usage::new(3, 2))),
        ("{}", None),
        ("null", None),
        ("\"none\"", None),
    ] {
        let answer =
            format!(r#"{{"choices":[{{"message":{{"content":"a"}},"finish_reason":"stop"}}],"usage":{counts}}}"#);
        assert_eq!(completion(answer.as_bytes(), &redactor()).unwrap().usage, expected, "{answer}");
    }
}

/// As Perplexity writes them: each chunk holds its piece, and all that was said until then.
#[tokio::test]
async fn a_piece_counts_where_the_whole_stands_beside_it() {
    let chunk = |whole: &str, delta: &str, more: &str| {
        let message = format!(r#"{{"role":"assistant","content":"{whole}"}}"#);
        format!("data: {{\"choices\":[{{\"index\":0,\"message\":{message}{delta}{more}}}]}}\n\n")
    };
    let delta = |text: &str| format!(r#","delta":{{"role":"assistant","content":"{text}"}}"#);
    let last = chunk("So it is.", "", r#","finish_reason":"stop""#);
    let stream = format!("{}{}{last}", chunk("So", &delta("So"), ""), chunk("So it is.", &delta(" it is."), ""));
    let (texts, end) = decode(stream.as_bytes(), 64, Chunks::new(redactor())).await;
    assert_eq!(texts, ["So", " it is."]);
    assert!(matches!(end, Ok(StreamItem::End { finish: FinishReason::Stop, .. })), "{end:?}");
    // A server that knows no delta is understood, too.
    let (texts, _) = decode(last.as_bytes(), 64, Chunks::new(redactor())).await;
    assert_eq!(texts, ["So it is."]);
    let whole = r#"{"choices":[{"message":{"content":"So"},"delta":{"content":""},"finish_reason":"stop"}]}"#;
    assert_eq!(completion(whole.as_bytes(), &redactor()).unwrap().text, "So");
}
