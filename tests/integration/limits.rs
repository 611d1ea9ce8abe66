//! Deadlines that are too short, more than can be taken in, inputs at the edges, and callers who go away.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use semroute::grpc::pb;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::outcome::{fault, is_fault, violated};
use crate::raw;
use crate::scripted::{Script, Scripted};
use crate::server::{Setup, TestServer, complete_request, route_request, until_ok};

const MATHS: &str = "what is 7 times 8?";
const MIB: usize = 1 << 20;

async fn route(server: &TestServer, prompt: &str) -> Result<pb::Decision, Status> {
    let response = server.router().await.route(route_request(prompt)).await?;
    Ok(response.into_inner().decision.unwrap())
}

/// The service answers, nothing waits, and all of its places are free.
async fn is_well(server: &TestServer, places: usize) {
    until_ok(async || {
        let calls = join_all((0..places).map(|_| route(server, MATHS))).await;
        calls.into_iter().collect::<Result<Vec<_>, _>>()
    })
    .await;
    let status = server.admin().await.get_status(pb::GetStatusRequest {}).await.unwrap().into_inner();
    assert!(status.ready && server.app.embedding.queue.depth() == 0, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_is_too_short_names_the_stage() {
    let server = Setup::toml("embedding.workers = 1\nembedding.max_wait = \"1h\"\ncache.max_bytes = 0").start().await;
    let check = async |timeout: &str, stages: &[&str]| {
        let route = raw::call(&server, "Route", &route_request(MATHS), timeout).await.unwrap_err();
        let complete = raw::call(&server, "Complete", &complete_request(MATHS), timeout).await.unwrap_err();
        for status in [route, complete] {
            is_fault(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
            let stage = status.message().strip_prefix("the deadline passed while ").unwrap();
            assert!(stages.contains(&stage), "{timeout}: {stage}");
        }
    };
    // No time at all may be over before the message has been read.
    for timeout in ["0n", "1n", "1u"] {
        check(timeout, &["embedding the prompt", "the call was under way"]).await;
    }
    // Others are before it in the queue: refused at once, since it cannot be done in time.
    let router = server.router().await;
    let long = "and what is 3 more ".repeat(100);
    let others: Vec<_> = (0..200)
        .map(|_| {
            let (mut router, request) = (router.clone(), route_request(&long));
            tokio::spawn(async move { router.route(request).await })
        })
        .collect();
    until_ok(async || {
        let status = server.admin().await.get_status(pb::GetStatusRequest {}).await?.into_inner();
        if status.embed_queue_depth < 100 { Err(Status::unavailable("not yet")) } else { Ok(()) }
    })
    .await;
    for method in ["Route", "Complete"] {
        let begun = Instant::now();
        let refused = match method {
            "Route" => raw::call(&server, method, &route_request(MATHS), "60m").await,
            _ => raw::call(&server, method, &complete_request(MATHS), "60m").await,
        };
        is_overload(&refused.unwrap_err(), "OVERLOADED");
        assert!(begun.elapsed() < Duration::from_millis(55), "not before its deadline: {:?}", begun.elapsed());
    }
    others.iter().for_each(tokio::task::JoinHandle::abort);
    for timeout in ["30S", "99999999H", "soon"] {
        raw::call(&server, "Route", &route_request(MATHS), timeout).await.unwrap();
    }
    is_well(&server, 1).await;
}

/// A status that says: not now, but soon.
fn is_overload(status: &Status, reason: &str) {
    is_fault(status, Code::ResourceExhausted, reason);
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(retry.is_some_and(|delay| !delay.is_zero()), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once() {
    let more = "embedding.queue_capacity = 1\nembedding.workers = 1\nembedding.max_wait = \"1h\"\ncache.max_bytes = 0";
    let server = Setup::toml(more).start().await;
    let router = server.router().await;
    let prompt = format!("{MATHS} {}", "and what is 3 more ".repeat(100));
    let calls = join_all((0..100).map(|_| {
        let (mut router, request) = (router.clone(), route_request(&prompt));
        tokio::spawn(async move {
            let begun = Instant::now();
            (router.route(request).await, begun.elapsed())
        })
    }));
    let (mut answered, mut refused) = (0, 0);
    for call in calls.await {
        match call.unwrap() {
            (Ok(_), _) => answered += 1,
            (Err(status), took) => {
                refused += 1;
                is_overload(&status, "QUEUE_FULL");
                assert!(took < Duration::from_secs(3), "refused after {took:?}");
            }
        }
    }
    assert!(answered > 0 && refused > 0, "{answered} answered, {refused} refused");
    is_well(&server, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_too_long_refuses_at_once() {
    let more = "embedding.workers = 1\nembedding.max_wait = \"10ms\"\ncache.max_bytes = 0";
    let server = Setup::toml(more).start().await;
    let prompt = format!("{MATHS} {}", "and what is 3 more ".repeat(100));
    let calls = join_all((0..200).map(|_| route(&server, &prompt))).await;
    let refused: Vec<Status> = calls.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty());
    refused.iter().for_each(|status| is_overload(status, "OVERLOADED"));
    let stats = server.app.embedding.queue.stats();
    assert_eq!(stats.refused_wait, refused.len() as u64);
    assert_eq!((stats.waiting, stats.waiting_tokens, stats.panics), (0, 0, 0), "{stats:?}");
    is_well(&server, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_too_many_is_refused_at_once() {
    let provider = Scripted::start([Script::hang()]).await;
    let server = Setup::providers(&[provider.address()], "server.max_concurrent_requests = 2").start().await;
    let mut router = server.router().await;
    let unary = tokio::spawn(async move { router.complete(complete_request(MATHS)).await });
    let stream = server.router().await.complete_stream(complete_request(MATHS)).await.unwrap();
    provider.requested(2).await;

    let mut router = server.router().await;
    is_overload(&router.route(route_request(MATHS)).await.unwrap_err(), "TOO_MANY_REQUESTS");
    is_overload(&router.complete(complete_request(MATHS)).await.unwrap_err(), "TOO_MANY_REQUESTS");
    is_overload(&router.complete_stream(complete_request(MATHS)).await.unwrap_err(), "TOO_MANY_REQUESTS");
    let batch = pb::RouteBatchRequest { requests: vec![route_request(MATHS)] };
    is_overload(&router.route_batch(batch).await.unwrap_err(), "TOO_MANY_REQUESTS");
    // Operators still get in.
    server.admin().await.get_status(pb::GetStatusRequest {}).await.unwrap();
    server.references().await.list_sets(pb::ListSetsRequest {}).await.unwrap();

    unary.abort();
    drop(stream);
    is_well(&server, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_prompt_is_read_in_part_and_a_longer_one_refused() {
    let server = Setup::default().start().await;
    let longest = format!("{MATHS} {}", "x ".repeat(MIB))[..MIB].to_owned();
    let decision = route(&server, &longest).await.unwrap();
    assert!(decision.input_seen > 0.0 && decision.input_seen < 0.01, "{}", decision.input_seen);
    assert_eq!(decision.input_tokens, 100, "its head and its tail");

    let is_too_long = |status: Status, field: &str, bytes: usize| {
        assert_eq!(violated(&status), [field]);
        let told = &status.get_details_bad_request().unwrap().field_violations[0].description;
        assert!(told.contains(&bytes.to_string()) && told.contains(&MIB.to_string()), "{told}");
    };
    is_too_long(route(&server, &"x".repeat(MIB + 1)).await.unwrap_err(), "input.text", MIB + 1);
    let turn = |text: String| pb::ChatMessage { role: pb::Role::User.into(), text, ..Default::default() };
    let messages = vec![turn("x".repeat(MIB)), turn(MATHS.to_owned())];
    let input = pb::input::Input::Conversation(pb::Conversation { messages });
    let request = pb::RouteRequest { input: Some(pb::Input { input: Some(input) }), ..pb::RouteRequest::default() };
    let status = server.router().await.route(request).await.unwrap_err();
    is_too_long(status, "input.conversation", MIB + MATHS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_is_refused_and_harms_nobody() {
    let server = Setup::toml("server.max_message_bytes = 65536").start().await;
    let mut router = server.router().await;
    for bytes in [66_000, 3 * MIB] {
        let status = router.route(route_request(&"x".repeat(bytes))).await.unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
        assert!(status.message().contains("65536"), "{}", status.message());
        // On the same connection.
        router.route(route_request(MATHS)).await.unwrap();
    }
    is_well(&server, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_inputs_get_an_answer_or_a_reason() {
    let server = Setup::default().start().await;
    let blank = ["".to_owned(), " \t\r\n".to_owned(), " ".repeat(1_000_000), "\u{3000}\u{2003}\u{a0}".to_owned()];
    for prompt in blank {
        let status = route(&server, &prompt).await.unwrap_err();
        assert_eq!(fault(&status), (Code::InvalidArgument, "INVALID_FIELD".to_owned()));
        assert_eq!(violated(&status), ["input.text"]);
    }
    let odd = [
        "x".repeat(100_000),
        "é".repeat(50_000),
        format!("{}{MATHS}", " ".repeat(1_000_000)),
        format!("7{}8", " ".repeat(1_000_000)),
        "\0\u{1}\u{7f}\u{9b}".to_owned(),
        "\u{200b}\u{feff}\u{202e}".to_owned(),
        "🦀".to_owned(),
        "👩‍👩‍👧‍👦".repeat(1_000),
        "e\u{301}".repeat(5_000),
        "[CLS] [SEP] [PAD] [MASK] [UNK]".to_owned(),
        "\u{10ffff}\u{fdd0}".to_owned(),
        "七かける八は？".to_owned(),
        "<prompt></prompt>{{}}%s%n\\".to_owned(),
    ];
    for (at, prompt) in odd.iter().enumerate() {
        let decision = route(&server, prompt).await.unwrap_or_else(|status| panic!("input {at}: {status:?}"));
        assert!(!decision.route.is_empty() && decision.score.is_finite(), "input {at}: {decision:?}");
        assert!((0.0..=1.0).contains(&decision.input_seen) && decision.input_tokens >= 2, "input {at}: {decision:?}");
        assert!(decision.neighbours.iter().all(|neighbour| neighbour.similarity.abs() <= 1.0001), "input {at}");
    }
    is_well(&server, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_calls_do_no_harm() {
    let places = 32;
    let more =
        format!("server.max_concurrent_requests = {places}\nembedding.queue_capacity = {places}\ncache.max_bytes = 0");
    let server = Setup::toml(more).start().await;
    let router = server.router().await;
    for round in 0..20 {
        let calls: Vec<_> = (0..places)
            .map(|_| {
                let mut router = router.clone();
                tokio::spawn(async move { router.route(route_request(MATHS)).await })
            })
            .collect();
        // At another moment in each round: before it is sent, under way, in the model.
        tokio::time::sleep(Duration::from_millis(round)).await;
        calls.iter().for_each(tokio::task::JoinHandle::abort);
    }
    is_well(&server, places).await;
}
