//! Metrics and probes over HTTP: names that others rely on, counts that move as they must, and odd clients.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use semroute::grpc::pb;
use semroute::http::{BoundHttp, HttpConfig, Listen, Standing};
use semroute::reference::{Fallback, SetPolicy};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::expect::{LIVE_WITHIN, eventually};
use crate::probe::{Samples, get, send};
use crate::raw;
use crate::scripted::{Script, Scripted};
use crate::server::{PROMPTS, Setup, TestServer, complete_request, route_request};

const MATHS: &str = "what is 7 times 8?";

#[tokio::test(flavor = "multi_thread")]
async fn names_and_types_are_those_that_others_rely_on() {
    let server = Setup::default().start().await;
    let page = get(server.http, "/metrics").await.body;
    let found: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics.txt");
    let golden = std::fs::read_to_string(path).unwrap();
    let golden: BTreeSet<&str> = golden.lines().collect();
    let gone: Vec<_> = golden.difference(&found).collect();
    assert!(gone.is_empty(), "dashboards and alarms break without {gone:?}");
    let new: Vec<_> = found.difference(&golden).collect();
    assert!(new.is_empty(), "add to tests/golden/metrics.txt: {new:#?}");
    for family in &found {
        let (name, kind) = family.split_once(' ').unwrap();
        assert!(name.starts_with("semroute_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{family}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{family}");
        assert!(page.contains(&format!("# HELP {name} ")), "{name} is not explained");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_counted_where_they_came_from() {
    let server = Setup::default().start().await;
    let before = Samples::of(server.http).await;
    assert_eq!(before.sum("semroute_decisions_total", &[]), 0.0);
    assert!(before.has(r#"semroute_routed_total{route="maths",set="small"}"#), "shown before the first decision");
    let mut router = server.router().await;
    for prompt in [MATHS, MATHS, "recipe for onion soup", MATHS] {
        router.route(route_request(prompt)).await.unwrap();
    }
    router.route(route_request(" ")).await.unwrap_err();
    router.complete(complete_request("Spanish for window")).await.unwrap();
    let long = "fix this null pointer exception ".repeat(500);
    router.route(route_request(&long)).await.unwrap();

    let now = Samples::of(server.http).await;
    let decided = |stage: &str| {
        now.value(&format!(r#"semroute_decisions_total{{decided_by="embedding",set="small",stage="{stage}"}}"#))
    };
    assert_eq!((decided("embedding"), decided("cache")), (4.0, 2.0));
    assert_eq!(now.sum("semroute_decisions_total", &[]), 6.0);
    for (route, decisions) in [("maths", 3.0), ("cooking", 1.0), ("translation", 1.0), ("code", 1.0), ("none", 0.0)] {
        let sample = format!(r#"semroute_routed_total{{route="{route}",set="small"}}"#);
        assert!(now.has(&sample) && now.value(&sample) == decisions, "{sample}");
    }
    assert_eq!(now.value(r#"semroute_llm_outcomes_total{outcome="not_needed",set="small"}"#), 6.0);
    assert_eq!(now.value("semroute_prompts_truncated_total"), 1.0);
    let time = |stage: &str| now.value(&format!(r#"semroute_decision_duration_seconds_count{{stage="{stage}"}}"#));
    assert_eq!((time("embedding"), time("cache"), time("llm")), (4.0, 2.0, 0.0));
    for step in ["queue_wait", "embed_duration", "search_duration"] {
        assert_eq!(now.value(&format!("semroute_{step}_seconds_count")), 4.0, "{step}");
    }
    assert!(now.value("semroute_embed_duration_seconds_sum") > 0.0);
    let (hits, misses) = ("semroute_cache_hits_total", "semroute_cache_misses_total");
    assert_eq!((now.value(hits), now.value(misses)), (2.0, 4.0));
    assert!(now.value("semroute_cache_max_bytes") == f64::from(64 << 20));

    let calls = |method: &str, code: &str| {
        let method = format!("method=\"semroute.v1.RouterService/{method}\"");
        now.sum("semroute_requests_total", &[&method, &format!("code=\"{code}\"")])
    };
    assert_eq!((calls("Route", "OK"), calls("Route", "INVALID_ARGUMENT")), (5.0, 1.0));
    assert_eq!((calls("Complete", "OK"), calls("CompleteStream", "OK")), (1.0, 0.0));
    assert_eq!(now.value("semroute_requests_in_flight"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_told() {
    let server = Setup::default().start().await;
    let samples = Samples::of(server.http).await;
    let prompts: usize = PROMPTS.iter().map(|(_, prompts)| prompts.len()).sum();
    assert_eq!(samples.value(r#"semroute_snapshot_references{set="small"}"#), prompts as f64);
    assert_eq!(samples.value(r#"semroute_snapshot_version{set="small"}"#), 1.0);
    assert_eq!(samples.value(r#"semroute_snapshot_routes{set="small"}"#), 4.0);
    assert_eq!(samples.value(r#"semroute_snapshot_index_info{kind="flat",set="small"}"#), 1.0);
    assert_eq!(samples.value("semroute_ready"), 1.0);
    assert!(samples.value("process_resident_memory_bytes") > 1e7 && samples.value("process_cpu_seconds_total") > 0.0);
    let version = env!("CARGO_PKG_VERSION");
    let saturation = samples.value("semroute_embed_saturation_ratio");
    assert!((0.0..=1.0).contains(&saturation) && samples.value("semroute_embed_workers") >= 1.0, "{saturation}");
    assert!(samples.value("semroute_embed_texts_total") >= prompts as f64, "those of the build");
    assert!(samples.has(&format!(r#"semroute_build_info{{model="all-MiniLM-L6-v2",version="{version}"}}"#)));

    server.router().await.route(route_request(MATHS)).await.unwrap();
    let set = pb::DeleteSetRequest { name: "small".to_owned(), ..pb::DeleteSetRequest::default() };
    server.references().await.delete_set(set).await.unwrap();
    let gone = async || (Samples::of(server.http).await.sum("semroute_routed_total", &["small"]) == 0.0).then_some(());
    eventually("the set is not told of any more", LIVE_WITHIN, gone).await;
    let page = get(server.http, "/metrics").await.body;
    assert!(!page.contains("small"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_that_are_not_decided_are_counted() {
    let setup = "embedding.queue_capacity = 1\nembedding.workers = 1\n[llm]\nprovider = 'p0'\nmodel = 'judge'";
    let silent = Scripted::start([Script::hang()]).await;
    let policy = SetPolicy {
        min_score: 1.0,
        min_margin: 1.0,
        min_similarity: 1.0,
        fallback: Fallback::Abstain,
        ..SetPolicy::default()
    };
    let server = Setup { policy, ..Setup::providers(&[silent.address()], setup) }.start().await;
    // More than there is room for.
    let router = server.router().await;
    let mut requests = (0..100).map(|n| {
        let words = format!("and what is {n} more ").repeat(100);
        let options = pb::RouteOptions { allow_llm: Some(false), ..pb::RouteOptions::default() };
        pb::RouteRequest { options: Some(options), ..route_request(&words) }
    });
    let calls = join_all(requests.by_ref().map(|request| {
        let mut router = router.clone();
        tokio::spawn(async move { router.route(request).await.is_ok() })
    }));
    let answered = calls.await.into_iter().filter(|call| *call.as_ref().unwrap()).count();
    // A caller who leaves while the LLM stage is waited for, and one without any time.
    let mut leaves = server.router().await;
    let leaves = tokio::spawn(async move { leaves.route(route_request(MATHS)).await });
    silent.requested(1).await;
    leaves.abort();
    silent.client_gone(1).await;
    raw::call(&server, "Route", &route_request("x"), "1n").await.unwrap_err();

    let now = eventually("the caller's leaving is noticed", Duration::from_secs(10), async || {
        let now = Samples::of(server.http).await;
        (now.value("semroute_requests_in_flight") == 0.0).then_some(now)
    })
    .await;
    let refused = now.sum("semroute_prompts_refused_total", &[]);
    assert!(refused > 0.0 && refused + answered as f64 == 100.0, "{refused} refused, {answered} answered");
    assert_eq!(now.sum("semroute_requests_total", &["RESOURCE_EXHAUSTED"]), refused);
    assert_eq!(now.sum("semroute_decisions_total", &[r#"stage="abstained""#]), answered as f64);
    assert_eq!(now.value(r#"semroute_routed_total{route="none",set="small"}"#), answered as f64);
    assert_eq!(now.value("semroute_prompts_cancelled_total"), 1.0);
    assert_eq!(now.sum("semroute_requests_total", &["CANCELLED"]), 1.0);
    // Without any time it may be over before the prompt has been read.
    assert!(now.value("semroute_prompts_expired_total") <= 1.0);
    assert_eq!(now.sum("semroute_requests_total", &["DEADLINE_EXCEEDED"]), 1.0);
}

async fn readiness(server: &TestServer) -> (u16, Value) {
    let page = get(server.http, "/readyz").await;
    (page.status, serde_json::from_str(&page.body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_what_is_missing() {
    let server = Setup::default().start().await;
    assert_eq!(readiness(&server).await, (200, json!({"ready": true, "reasons": []})));
    let set = pb::DeleteSetRequest { name: "small".to_owned(), ..pb::DeleteSetRequest::default() };
    server.references().await.delete_set(set).await.unwrap();
    let expected = (503, json!({"ready": false, "reasons": ["no reference set is published"]}));
    let missing = async || (readiness(&server).await == expected).then_some(());
    eventually("the set's end is told", LIVE_WITHIN, missing).await;
    let status = server.admin().await.get_status(pb::GetStatusRequest {}).await.unwrap().into_inner();
    assert!(!status.ready, "both say the same");
    assert_eq!(get(server.http, "/healthz").await.status, 200, "the process lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_before_the_start_is_complete() {
    let anywhere = HttpConfig { listen: Listen::At(SocketAddr::from(([127, 0, 0, 1], 0))) };
    let bound = BoundHttp::bind(&anywhere).await.unwrap().unwrap();
    let (address, stop) = (bound.address(), CancellationToken::new());
    let running = tokio::spawn(bound.run(Standing::default(), stop.clone()));
    assert_eq!(get(address, "/healthz").await.status, 200);
    let page = get(address, "/readyz").await;
    assert_eq!(
        (page.status, page.body.as_str()),
        (503, "{\"ready\":false,\"reasons\":[\"the service is starting\"]}\n")
    );
    assert_eq!(get(address, "/metrics").await.status, 503);
    // A client that says nothing does not hold up the end.
    let _silent = TcpStream::connect(address).await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the port is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_last_requests_are_answered_it_is_not_ready() {
    let slow = Scripted::start([Script::hang()]).await;
    let mut server = Setup::providers(&[slow.address()], "server.drain_timeout = '2s'").start().await;
    let mut router = server.router().await;
    let under_way = tokio::spawn(async move { router.complete(complete_request(MATHS)).await });
    slow.requested(1).await;
    assert_eq!(Samples::of(server.http).await.value("semroute_requests_in_flight"), 1.0);
    server.ask_to_stop();
    let draining = (503, json!({"ready": false, "reasons": ["the service is shutting down"]}));
    let told = async || (readiness(&server).await == draining).then_some(());
    eventually("it is draining", Duration::from_secs(2), told).await;
    assert!(!under_way.is_finished());
    under_way.await.unwrap().unwrap_err();
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_clients_get_an_answer_or_the_end_of_the_connection() {
    let server = Setup::default().start().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    let fields = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1_000));
    let body = format!("GET /healthz HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(1_000_000));
    let table = [
        ("GET /healthz HTTP/1.0\r\n\r\n", Some(200)),
        ("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Some(200)),
        ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", Some(404)),
        ("GET /metrics/../secret HTTP/1.1\r\nHost: x\r\n\r\n", Some(404)),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", Some(405)),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
        ("\0\u{1}\u{2}\r\n\r\n", Some(400)),
        (&fields, Some(431)),
        (&long, Some(431)),
        (&body, Some(200)),
    ];
    for (request, expected) in table {
        let page = send(server.http, request.as_bytes()).await;
        let shown = &request[..request.len().min(60)];
        // An answer may be lost when the connection ends while more is being sent.
        match (page.map(|page| page.status), expected) {
            (Some(status), Some(expected)) => assert_eq!(status, expected, "{shown:?}"),
            (None, Some(_)) => assert!(request.len() > 60, "{shown:?} was not answered"),
            (status, None) => assert_ne!(status, Some(200), "{shown:?}"),
        }
    }
    // As many as there are places say nothing; all others wait for them to be sent away, and are answered.
    let begun = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        stream.write_all(b"GET /heal").await.unwrap();
        silent.push(stream);
    }
    assert_eq!(get(server.http, "/healthz").await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}
