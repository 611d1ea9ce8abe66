//! Streams, whole, damaged and cut.

use proptest::prelude::*;

use super::super::super::answer::{FinishReason, StreamItem};
use super::super::super::damage_tests::{damaged, odd};
use super::super::super::error::Error;
use super::super::super::error_class::ErrorClass;
use super::super::super::samples::{self, assembled, minimal};
use super::super::super::sse::MAX_EVENT_BYTES;
use super::super::super::stream::tests::{Read, read};
use super::super::super::{Provider, answer::Completion};
use super::frames::{frame, frames};
use super::{CLAUDE, Ready, golden, whole};

async fn decoded(bytes: &[u8], size: usize) -> Read {
    match Ready::provider(bytes, size, true).stream(CLAUDE, &minimal().into()).await {
        Ok(items) => read(items).await,
        // The SDK waits for the first event.
        Err(error) => (Vec::new(), Err(error)),
    }
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says_in_whatever_pieces_it_comes() {
    let check = async |answer: &str, lines: &str| {
        let bytes = frames(lines);
        let expected = decoded(&bytes, bytes.len()).await;
        assert_eq!(assembled(&expected), whole(answer).await.unwrap());
        for size in (1..bytes.len()).step_by(bytes.len() / 200 + 1) {
            assert_eq!(decoded(&bytes, size).await, expected, "in pieces of {size}");
        }
    };
    check(golden!("answer.json"), golden!("stream.jsonl")).await;
    check(golden!("answer_tools.json"), golden!("stream_tools.jsonl")).await;
    check(golden!("answer_refused.json"), golden!("stream_refused.jsonl")).await;
}

#[tokio::test]
async fn a_stream_that_ends_anywhere_is_truncated_unless_it_was_whole() {
    let lines = golden!("stream.jsonl");
    let bytes = frames(lines);
    let up_to = |name: &str| frames(&lines[..lines.find(name).unwrap() - 2]).len();
    let (stop, cost) = (up_to("messageStop"), up_to("metadata"));
    for end in 0..bytes.len() {
        let (_, last) = decoded(&bytes[..end], 64).await;
        if end < cost {
            assert_eq!(last, Err(Error::Truncated), "after {end} of {}, the stop at {stop}", bytes.len());
        } else {
            // All but the cost has come.
            assert!(matches!(last, Ok(StreamItem::End { finish: FinishReason::Stop, usage: None, .. })), "{last:?}");
        }
    }
}

#[tokio::test]
async fn an_exception_in_a_stream_is_reported_after_its_text() {
    let (before, last) = decoded(&frames(golden!("stream_error.jsonl")), 7).await;
    assert_eq!(before, [StreamItem::Text("Gr".to_owned())]);
    let message = "modelStreamErrorException: The model fell over.".to_owned();
    assert_eq!(last, Err(Error::Status { status: 424, class: ErrorClass::Transient, retry_after: None, message }));
}

#[tokio::test]
async fn exceptions_are_classed_by_their_names() {
    use ErrorClass::*;
    let check = async |name: &str, said: &str, status: u16, class: ErrorClass| {
        let line = format!("{{\"{name}\":{{\"message\":\"{said}\"}}}}\n");
        let error = decoded(&frames(&line), 64).await.1.unwrap_err();
        assert_eq!((error.status(), error.class()), (Some(status), class), "{error}");
    };
    check("throttlingException", "Too many tokens", 429, RateLimited).await;
    check("serviceUnavailableException", "x", 503, Transient).await;
    check("internalServerException", "x", 500, Transient).await;
    check("validationException", "x", 400, Invalid).await;
    check("validationException", "Input is too long for requested model.", 400, TooLong).await;
    check("modelTimeoutException", "x", 408, Transient).await;
    check("unheardOfException", "x", 500, Transient).await;
    let headers = [(":message-type", "error"), (":error-code", "InternalError"), (":error-message", "oops")];
    let error = decoded(&frame(&headers, ""), 64).await.1.unwrap_err();
    assert_eq!(error.to_string(), "status 500: InternalError: oops");
}

#[tokio::test]
async fn what_is_no_stream_is_malformed() {
    let mut flipped = frames(golden!("stream.jsonl"));
    let last = flipped.len() - 10;
    flipped[last] ^= 1;
    let event = [(":message-type", "event"), (":event-type", "contentBlockDelta")];
    let garbage: Vec<u8> = [[0, 0, 0, 64], [0xff; 4], [7; 4]].concat().into_iter().chain([9; 100]).collect();
    for bytes in [frame(&event, "not JSON"), frame(&event, "{\"delta\":7}"), frame(&[], "{}"), garbage] {
        let error = decoded(&bytes, 5).await.1.unwrap_err();
        assert_eq!(error.kind(), "malformed", "{error}");
    }
    // The damage is behind the reason why it stopped.
    assert!(decoded(&flipped, 64).await.1.is_ok());
    flipped[20] ^= 1;
    assert_eq!(decoded(&flipped, 64).await.1.unwrap_err().kind(), "malformed");
}

#[tokio::test]
async fn a_frame_has_a_limit() {
    let long = format!("{{\"contentBlockIndex\":0,\"delta\":{{\"text\":\"{}\"}}}}", "x".repeat(MAX_EVENT_BYTES));
    let bytes = frame(&[(":message-type", "event"), (":event-type", "contentBlockDelta")], &long);
    assert_eq!(decoded(&bytes, 10_000).await.1, Err(Error::TooLarge { limit_bytes: MAX_EVENT_BYTES }));
}

fn ends(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // `read` itself asserts that there is one end, and nothing behind it.
    let _ = runtime.block_on(decoded(bytes, 64));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn odd_events_end(lines in odd(golden!("stream_tools.jsonl"))) {
        ends(&frames(&String::from_utf8_lossy(&lines)));
    }

    #[test]
    fn damaged_frames_end(bytes in damaged(frames(golden!("stream_tools.jsonl")).leak())) {
        ends(&bytes);
    }

    #[test]
    fn odd_answers_are_answers_or_errors(answer in odd(golden!("answer_tools.json"))) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _: Result<Completion, Error> = runtime.block_on(whole(&String::from_utf8_lossy(&answer)));
    }
}

#[tokio::test]
async fn what_could_not_be_carried_is_told_at_the_end() {
    let provider = Ready::provider(frames(golden!("stream.jsonl")), 64, true);
    let request = super::ChatRequest { seed: Some(7), ..samples::minimal() };
    let Ok(StreamItem::End { dropped, .. }) = read(provider.stream(CLAUDE, &request.into()).await.unwrap()).await.1
    else {
        panic!("it failed")
    };
    assert_eq!(dropped, ["seed"]);
}
