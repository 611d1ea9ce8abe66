//! Route and RouteBatch: decisions with their evidence, and what is refused.

use semroute::grpc::pb;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::server::{Setup, route_request};

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_comes_with_its_evidence() {
    let server = Setup::default().start().await;
    let mut router = server.router().await;
    let mut request = Request::new(pb::RouteRequest {
        options: Some(pb::RouteOptions {
            max_neighbours: Some(3),
            explain: true,
            allow_llm: None,
            target_accuracy: None,
        }),
        ..route_request("what is 7 times 8?")
    });
    request.metadata_mut().insert("x-request-id", "abc".parse().unwrap());
    let response = router.route(request).await.unwrap();
    assert_eq!(response.metadata().get("x-request-id").unwrap(), "abc");
    let response = response.into_inner();
    let decision = response.decision.unwrap();
    assert_eq!(decision.route, "maths");
    assert_eq!(decision.stage(), pb::Stage::Embedding);
    assert_eq!(decision.llm(), pb::LlmOutcome::NotNeeded);
    assert_eq!(decision.neighbours.len(), 3);
    assert_eq!(decision.neighbours[0].text, "what is 12 times 17");
    assert!(decision.neighbours.windows(2).all(|pair| pair[0].similarity >= pair[1].similarity));
    let shares: f32 = decision.alternatives.iter().map(|score| score.score).sum();
    assert!((shares - 1.0).abs() < 1e-3, "{shares}");
    assert_eq!(decision.input_seen, 1.0);
    let versions = decision.versions.unwrap();
    assert_eq!((versions.reference_set.as_str(), versions.set_version), ("small", 1));
    assert_eq!(versions.model.len(), 16);
    let timings = decision.timings.unwrap();
    assert!(timings.total.unwrap().nanos > 0 && timings.embed.unwrap().nanos > 0 && timings.llm.is_none());
    assert_eq!(response.plan.unwrap().targets[0].provider, "demo");
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_errors_are_mended_by_the_words_of_the_set() {
    for mend in [true, false] {
        let server = Setup::toml(format!("[embedding]\nmend_typing_errors = {mend}")).start().await;
        let decide = async |text: &str| {
            let response = server.router().await.route(route_request(text)).await.unwrap().into_inner();
            response.decision.unwrap()
        };
        let (slips, clean) = (decide("a recpie for tomatto soup").await, decide("a recipe for tomato soup").await);
        assert_eq!((slips.mended_words, clean.mended_words), (if mend { 2 } else { 0 }, 0));
        let nearest = |decision: &pb::Decision| decision.neighbours.first().map(|near| near.similarity);
        assert_eq!(nearest(&slips) == nearest(&clean), mend);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_in_order_each_with_its_own_status() {
    let server = Setup::default().start().await;
    let requests = vec![
        route_request("Spanish for window"),
        route_request("  "),
        route_request("recipe for onion soup"),
        pb::RouteRequest { reference_set: "nope".to_owned(), ..route_request("x") },
    ];
    let response = server.router().await.route_batch(pb::RouteBatchRequest { requests }).await.unwrap().into_inner();
    let shown: Vec<String> = response
        .results
        .into_iter()
        .map(|result| match result.result.unwrap() {
            pb::route_result::Result::Response(response) => response.decision.unwrap().route,
            pb::route_result::Result::Error(status) => Code::from(status.code).to_string(),
        })
        .collect();
    let [invalid, not_found] = [Code::InvalidArgument, Code::NotFound].map(|code| code.to_string());
    assert_eq!(shown, ["translation".to_owned(), invalid, "cooking".to_owned(), not_found]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violated_field_is_named() {
    let server = Setup::default().start().await;
    let request = pb::RouteRequest {
        input: None,
        reference_set: "a\nb".to_owned(),
        options: Some(pb::RouteOptions { max_neighbours: Some(101), ..pb::RouteOptions::default() }),
        data_policy: Some(pb::DataPolicy { denied_providers: vec!["nobody".to_owned()], ..pb::DataPolicy::default() }),
        needs: Some(pb::Needs { capabilities: vec!["sight".to_owned()], ..pb::Needs::default() }),
    };
    let status = server.router().await.route(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    let expected =
        ["input", "data_policy.denied_providers", "needs.capabilities[0]", "reference_set", "options.max_neighbours"];
    assert_eq!(fields, expected);
    assert_eq!(status.get_details_error_info().unwrap().reason, "INVALID_FIELD");
}
