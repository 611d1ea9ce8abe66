//! The exact-decision cache, seen from outside.

use std::collections::BTreeSet;

use semroute::grpc::pb;
use semroute::reference::{Fallback, SetPolicy};
use serde_json::json;

use crate::expect::{LIVE_WITHIN, eventually};
use crate::probe::Samples;
use crate::scripted::{Script, Scripted};
use crate::server::{Setup, TestServer, route_request};

const MATHS: &str = "what is 7 times 8?";

async fn decide(server: &TestServer, request: pb::RouteRequest) -> pb::Decision {
    server.router().await.route(request).await.unwrap().into_inner().decision.unwrap()
}

fn with(options: pb::RouteOptions) -> pb::RouteRequest {
    pb::RouteRequest { options: Some(options), ..route_request(MATHS) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_answer_is_the_same_answer() {
    let server = Setup::default().start().await;
    let first = decide(&server, route_request(MATHS)).await;
    let second = decide(&server, route_request(MATHS)).await;
    assert_eq!((first.cached, second.cached), (false, true));
    let timings = second.timings.unwrap();
    assert!(timings.queue.is_none() && timings.embed.is_none() && timings.search.is_none() && timings.llm.is_none());
    assert!(timings.total.is_some());
    assert_ne!(first.decision_id, second.decision_id);
    let same = pb::Decision { decision_id: first.decision_id.clone(), cached: false, timings: first.timings, ..second };
    assert_eq!(first, same);

    let explained =
        pb::RouteOptions { max_neighbours: Some(3), explain: true, allow_llm: Some(false), target_accuracy: None };
    let third = decide(&server, with(explained)).await;
    assert!(third.cached && third.neighbours.len() == 3 && !third.neighbours[0].text.is_empty(), "{third:?}");
    let many = pb::RouteOptions { max_neighbours: Some(100), ..pb::RouteOptions::default() };
    let all = decide(&server, with(many)).await;
    assert!(!all.cached && all.neighbours.len() == 32, "more than was kept");
    // Another text, be it by a blank only, is another prompt. White space at the ends is not part of a prompt.
    assert!(!decide(&server, route_request("what is 7  times 8?")).await.cached);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_one_prompt_is_embedded_once() {
    let server = Setup::toml("embedding.queue_capacity = 1\nembedding.workers = 1").start().await;
    let router = server.router().await;
    let calls: Vec<_> = (0..1_000)
        .map(|_| {
            let mut router = router.clone();
            tokio::spawn(async move { router.route(route_request(MATHS)).await })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for call in calls {
        let decision = call.await.unwrap().unwrap().into_inner().decision.unwrap();
        assert_eq!(decision.route, "maths");
        ids.insert(decision.decision_id);
    }
    assert_eq!(ids.len(), 1_000);
    let samples = Samples::of(server.http).await;
    assert_eq!(samples.value("semroute_embed_duration_seconds_count"), 1.0);
    assert_eq!(samples.value("semroute_cache_misses_total"), 1.0);
    assert_eq!(samples.value("semroute_cache_hits_total") + samples.value("semroute_cache_joined_total"), 999.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_publish_nothing_old_is_answered() {
    let server = Setup::default().start().await;
    let before = decide(&server, route_request("how high is the moon")).await;
    let mut references = server.references().await;
    let route = pb::Route { name: "astronomy".to_owned(), ..pb::Route::default() };
    let (set, text) = ("small".to_owned(), "how high is the moon".to_owned());
    let upsert = pb::UpsertRouteRequest { set: set.clone(), route: Some(route), ..pb::UpsertRouteRequest::default() };
    references.upsert_route(upsert).await.unwrap();
    let prompt = pb::ReferencePrompt { route: "astronomy".to_owned(), text, ..pb::ReferencePrompt::default() };
    let write = pb::ReferencePromptWrite { prompt: Some(prompt), ..pb::ReferencePromptWrite::default() };
    references
        .upsert_reference_prompts(pb::UpsertReferencePromptsRequest { set: set.clone(), prompts: vec![write] })
        .await
        .unwrap();
    references.publish(pb::PublishRequest { set, ..pb::PublishRequest::default() }).await.unwrap();
    let after = eventually("the new version answers", LIVE_WITHIN, async || {
        let decision = decide(&server, route_request("how high is the moon")).await;
        (decision.versions.as_ref().unwrap().set_version == 2).then_some(decision)
    })
    .await;
    assert_ne!(before.route, "astronomy");
    assert_eq!(after.neighbours[0].route, "astronomy", "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_kept_and_failures_are_not() {
    let scripts = [Script::error(500, "oops"), Script::completion(&json!({"route": "cooking"}).to_string())];
    let provider = Scripted::start(scripts).await;
    let policy = SetPolicy {
        min_score: 1.0,
        min_margin: 1.0,
        min_similarity: 1.0,
        fallback: Fallback::BestGuess,
        ..SetPolicy::default()
    };
    let llm = "[llm]\nprovider = 'p0'\nmodel = 'judge'";
    let server = Setup { policy, ..Setup::providers(&[provider.address()], llm) }.start().await;
    let shown = async |request: pb::RouteRequest| {
        let decision = decide(&server, request).await;
        (decision.stage(), decision.llm(), decision.route.clone(), decision.cached)
    };
    let without = with(pb::RouteOptions { allow_llm: Some(false), ..pb::RouteOptions::default() });
    let (guess, llm) = (pb::Stage::BestGuess, pb::Stage::Llm);
    let (maths, cooking) = ("maths".to_owned(), "cooking".to_owned());
    // The LLM fails; what it says next is kept; neither is for those who do not want it.
    assert_eq!(shown(route_request(MATHS)).await, (guess, pb::LlmOutcome::Error, maths.clone(), false));
    assert_eq!(shown(without.clone()).await, (guess, pb::LlmOutcome::NotAllowed, maths.clone(), true));
    assert_eq!(shown(route_request(MATHS)).await, (llm, pb::LlmOutcome::Verdict, cooking.clone(), false));
    assert_eq!(shown(route_request(MATHS)).await, (llm, pb::LlmOutcome::Verdict, cooking, true));
    assert_eq!(shown(without).await, (guess, pb::LlmOutcome::NotAllowed, maths, true));
    assert_eq!(provider.requests().len(), 2);
    let samples = Samples::of(server.http).await;
    let outcome =
        |outcome: &str| samples.value(&format!(r#"semroute_llm_outcomes_total{{outcome="{outcome}",set="small"}}"#));
    assert_eq!((outcome("error"), outcome("verdict"), outcome("not_allowed")), (1.0, 2.0, 2.0));
    assert_eq!(samples.value("semroute_llm_duration_seconds_count"), 2.0);
    assert_eq!(samples.value(r#"semroute_decisions_total{decided_by="llm",set="small",stage="cache"}"#), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_every_prompt_is_embedded() {
    let server = Setup::toml("cache.max_bytes = 0").start().await;
    for _ in 0..3 {
        let decision = decide(&server, route_request(MATHS)).await;
        assert!(!decision.cached && decision.timings.unwrap().embed.is_some());
    }
    let samples = Samples::of(server.http).await;
    assert_eq!(
        (samples.value("semroute_embed_duration_seconds_count"), samples.value("semroute_cache_max_bytes")),
        (3.0, 0.0)
    );
}
