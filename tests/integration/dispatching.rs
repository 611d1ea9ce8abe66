//! Outages as operators and callers see them: breakers in answers, in AdminService and in the metrics; hedges; rests.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use semroute::grpc::pb;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::binary::Home;
use crate::outcome::{is_fault, summary, tried};
use crate::probe::Samples;
use crate::scripted::{Script, Scripted, Step};
use crate::server::{Setup, TestServer, complete_request, models_dir};

const MATHS: &str = "what is 7 times 8?";

fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn complete(server: &TestServer, request: pb::CompleteRequest) -> Result<pb::Served, tonic::Status> {
    server.router().await.complete(request).await.map(|response| response.into_inner().served.unwrap())
}

async fn targets(server: &TestServer) -> pb::ListTargetsResponse {
    server.admin().await.list_targets(pb::ListTargetsRequest {}).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_is_told_everywhere() {
    let second = Scripted::start([Script::completion("good")]).await;
    let server = Setup::providers(
        &[nobody(), second.address()],
        "dispatch.breaker.open_time = '60s'\ndispatch.breaker.max_open_time = '60s'",
    )
    .start()
    .await;
    let before = targets(&server).await;
    let state = |target: &pb::TargetState| (target.target.clone(), target.breaker(), target.cause.clone());
    let closed = |name: &str| (name.to_owned(), pb::BreakerState::Closed, String::new());
    assert_eq!(before.states.iter().map(state).collect::<Vec<_>>(), [closed("p0"), closed("p1")]);
    for _ in 0..10 {
        let served = complete(&server, complete_request(MATHS)).await.unwrap();
        assert_eq!(summary(&served.attempts), ["p0=connect", "p1=ok"]);
    }
    let served = complete(&server, complete_request(MATHS)).await.unwrap();
    assert_eq!(summary(&served.attempts), ["p1=ok"]);
    let passed = &served.passed[0];
    assert_eq!((passed.target.as_str(), passed.reason.as_str()), ("p0", "breaker_open"));
    assert!(passed.retry_after.is_some() && passed.message.contains("failing"), "{passed:?}");

    let after = targets(&server).await;
    let open = ("p0".to_owned(), pb::BreakerState::Open, "failing".to_owned());
    assert_eq!(after.states.iter().map(state).collect::<Vec<_>>(), [open, closed("p1")]);
    assert_eq!((after.states[0].error_ratio, after.states[0].openings), (1.0, 1));
    assert!(before.retry_budget - after.retry_budget > 5.0, "each failover takes from the budget");

    let samples = Samples::of(server.http).await;
    assert_eq!(samples.value(r#"semroute_target_breaker_state{target="p0"}"#), 2.0);
    assert_eq!(samples.value(r#"semroute_target_breaker_state{target="p1"}"#), 0.0);
    assert_eq!(samples.value(r#"semroute_target_attempts_total{outcome="connect",target="p0"}"#), 10.0);
    assert_eq!(samples.value(r#"semroute_target_attempts_total{outcome="ok",target="p1"}"#), 11.0);
    assert_eq!(samples.value(r#"semroute_target_tokens_total{kind="input",target="p1"}"#), 33.0);
    assert_eq!(samples.value(r#"semroute_target_breaker_openings_total{target="p0"}"#), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_come_again_later_is_told_when() {
    let first = Scripted::start([Script::error(429, "slow down").header("retry-after", "70")]).await;
    let server = Setup::providers(&[first.address()], "").start().await;
    for (tries, attempts) in [(1, vec!["p0=rate_limited 429".to_owned()]), (2, vec![])] {
        let status = complete(&server, complete_request(MATHS)).await.unwrap_err();
        is_fault(&status, Code::Unavailable, "ALL_TARGETS_FAILED");
        assert_eq!(summary(&tried(&status).attempts), attempts, "time {tries}");
        let pause = status.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert!(pause > Duration::from_secs(60) && pause <= Duration::from_secs(70), "{pause:?}");
    }
    assert_eq!(first.requests().len(), 1, "it is not asked again before its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_told_to_the_operator() {
    let first = Scripted::start([Script::error(401, "who are you?")]).await;
    let second = Scripted::start([Script::completion("good")]).await;
    let server = Setup::providers(&[first.address(), second.address()], "").start().await;
    for expected in [&["p0=status 401", "p1=ok"][..], &["p1=ok"]] {
        assert_eq!(summary(&complete(&server, complete_request(MATHS)).await.unwrap().attempts), expected);
    }
    assert_eq!(targets(&server).await.states[0].cause, "authentication");
    assert_eq!(Samples::of(server.http).await.value(r#"semroute_target_refused{target="p0"}"#), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_ask_for_a_hedge() {
    let first = Scripted::start([Script::hang()]).await;
    let second = Scripted::start([Script::completion("good")]).await;
    let server = Setup::providers(&[first.address(), second.address()], "").start().await;
    let hedge = Some(pb::Hedge { after: Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 }) });
    let served = complete(&server, pb::CompleteRequest { hedge, ..complete_request(MATHS) }).await.unwrap();
    assert_eq!(summary(&served.attempts), ["p0=cancelled", "p1=ok"]);
    assert!(served.attempts[1].is_hedge && served.attempts[0].usage.unwrap().estimated);
    first.client_gone(1).await;
    let hedges = Samples::of(server.http).await.value(r#"semroute_target_hedges_total{result="won",target="p1"}"#);
    assert_eq!(hedges, 1.0);
}

/// What the first provider does in each phase, given the path that a well one would take.
const OUTAGES: [&str; 5] = ["down", "429", "hanging", "resetting", "garbage"];

fn ill(phase: usize, streamed: bool) -> Script {
    match OUTAGES[phase] {
        "down" => Script::close(),
        "429" => Script::error(429, "slow down").header("retry-after", "1"),
        "hanging" => Script::hang(),
        "resetting" if streamed => Script::events([Step::delta("go"), Step::Reset]),
        "resetting" => Script::events([Step::Reset]),
        _ => Script::whole(200, "text/html", "<html>captive portal</html>"),
    }
}

fn well(streamed: bool) -> Script {
    if streamed { Script::stream(&["go", "od"]) } else { Script::completion("good") }
}

#[derive(Debug, PartialEq)]
enum End {
    Answered,
    /// A stream, after text.
    BrokeOff,
    Failed(String),
}

async fn ask(mut router: Router, streamed: bool) -> End {
    let mut request = Request::new(complete_request(MATHS));
    request.set_timeout(Duration::from_secs(10));
    let mut delivered = false;
    let result = async {
        if !streamed {
            return router.complete(request).await.map(drop);
        }
        let mut events = router.complete_stream(request).await?.into_inner();
        while let Some(event) = events.message().await? {
            delivered |= matches!(event.event, Some(pb::complete_event::Event::Text(_)));
        }
        Ok(())
    };
    match result.await {
        Ok(()) => End::Answered,
        Err(_) if delivered => End::BrokeOff,
        Err(status) => End::Failed(status.message().to_owned()),
    }
}

type Router = pb::router_service_client::RouterServiceClient<Channel>;

/// One provider fails in every way, each for a while, and the other is well: requests at an even rate, every other one
/// streamed. The 99th percentile of each phase in milliseconds, the healthy one first; without the time in which
/// breakers open.
async fn outages(per_second: u32, seconds: u32) -> Vec<u128> {
    let phase = Arc::new(AtomicUsize::new(usize::MAX));
    let now = phase.clone();
    let first = Scripted::start_with(move |_, request| {
        let streamed = request.json()["stream"] == true;
        let phase = now.load(Ordering::SeqCst);
        if phase < OUTAGES.len() { ill(phase, streamed) } else { well(streamed) }
    });
    let first = first.await;
    let second = Scripted::start_with(|_, request| well(request.json()["stream"] == true)).await;
    let times = "dispatch.attempt_timeout = '1s'\ndispatch.first_token_timeout = '1s'";
    let server = Setup::providers(&[first.address(), second.address()], times).start().await;
    let router = server.router().await;
    let mut all = Vec::new();
    for (at, name) in std::iter::once((usize::MAX, "well")).chain(OUTAGES.into_iter().enumerate()) {
        phase.store(at, Ordering::SeqCst);
        let before = [first.requests().len(), second.requests().len()];
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
        let mut under_way = JoinSet::new();
        for number in 0..per_second * seconds {
            ticks.tick().await;
            let router = router.clone();
            under_way.spawn(async move {
                let began = Instant::now();
                (number, ask(router, number % 2 == 0).await, began.elapsed().as_millis())
            });
        }
        let (mut times, mut ends) = (Vec::new(), Vec::new());
        while let Some(done) = under_way.join_next().await {
            let (number, end, took) = done.unwrap();
            if number >= per_second * seconds / 3 {
                times.push(took);
            }
            ends.push(end);
        }
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100];
        let broken = ends.iter().filter(|end| **end == End::BrokeOff).count();
        let failed: Vec<_> = ends.iter().filter(|end| matches!(end, End::Failed(_))).collect();
        let calls = [first.requests().len() - before[0], second.requests().len() - before[1]];
        let (requests, failures) = (ends.len(), failed.len());
        eprintln!("{name}: {requests} requests, {failures} failed, {broken} broken, p99 {p99} ms, calls {calls:?}");
        assert!(failures * 1_000 <= requests, "{name}: {failures} of {requests} failed: {:?}", failed[0]);
        assert!(broken == 0 || name == "resetting", "{name}: {broken} streams broke");
        assert!(calls[1] <= requests, "{name}: {calls:?}");
        all.push(p99);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_hardly_notice_an_outage() {
    outages(100, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes, and times are asked of it: for the figures, with --release --ignored --nocapture"]
async fn callers_hardly_notice_a_long_outage() {
    let p99 = outages(200, 20).await;
    let (well, ill) = p99.split_first().unwrap();
    assert!(ill.iter().all(|ill| *ill < 2 * (*well).max(1)), "{p99:?}");
}

const STREAMS: usize = 2_000;

/// So many streams at once with a token each half second: all come to their end, and none takes a thread.
#[cfg(target_os = "linux")]
async fn slow_streams(tokens: usize) {
    let steps = std::iter::repeat_n([Step::delta("x"), Step::Pause(Duration::from_millis(500))], tokens).flatten();
    let script = Script::events(steps.chain([Step::stop(), Step::done()]));
    let provider = Scripted::start([script]).await;
    let home = Home::new().await;
    let more = format!(
        "server.max_concurrent_requests = 4000\ndefault_targets = ['p']\n[[providers]]\nname = 'p'\nkind = 'openai'\n\
         base_url = '{}'\n[[targets]]\nname = 'p'\nprovider = 'p'\nmodel = 'm'\n",
        provider.url("/v1")
    );
    home.configure(&models_dir().await, &more);
    let served = home.serve().await;
    let routers = [served.router().await, served.router().await, served.router().await, served.router().await];
    let whole = async |number: usize| {
        let mut router = routers[number % routers.len()].clone();
        let mut stream = router.complete_stream(complete_request(MATHS)).await?.into_inner();
        let mut texts = 0;
        while let Some(event) = stream.next().await {
            texts += usize::from(matches!(event?.event, Some(pb::complete_event::Event::Text(_))));
        }
        Ok::<_, tonic::Status>(texts)
    };
    // What is taken once: connections, buffers of the allocator, the cached decision.
    join_all((0..20).map(&whole)).await;
    let (memory, threads) = (served.status("VmRSS"), served.status("Threads"));
    let watch = async {
        for quarter in 1..=4 {
            provider.requested(20 + STREAMS * quarter / 4).await;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        (served.status("VmRSS"), served.status("Threads"))
    };
    let (texts, (memory_then, threads_then)) = tokio::join!(join_all((0..STREAMS).map(&whole)), watch);
    let each = (memory_then.saturating_sub(memory)) as f64 / STREAMS as f64;
    eprintln!("{STREAMS} streams: {each:.1} kB each, {threads_then} threads ({threads} before)");
    for (number, texts) in texts.into_iter().enumerate() {
        assert_eq!(texts.unwrap(), tokens, "stream {number}");
    }
    // Without optimisation what waits is larger.
    let most = if cfg!(debug_assertions) { 100.0 } else { 60.0 };
    assert!(each < most, "{each} kB each");
    assert!(threads_then <= threads + 4, "{threads_then} threads, {threads} before");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_slow_streams_take_little_memory() {
    slow_streams(30).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: for the figure, with --ignored --nocapture"]
async fn two_thousand_slow_streams_for_half_a_minute() {
    slow_streams(60).await;
}
