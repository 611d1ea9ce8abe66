//! Traces as a collector gets them: the tree, its attributes, what is not in it, and collectors that misbehave.
//!
//! On one thread each, since the subscriber of a test is that of its thread.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use semroute::config::{LogConfig, LogFormat};
use semroute::grpc::pb;
use semroute::telemetry::{TelemetryConfig, Traces, subscriber};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};
use tracing::subscriber::DefaultGuard;

use crate::collector::{Collector, Manner};
use crate::scripted::{Script, Scripted, Step};
use crate::server::{Setup, TestServer, complete_request, route_request};

const MATHS: &str = "what is 7 times 8?";
const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn read(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Traces and logs of this thread, until the end.
struct Watching {
    lines: Lines,
    stop: CancellationToken,
    exporting: JoinHandle<()>,
    _subscriber: DefaultGuard,
}

impl Watching {
    fn start(collector: &Collector, config: TelemetryConfig) -> Self {
        let config = TelemetryConfig { otlp_endpoint: Some(format!("http://{}", collector.address)), ..config };
        let env = |name: &str| (name == "COLLECTOR_KEY").then(|| "sk-collector".to_owned());
        let (traces, export) = Traces::new(&config, &env).unwrap().unwrap();
        let lines = Lines::default();
        let writer = lines.clone();
        let log = LogConfig { level: "info".to_owned(), format: LogFormat::Json };
        let subscriber = subscriber(&log, Some(&traces), false, move || writer.clone());
        let guard = tracing::subscriber::set_default(subscriber);
        let stop = CancellationToken::new();
        let exporting = tokio::spawn(export.run(stop.clone()));
        Self { lines, stop, exporting, _subscriber: guard }
    }

    /// Stops the server and hands the rest over, as `semroute serve` does.
    async fn end(self, server: TestServer) -> Lines {
        let app = Arc::clone(&server.app);
        server.stopped().await;
        app.tasks.close();
        app.tasks.wait().await;
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(20), self.exporting).await.expect("the end is bounded").unwrap();
        self.lines
    }
}

/// What was lost, by the last line that tells of it.
fn losses(lines: &Lines) -> Option<(u64, u64, u64)> {
    let lines = lines.read();
    let fields = lines.iter().rev().map(|line| &line["fields"]).find(|fields| !fields["undelivered"].is_null())?;
    let count = |name: &str| fields[name].as_u64().unwrap();
    Some((count("overflowed"), count("undelivered"), count("rejected")))
}

