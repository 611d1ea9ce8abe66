//! The decision model in service: what Publish tells of it, what answers carry, and that every process has the same.

use semroute::grpc::pb;
use semroute::publish::{Counters, bring_up};
use semroute::reference::SetPolicy;
use tonic::Code;

use crate::expect::violated;
use crate::server::{Setup, TestServer, route_request, set_name};

const SET: &str = "small";

/// With a target that the 32 prompts of the small set can prove.
fn setup(target_accuracy: f32) -> Setup {
    Setup { policy: SetPolicy { target_accuracy, ..Setup::default().policy }, ..Setup::default() }
}

async fn decide(server: &TestServer, prompt: &str, target_accuracy: Option<f32>) -> pb::Decision {
    let options = pb::RouteOptions { target_accuracy, ..pb::RouteOptions::default() };
    let request = pb::RouteRequest { options: Some(options), ..route_request(prompt) };
    server.router().await.route(request).await.unwrap().into_inner().decision.unwrap()
}

async fn publish(server: &TestServer) -> pb::BuildReport {
    let request = pb::PublishRequest { set: SET.to_owned(), expected_revision: None };
    server.references().await.publish(request).await.unwrap().into_inner().report.unwrap()
}

async fn write(server: &TestServer, route: &str, texts: &[&str]) {
    let mut references = server.references().await;
    // As the small set describes its routes.
    let description = format!("about {route}");
    let route = pb::Route { name: route.to_owned(), description, ..pb::Route::default() };
    let request = pb::UpsertRouteRequest { set: SET.to_owned(), route: Some(route.clone()), expected_revision: None };
    references.upsert_route(request).await.unwrap();
    let prompts = texts.iter().map(|text| pb::ReferencePromptWrite {
        prompt: Some(pb::ReferencePrompt {
            route: route.name.clone(),
            text: (*text).to_owned(),
            ..pb::ReferencePrompt::default()
        }),
        expected_revision: None,
    });
    let request = pb::UpsertReferencePromptsRequest { set: SET.to_owned(), prompts: prompts.collect() };
    references.upsert_reference_prompts(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_says_how_sure_it_is_and_what_was_asked_of_it() {
    let server = setup(0.5).start().await;
    let report = publish(&server).await;
    let fit = report.fit.unwrap();
    assert_eq!((fit.held_out, report.fit_refused.as_str()), (32, ""));
    assert!(fit.accuracy > 0.7 && fit.brier < 0.3 && fit.bytes > 1_000, "{fit:?}");
    assert_eq!(fit.reliability.iter().map(|bin| bin.prompts).sum::<u64>(), 32);
    let expected = fit.expected.unwrap();
    assert!(expected.reached && expected.alone > 0.5 && expected.accuracy_alone_at_least >= 0.5, "{expected:?}");

    let prompt = "how do I make a soup of leeks";
    let sure = decide(&server, prompt, None).await;
    assert_eq!((sure.route.as_str(), sure.stage(), sure.doubts.len()), ("cooking", pb::Stage::Embedding, 0));
    let (confidence, threshold) = (sure.confidence.unwrap(), sure.threshold.unwrap());
    assert!(confidence >= threshold && confidence <= 1.0 && (0.0..=1.0).contains(&sure.in_scope.unwrap()), "{sure:?}");
    let probabilities: Vec<f32> = sure.alternatives.iter().filter_map(|route| route.probability).collect();
    assert!(probabilities.len() >= 2);
    assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-2 && probabilities.is_sorted_by(|a, b| a >= b));
    assert_eq!(sure.without_llm.unwrap().route, "cooking");

    // What nobody can prove goes to the LLM stage, and there is none; without a target the vote is asked.
    let unsure = decide(&server, prompt, Some(1.0)).await;
    assert_eq!((unsure.stage(), unsure.route.as_str()), (pb::Stage::BestGuess, "cooking"));
    assert_eq!(unsure.doubts.iter().map(|doubt| doubt.measure.as_str()).collect::<Vec<_>>(), ["confidence"]);
    assert!(unsure.threshold.unwrap() > 1.0 && unsure.cached, "{unsure:?}");
    let voted = decide(&server, prompt, Some(0.0)).await;
    assert_eq!((voted.stage(), voted.threshold), (pb::Stage::Embedding, None));

    for target_accuracy in [-0.1, 1.1, f32::NAN] {
        let options = pb::RouteOptions { target_accuracy: Some(target_accuracy), ..pb::RouteOptions::default() };
        let request = pb::RouteRequest { options: Some(options), ..route_request(prompt) };
        violated(server.router().await.route(request).await, &["options.target_accuracy"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_prompts_to_prove_a_target_leave_the_vote_to_decide() {
    let server = setup(0.99).start().await;
    let report = publish(&server).await;
    assert_eq!(report.fit.unwrap().expected, None);
    let decision = decide(&server, "recipe for a cake", None).await;
    assert_eq!((decision.stage(), decision.threshold), (pb::Stage::Embedding, None));
    assert!(decision.confidence.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_of_no_route_teach_what_is_out_of_scope_and_are_never_neighbours() {
    let server = setup(0.5).start().await;
    let prompt = "who won the football match last night";
    let before = decide(&server, prompt, None).await;
    let sports = [
        "who won the league last year",
        "when is the next tennis match",
        "what was the score of the basketball game last night",
        "which team plays in the final",
        "how many goals did the striker score",
        "is the football match on television tonight",
    ];
    write(&server, "none", &sports).await;
    let report = publish(&server).await;
    assert_eq!((report.prompts, report.routes), (32, 4), "the reserved route is none of the set's");
    let after = decide(&server, prompt, None).await;
    assert!(after.in_scope.unwrap() < before.in_scope.unwrap(), "{before:?} {after:?}");
    assert!(after.neighbours.iter().all(|neighbour| neighbour.route != "none"));
    assert!(after.alternatives.iter().all(|score| score.route != "none"));

    let targets = vec!["t".to_owned()];
    let route = pb::Route { name: "none".to_owned(), targets, ..pb::Route::default() };
    let request = pb::UpsertRouteRequest { set: SET.to_owned(), route: Some(route), expected_revision: None };
    violated(server.references().await.upsert_route(request).await, &["route.targets"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluation_prompts_are_measured_on_and_are_no_neighbours() {
    let server = setup(0.5).start().await;
    publish(&server).await;
    let text = "which wine goes with a stew of beans";
    let prompt = pb::ReferencePrompt {
        id: "seen".to_owned(),
        route: "cooking".to_owned(),
        text: text.to_owned(),
        purpose: pb::PromptPurpose::Evaluation.into(),
        ..pb::ReferencePrompt::default()
    };
    let prompts = vec![pb::ReferencePromptWrite { prompt: Some(prompt), expected_revision: None }];
    let request = pb::UpsertReferencePromptsRequest { set: SET.to_owned(), prompts };
    server.references().await.upsert_reference_prompts(request).await.unwrap();
    let report = publish(&server).await;
    assert_eq!(report.prompts, 32, "prompts of the index");
    let fit = report.fit.unwrap();
    assert_eq!((fit.held_out, fit.evaluations, fit.changed), (33, 1, 0), "measured anew");
    let neighbours = decide(&server, text, None).await.neighbours;
    assert!(!neighbours.is_empty() && neighbours.iter().all(|near| near.id != "seen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_of_no_route_alone_cannot_be_published() {
    let server = Setup::default().start().await;
    let mut references = server.references().await;
    let set = pb::ReferenceSet { name: "other".to_owned(), ..pb::ReferenceSet::default() };
    let request = pb::UpsertSetRequest { set: Some(set), expected_revision: None, ..pb::UpsertSetRequest::default() };
    references.upsert_set(request).await.unwrap();
    let route = Some(pb::Route { name: "none".to_owned(), ..pb::Route::default() });
    let request = pb::UpsertRouteRequest { set: "other".to_owned(), route, expected_revision: None };
    references.upsert_route(request).await.unwrap();
    let prompt = pb::ReferencePrompt { route: "none".to_owned(), text: "x".to_owned(), ..Default::default() };
    let prompts = vec![pb::ReferencePromptWrite { prompt: Some(prompt), expected_revision: None }];
    let request = pb::UpsertReferencePromptsRequest { set: "other".to_owned(), prompts };
    references.upsert_reference_prompts(request).await.unwrap();
    let request = pb::PublishRequest { set: "other".to_owned(), expected_revision: None };
    let refused = references.publish(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stored_model_decides_and_a_damaged_one_is_fitted_again() {
    let server = setup(0.5).start().await;
    let prompt = "put this letter into Swedish";
    let first = decide(&server, prompt, None).await;
    let app = &server.app;
    let stored = app.store.decision_model(&set_name(), 1).await.unwrap().unwrap();
    assert!(!stored.is_empty());

    let cut = stored[..stored.len() / 2].to_vec();
    let mut flipped = stored.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    for model in [stored, cut, flipped, b"nonsense".to_vec()] {
        app.store.put_decision_model(&set_name(), 1, &model).await.unwrap();
        let set = app.store.get_set(&set_name()).await.unwrap();
        bring_up(&app.live, &app.builder, &set, true, &Counters::default()).await.unwrap();
        let again = decide(&server, prompt, None).await;
        assert_eq!(
            (again.confidence, again.in_scope, again.threshold),
            (first.confidence, first.in_scope, first.threshold)
        );
    }
    // The mark of a version to which none could be fitted.
    app.store.put_decision_model(&set_name(), 1, &[]).await.unwrap();
    let set = app.store.get_set(&set_name()).await.unwrap();
    bring_up(&app.live, &app.builder, &set, true, &Counters::default()).await.unwrap();
    let voted = decide(&server, prompt, None).await;
    assert_eq!((voted.confidence, voted.threshold, voted.route.as_str()), (None, None, "translation"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_more_is_learned_without_a_whole_fit() {
    let server = setup(0.5).start().await;
    let whole = publish(&server).await.fit.unwrap();
    assert_eq!((whole.held_out, whole.changed), (32, 0));

    let prompt = "how many litres fit into a barrel of wine";
    let before = decide(&server, prompt, None).await;
    write(&server, "cooking", &["how many litres of wine fit into a barrel"]).await;
    let more = publish(&server).await.fit.unwrap();
    assert_eq!((more.held_out, more.changed), (32, 1), "the figures are those of the last whole fit");
    let after = decide(&server, prompt, None).await;
    let cooking = |decision: &pb::Decision| {
        let score = decision.alternatives.iter().find(|score| score.route == "cooking");
        score.and_then(|score| score.probability).unwrap()
    };
    assert!(cooking(&after) > cooking(&before), "{before:?} {after:?}");

    // More than a twentieth has changed by now, or somebody wants it all anew.
    write(&server, "maths", &["what is 5 squared", "how much is a third of 90"]).await;
    let whole = publish(&server).await.fit.unwrap();
    assert_eq!((whole.held_out, whole.changed), (35, 0));
    let described = pb::Route { name: "maths".to_owned(), description: "sums".to_owned(), ..pb::Route::default() };
    let request = pb::UpsertRouteRequest { set: SET.to_owned(), route: Some(described), expected_revision: None };
    server.references().await.upsert_route(request).await.unwrap();
    assert_eq!(publish(&server).await.fit.unwrap().changed, 0);
}
