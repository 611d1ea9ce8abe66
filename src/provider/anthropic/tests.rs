use super::super::samples::{USAGE, check_body, end, full, minimal, redactor};
use super::super::stream::tests::decode;
use super::*;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../tests/golden/anthropic/", $name))
    };
}

const MODEL: &str = "claude-sonnet-4-5-20250929";

#[test]
fn requests_are_golden() {
    check_body(&body("claude-sonnet-4-5", &full(), true), golden!("request.json"));
    check_body(&body("claude-haiku-4-5", &minimal(), false), golden!("request_minimal.json"));
}

#[test]
fn answers_are_read() {
    let expected = Completion {
        text: "Grüezi 🦀".to_owned(),
        finish: FinishReason::Stop,
        usage: Some(USAGE),
        model: Some(MODEL.to_owned()),
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
        assert_eq!(last, Ok(end(FinishReason::Stop, MODEL)));
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