fn from_caller<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in [("traceparent", CALLER), ("x-request-id", "r-1"), ("authorization", "Bearer sk-caller")] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_completion_is_a_tree_of_its_steps_below_the_callers_span() {
    let collector = Collector::start(Manner::Takes).await;
    let down = Scripted::start([Script::error(503, "down for sk-leak")]).await;
    let up = Scripted::start([Script::completion("fifty-six")]).await;
    let headers_env = [("x-key".to_owned(), "COLLECTOR_KEY".to_owned())].into();
    let service_name = Some("router".to_owned());
    let watching =
        Watching::start(&collector, TelemetryConfig { headers_env, service_name, ..TelemetryConfig::default() });
    let server = Setup::providers(&[down.address(), up.address()], "").start().await;
    let answer = server.router().await.complete(from_caller(complete_request(MATHS))).await.unwrap().into_inner();
    let lines = watching.end(server).await;

    let tree = collector.tree();
    let call = "semroute.v1.RouterService/Complete";
    let expected = [
        format!("- > {call}"),
        format!("{call} > decide"),
        "decide > cache".to_owned(),
        "cache > embed".to_owned(),
        "cache > search".to_owned(),
        "cache > judge".to_owned(),
        format!("{call} > plan"),
        format!("{call} > attempt"),
        "attempt > chat model-0".to_owned(),
        format!("{call} > attempt"),
        "attempt > chat model-1".to_owned(),
    ];
    assert_eq!(tree.edges(), expected);
    let root = tree.one(call);
    assert!(tree.0.iter().all(|span| span.trace_id == root.trace_id));
    assert_eq!(root.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
    assert_eq!(root.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!((root.kind, tree.one("decide").kind, tree.one("chat model-0").kind), (2, 1, 3));

    let has = |name: &str, expected: &[(&str, &str)]| {
        let attributes = tree.attributes(name);
        for (key, value) in expected {
            assert_eq!(attributes.get(*key).map(String::as_str), Some(*value), "{key} of {name}: {attributes:?}");
        }
    };
    let id = answer.decision.unwrap().decision_id;
    has(call, &[("rpc.system", "grpc"), ("rpc.method", "Complete"), ("rpc.grpc.status_code", "0")]);
    has(call, &[("rpc.service", "semroute.v1.RouterService"), ("semroute.request.id", "r-1")]);
    has("decide", &[("semroute.decision.id", &id), ("semroute.set", "small"), ("semroute.version", "1")]);
    has("decide", &[("semroute.route", "maths"), ("semroute.stage", "embedding"), ("semroute.llm", "not_needed")]);
    has("cache", &[("semroute.cache.outcome", "miss")]);
    has("plan", &[("semroute.plan.targets", "2"), ("semroute.plan.refused", "0")]);
    let port = up.address().port().to_string();
    has("chat model-1", &[("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "openai")]);
    has("chat model-1", &[("gen_ai.request.model", "model-1"), ("gen_ai.response.model", "scripted")]);
    has("chat model-1", &[("gen_ai.usage.input_tokens", "3"), ("gen_ai.usage.output_tokens", "2")]);
    has("chat model-1", &[("gen_ai.response.finish_reasons", "[\"stop\"]")]);
    has("chat model-1", &[("server.address", "127.0.0.1"), ("server.port", &port)]);
    has("chat model-0", &[("error.type", "status"), ("http.response.status_code", "503")]);
    let regions: Vec<_> = tree.0.iter().filter(|span| span.name == "attempt").collect();
    let regions = regions.iter().map(|span| crate::collector::attributes(&span.attributes));
    let regions: Vec<_> =
        regions.map(|found| (found["semroute.target"].clone(), found["semroute.region"].clone())).collect();
    assert_eq!(regions, [("p0".to_owned(), "region-0".to_owned()), ("p1".to_owned(), "region-1".to_owned())]);

    assert_eq!(collector.service(), "router");
    assert!(collector.keys().iter().all(|key| key.as_deref() == Some("sk-collector")));
    let told = String::from_utf8_lossy(&collector.bytes()).into_owned();
    for secret in [MATHS, "times", "fifty-six", "sk-caller", "sk-leak", "sk-collector", "Bearer"] {
        assert!(!told.contains(secret), "{secret} was exported");
    }
    let failed = lines.read().into_iter().find(|line| line["fields"]["message"] == "an attempt failed").unwrap();
    assert_eq!((&failed["span"]["decision_id"], &failed["span"]["request_id"]), (&json!(id), &json!("r-1")));
    assert_eq!(losses(&lines), None);
    for provider in [&down, &up] {
        assert!(!provider.requests()[0].headers.contains_key("traceparent"), "providers are not told who calls");
    }
}

#[tokio::test]
async fn a_stream_is_traced_to_its_last_item_and_one_that_is_left_is_cancelled() {
    let collector = Collector::start(Manner::Takes).await;
    let whole = Script::stream(&["fifty", "-six"]);
    let endless = Script::events([Step::delta("fifty"), Step::Hang]);
    let provider = Scripted::start([whole, endless]).await;
    let watching = Watching::start(&collector, TelemetryConfig { propagate: true, ..TelemetryConfig::default() });
    let server = Setup::providers(&[provider.address()], "").start().await;
    let mut router = server.router().await;
    let mut stream = router.complete_stream(from_caller(complete_request(MATHS))).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    let mut stream = router.complete_stream(Request::new(complete_request(MATHS))).await.unwrap().into_inner();
    let is_text = |event: &pb::CompleteEvent| matches!(event.event, Some(pb::complete_event::Event::Text(_)));
    while !is_text(&stream.message().await.unwrap().unwrap()) {}
    drop(stream);
    provider.client_gone(1).await;
    watching.end(server).await;

    let tree = collector.tree();
    let call = "semroute.v1.RouterService/CompleteStream";
    let of_caller = u128::from_be_bytes(tree.one_of_caller(call).trace_id.clone().try_into().unwrap());
    assert_eq!(of_caller, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    let calls: Vec<_> = tree.0.iter().filter(|span| span.name == "chat model-0").collect();
    assert_eq!(calls.len(), 2);
    for span in &calls {
        assert_eq!(tree.parent(span), "attempt");
    }
    let attempts = tree.0.iter().filter(|span| span.name == "attempt");
    assert_eq!(attempts.map(|span| tree.parent(span)).collect::<Vec<_>>(), ["deliver", "deliver"]);
    let delivers = tree.0.iter().filter(|span| span.name == "deliver");
    assert_eq!(delivers.map(|span| tree.parent(span)).collect::<Vec<_>>(), [call, call]);
    let found: Vec<_> = calls.iter().map(|span| crate::collector::attributes(&span.attributes)).collect();
    assert_eq!(found[0]["gen_ai.usage.output_tokens"], "2");
    assert_eq!(found[1]["error.type"], "cancelled");
    // The second prompt is the first one again.
    let outcomes = tree.0.iter().filter(|span| span.name == "cache");
    let outcomes =
        outcomes.map(|span| crate::collector::attributes(&span.attributes)["semroute.cache.outcome"].clone());
    assert_eq!(outcomes.collect::<Vec<_>>(), ["miss", "hit"]);
    let told = provider.requests()[0].headers["traceparent"].clone();
    let step: String = calls[0].span_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(told, format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{step}-01"), "propagate = true tells them");
}

#[tokio::test]
async fn a_collector_that_hangs_fails_or_lies_delays_no_answer_and_is_told_of() {
    let spans = 11;
    let cases = [
        (Manner::Hangs, (0, spans, 0)),
        (Manner::Fails(Code::Unauthenticated), (0, spans, 0)),
        (Manner::Rejects(4), (0, 0, 4)),
        (Manner::Rejects(-4), (0, 0, 0)),
    ];
    for (manner, expected) in cases {
        let collector = Collector::start(manner).await;
        let down = Scripted::start([Script::error(503, "down")]).await;
        let up = Scripted::start([Script::completion("56")]).await;
        let timeout = Duration::from_secs(6);
        let watching = Watching::start(&collector, TelemetryConfig { timeout, ..TelemetryConfig::default() });
        let server = Setup::providers(&[down.address(), up.address()], "").start().await;
        let call = async { server.router().await.complete(complete_request(MATHS)).await.unwrap().into_inner() };
        // Far less than the collector is waited for.
        let answer = tokio::time::timeout(Duration::from_secs(5), call).await.expect("nobody waits for the collector");
        assert_eq!(answer.text, "56");
        let lines = watching.end(server).await;
        assert_eq!(losses(&lines).unwrap_or_default(), expected);
        let text = format!("{:?}", lines.read());
        assert!(!text.contains("go away") && !text.contains("full"), "the collector's words are not repeated: {text}");
    }
}

#[tokio::test]
async fn a_caller_who_is_not_recorded_is_not_and_a_batch_has_a_decision_for_each_prompt() {
    let collector = Collector::start(Manner::Takes).await;
    let watching = Watching::start(&collector, TelemetryConfig { sample_ratio: 0.0, ..TelemetryConfig::default() });
    let server = Setup::default().start().await;
    let mut router = server.router().await;
    let mut unrecorded = from_caller(route_request("recipe for tomato soup"));
    let flags = CALLER.replace("-01", "-00");
    unrecorded.metadata_mut().insert("traceparent", flags.parse().unwrap());
    router.route(unrecorded).await.unwrap();
    router.route(route_request("recipe for onion soup")).await.unwrap();
    let requests = vec![route_request(MATHS), route_request("SQL query that counts users by town")];
    router.route_batch(from_caller(pb::RouteBatchRequest { requests })).await.unwrap();
    watching.end(server).await;

    let tree = collector.tree();
    let call = "semroute.v1.RouterService/RouteBatch";
    tree.one(call);
    let decided: Vec<_> = tree.0.iter().filter(|span| span.name == "decide").collect();
    assert_eq!(decided.iter().map(|span| tree.parent(span)).collect::<Vec<_>>(), [call, call], "{:?}", tree.edges());
    assert!(tree.0.iter().all(|span| span.trace_id == decided[0].trace_id), "only the caller's trace is recorded");
}
