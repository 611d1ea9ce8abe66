//! CompleteStream: the order of events, failover before the first text and none after it, and who stops whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use semroute::grpc::pb;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::{Code, Request, Status, Streaming};

use crate::outcome::{is_fault, summary, tried};
use crate::scripted::{Script, Scripted, Step};
use crate::server::{Setup, TestServer, complete_request};

const MATHS: &str = "what is 7 times 8?";

async fn open(server: &TestServer, timeout: Option<Duration>) -> Streaming<pb::CompleteEvent> {
    let mut request = Request::new(complete_request(MATHS));
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    server.router().await.complete_stream(request).await.unwrap().into_inner()
}

/// A decision, then the pieces of text, then the last word.
async fn read(mut stream: Streaming<pb::CompleteEvent>) -> (Vec<String>, Result<pb::Served, Status>) {
    let mut texts = Vec::new();
    let first = stream.message().await.unwrap().unwrap().event.unwrap();
    assert!(matches!(&first, pb::complete_event::Event::Decision(decision) if decision.route == "maths"), "{first:?}");
    loop {
        match stream.message().await {
            Err(status) => return (texts, Err(status)),
            Ok(event) => match event.expect("a last word").event.unwrap() {
                pb::complete_event::Event::Decision(decision) => panic!("a second decision: {decision:?}"),
                pb::complete_event::Event::Text(text) => texts.push(text),
                pb::complete_event::Event::Served(served) => {
                    assert!(stream.message().await.unwrap().is_none(), "something comes after the end");
                    return (texts, Ok(served));
                }
                other => panic!("nobody asked for {other:?}"),
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_comes_first_then_the_text_then_who_served() {
    let provider = Scripted::start([Script::stream(&["Grü", "ezi", " mitenand"])]).await;
    let server = Setup::providers(&[provider.address()], "").start().await;
    let (texts, served) = read(open(&server, None).await).await;
    assert_eq!(texts, ["Grü", "ezi", " mitenand"]);
    let served = served.unwrap();
    let who = (served.actual_provider.as_str(), served.actual_model.as_str(), served.actual_region.as_str());
    assert_eq!(who, ("p0", "scripted", "region-0"));
    assert_eq!(served.usage, Some(pb::Usage { input_tokens: 3, output_tokens: 2, ..pb::Usage::default() }));
    assert_eq!((served.finish_reason(), summary(&served.attempts)), (pb::FinishReason::Stop, vec!["p0=ok".to_owned()]));
    let body = provider.requests()[0].json();
    assert_eq!((&body["stream"], &body["stream_options"]), (&Value::Bool(true), &json!({"include_usage": true})));
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_text_the_next_target_takes_over() {
    let role = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]});
    let table = [
        (Script::error(500, "oops"), "p0=status 500"),
        (Script::close(), "p0=broken"),
        (Script::events([]), "p0=truncated"),
        (Script::events([Step::event(&role), Step::Close]), "p0=broken"),
        (Script::whole(200, "text/html", "<html>captive portal</html>"), "p0=malformed"),
        (Script::events([Step::event(&role), Step::Hang]), "p0=timeout"),
    ];
    let first = Scripted::start(table.iter().map(|(script, _)| script.clone())).await;
    let second = Scripted::start([Script::stream(&["go", "od"])]).await;
    let addresses = [first.address(), second.address()];
    let server = Setup::providers(&addresses, "dispatch.first_token_timeout = '1s'").start().await;
    for (_, expected) in &table {
        let (texts, served) = read(open(&server, None).await).await;
        assert_eq!(texts.concat(), "good");
        let served = served.unwrap();
        assert_eq!((served.actual_provider.as_str(), summary(&served.attempts)[0].as_str()), ("p1", *expected));
    }
    first.client_gone(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_before_the_first_text_ends_the_stream() {
    let first = Scripted::start([Script::error(400, "no")]).await;
    let second = Scripted::start([Script::stream(&["never"])]).await;
    let server = Setup::providers(&[first.address(), second.address()], "").start().await;
    let (texts, last) = read(open(&server, None).await).await;
    is_fault(last.as_ref().unwrap_err(), Code::FailedPrecondition, "REJECTED_BY_PROVIDER");
    assert_eq!(summary(&tried(&last.unwrap_err()).attempts), ["p0=status 400"]);
    assert!(texts.is_empty() && second.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_after_text_is_not_replaced() {
    let broken = |ending: &[Step]| Script::events([Step::delta("the an")].into_iter().chain(ending.iter().cloned()));
    let error = json!({"error": {"message": "overloaded", "code": 503}});
    let table = [
        (broken(&[]), "p0=truncated"),
        (broken(&[Step::Close]), "p0=broken"),
        (broken(&[Step::Reset]), "p0=broken"),
        (broken(&[Step::event(&error)]), "p0=status 503"),
        (broken(&[Step::Hang]), "p0=timeout"),
    ];
    let first = Scripted::start(table.iter().map(|(script, _)| script.clone())).await;
    let second = Scripted::start([Script::stream(&["never"])]).await;
    let addresses = [first.address(), second.address()];
    let server = Setup::providers(&addresses, "dispatch.idle_timeout = '1s'").start().await;
    for (_, expected) in &table {
        let (texts, last) = read(open(&server, None).await).await;
        assert_eq!(texts.concat(), "the an", "{expected}");
        let status = last.unwrap_err();
        is_fault(&status, Code::Unavailable, "BROKEN_STREAM");
        assert_eq!(summary(&tried(&status).attempts), [*expected]);
    }
    assert!(second.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_drops_the_stream_frees_the_provider() {
    let scripts = [Script::events([Step::delta("a"), Step::Hang]), Script::hang()];
    let provider = Scripted::start(scripts).await;
    let server = Setup::providers(&[provider.address()], "").start().await;
    for round in 1..=2 {
        let mut stream = open(&server, None).await;
        provider.requested(round).await;
        // The first time in the middle of the text, the second time while the provider is silent.
        for _ in round..=2 {
            assert!(stream.message().await.unwrap().is_some());
        }
        let dropped = Instant::now();
        drop(stream);
        provider.client_gone(round).await;
        assert!(dropped.elapsed() < Duration::from_secs(3), "{:?}", dropped.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_ends_a_stream_that_goes_on() {
    let steps = std::iter::repeat_n([Step::delta("a"), Step::Pause(Duration::from_millis(50))], 1000).flatten();
    let provider = Scripted::start([Script::events(steps)]).await;
    let server = Setup::providers(&[provider.address()], "").start().await;
    let (texts, last) = read(open(&server, Some(Duration::from_millis(1500))).await).await;
    let status = last.unwrap_err();
    is_fault(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!(summary(&tried(&status).attempts), ["p0=timeout"]);
    assert!(!texts.is_empty());
    provider.client_gone(1).await;
}

/// A provider that streams as much as it is let, and counts it. Its text is `PIECE` bytes a piece.
struct Flood {
    sent: Arc<AtomicUsize>,
    over: watch::Receiver<bool>,
    address: std::net::SocketAddr,
}

const PIECE: usize = 64 * 1024;
const PIECES: usize = 1024;

impl Flood {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let (ended, over) = watch::channel(false);
        let counted = sent.clone();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 64 * 1024];
            let _ = socket.read(&mut request).await.unwrap();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            let _ = socket.write_all(head.as_bytes()).await;
            let choice = json!({"index": 0, "delta": {"content": "x".repeat(PIECE)}, "finish_reason": null});
            let event = format!("data: {}\n\n", json!({"choices": [choice]}));
            for _ in 0..PIECES {
                if socket.write_all(event.as_bytes()).await.is_err() {
                    break;
                }
                counted.fetch_add(1, Ordering::SeqCst);
            }
            let _ = socket.write_all(b"data: [DONE]\n\n").await;
            ended.send_replace(true);
        });
        Self { sent, over, address }
    }

    /// Waits until nothing more is taken from it for a while, and says how many pieces were.
    async fn stuck(&self) -> usize {
        let mut before = usize::MAX;
        for _ in 0..40 {
            let now = self.sent.load(Ordering::SeqCst);
            if now > 0 && now == before {
                return now;
            }
            before = now;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("the provider is still being read from");
    }

    async fn ended(&self) {
        let mut over = self.over.clone();
        tokio::time::timeout(Duration::from_secs(10), over.wait_for(|over| *over)).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_reads_slowly_makes_the_provider_wait() {
    let flood = Flood::start().await;
    let server = Setup::providers(&[flood.address], "").start().await;
    let stream = open(&server, None).await;
    let stuck = flood.stuck().await;
    assert!(stuck < PIECES / 2, "{stuck} pieces were taken in for a caller who reads none");
    let (texts, served) = read(stream).await;
    assert_eq!(texts.iter().map(String::len).sum::<usize>(), PIECES * PIECE, "nothing is lost");
    assert!(served.is_ok(), "{served:?}");
    flood.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_holds_for_a_caller_who_does_not_read() {
    let flood = Flood::start().await;
    let server = Setup::providers(&[flood.address], "server.max_concurrent_requests = 1").start().await;
    let mut stream = open(&server, Some(Duration::from_secs(1))).await;
    flood.ended().await;
    assert!(flood.sent.load(Ordering::SeqCst) < PIECES / 2);
    // Its place is free again, and it is told so should it read after all.
    crate::server::until_ok(async || server.router().await.route(crate::server::route_request(MATHS)).await).await;
    let last = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            last => break last,
        }
    };
    is_fault(&last.unwrap_err(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}
