//! Route over loopback gRPC, client and server in this process.
//!
//! Measured: latency from before the call to its answer, one call after the other, for prompts that are embedded anew
//! each time; then how many repeated prompts are answered in a second, with many calls at once. Corpus: the 320 held-out
//! prompts of `tests/data/assistant_heldout.jsonl` against the starter set, as `semroute serve` would serve it from
//! this folder (the first run embeds it). Command: `cargo bench --bench route_grpc`.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench that cannot run stops and says why")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use semroute::app::{App, import_new_sets};
use semroute::config::Config;
use semroute::grpc::{BoundServer, pb};
use semroute::model::Silent;
use semroute::publish::{Counters, bring_up};
use semroute::reference::read_labelled;

const WARM_UP: usize = 20;

/// Of the repeated prompts.
const CONNECTIONS: usize = 4;
const REPEATED_FOR: Duration = Duration::from_secs(5);

fn main() {
    // `cargo test` runs benches too, with a flag; there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    tokio::runtime::Runtime::new().expect("a runtime").block_on(run());
}

async fn run() {
    let app = Arc::new(serve().await);
    let bound = BoundServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let url = format!("http://{}", bound.address());
    let served = Arc::clone(&app);
    tokio::spawn(async move { bound.run(&served, std::future::pending()).await });
    let mut client = pb::router_service_client::RouterServiceClient::connect(url.clone()).await.expect("a connection");

    let prompts = read_labelled("tests/data/assistant_heldout.jsonl".as_ref()).expect("the held-out prompts");
    let (mut calls, mut embeds, mut tokens) = (Vec::new(), Vec::new(), 0u64);
    for (at, prompt) in prompts.iter().enumerate() {
        let input = pb::Input { input: Some(pb::input::Input::Text(prompt.text.clone())) };
        let request = pb::RouteRequest { input: Some(input), ..pb::RouteRequest::default() };
        let begun = Instant::now();
        let response = client.route(request).await.expect("an answer").into_inner();
        let took = begun.elapsed();
        if at < WARM_UP {
            continue;
        }
        let decision = response.decision.expect("a decision");
        let embed = decision.timings.and_then(|timings| timings.embed).expect("a timing");
        calls.push(took);
        embeds.push(Duration::try_from(embed).expect("a span"));
        tokens += u64::from(decision.input_tokens);
    }
    let mean_tokens = tokens as f64 / calls.len() as f64;
    println!("route over gRPC: {} prompts, {mean_tokens:.0} tokens on average", calls.len());
    show("whole call", calls);
    show("of it forward pass", embeds);

    let texts = Arc::new(prompts.into_iter().map(|prompt| prompt.text).collect());
    for calls in [1, 8, 64, 256] {
        repeated(&url, &texts, calls).await;
    }
}

/// So many calls at once over [`CONNECTIONS`], all of prompts that have been asked before.
async fn repeated(url: &str, texts: &Arc<Vec<String>>, calls: usize) {
    let begun = Instant::now();
    let mut callers = Vec::new();
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS.min(calls) {
        let endpoint = tonic::transport::Endpoint::from_shared(url.to_owned()).expect("an address");
        channels.push(endpoint.connect().await.expect("a connection"));
    }
    for caller in 0..calls {
        let channel = channels[caller % channels.len()].clone();
        let mut client = pb::router_service_client::RouterServiceClient::new(channel);
        let texts = Arc::clone(texts);
        callers.push(tokio::spawn(async move {
            let mut took = Vec::new();
            let mut at = caller;
            while begun.elapsed() < REPEATED_FOR {
                at = (at + 7) % texts.len();
                let input = pb::Input { input: Some(pb::input::Input::Text(texts[at].clone())) };
                let request = pb::RouteRequest { input: Some(input), ..pb::RouteRequest::default() };
                let begun = Instant::now();
                let response = client.route(request).await.expect("an answer").into_inner();
                took.push(begun.elapsed());
                assert!(response.decision.is_some_and(|decision| decision.cached));
            }
            took
        }));
    }
    let mut took = Vec::new();
    for caller in callers {
        took.extend(caller.await.expect("a caller"));
    }
    let rate = took.len() as f64 / begun.elapsed().as_secs_f64();
    println!("repeated prompts, {calls} calls at once: {rate:.0} a second");
    show("whole call", took);
}

async fn serve() -> App {
    let config = Config::load(None).expect("a configuration without faults");
    let app = App::start(config, &Silent::shared()).await.expect("the service starts");
    import_new_sets(app.store.as_ref(), &app.config.reference_prompts_dir).await.expect("the starter set");
    for set in app.store.list_sets().await.expect("the sets") {
        bring_up(&app.live, &app.builder, &set, true, &Counters::default()).await.expect("a version");
    }
    app
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let quantile = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("  {what}: p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms", quantile(0.5), quantile(0.9), quantile(0.99));
}
