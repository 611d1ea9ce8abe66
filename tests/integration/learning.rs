//! Feedback and proposals over gRPC, from the LLM's verdict to the draft; and the budget of the LLM stage.

use std::time::Duration;

use semroute::grpc::pb;
use semroute::reference::{Fallback, SetPolicy};
use serde_json::json;
use tonic::Code;

use crate::expect::{eventually, refused, violated};
use crate::probe::Samples;
use crate::scripted::{Script, Scripted};
use crate::server::{Setup, TestServer, route_request, text};

const WITHIN: Duration = Duration::from_secs(10);

/// Every prompt is doubtful; provider `p0` serves the LLM stage.
async fn unsure(provider: &Scripted, more: &str) -> TestServer {
    let policy = SetPolicy {
        min_score: 1.0,
        min_margin: 1.0,
        min_similarity: 1.0,
        fallback: Fallback::BestGuess,
        ..SetPolicy::default()
    };
    let toml = format!("[llm]\nprovider = 'p0'\nmodel = 'judge'\n{more}\n");
    Setup { policy, ..Setup::providers(&[provider.address()], &toml) }.start().await
}

fn names(route: &str) -> Script {
    Script::completion(&json!({"route": route}).to_string())
}

async fn decide(server: &TestServer, prompt: &str) -> pb::Decision {
    server.router().await.route(route_request(prompt)).await.unwrap().into_inner().decision.unwrap()
}

async fn feedback(server: &TestServer, request: pb::FeedbackRequest) -> Result<pb::FeedbackResponse, tonic::Status> {
    server.router().await.feedback(request).await.map(tonic::Response::into_inner)
}

fn on(decision: &pb::Decision, right_route: &str) -> pb::FeedbackRequest {
    pb::FeedbackRequest {
        decision_id: decision.decision_id.clone(),
        right_route: right_route.to_owned(),
        ..pb::FeedbackRequest::default()
    }
}

async fn proposals(server: &TestServer, request: pb::ListProposalsRequest) -> pb::ListProposalsResponse {
    let request = pb::ListProposalsRequest { set: "small".to_owned(), ..request };
    server.references().await.list_proposals(request).await.unwrap().into_inner()
}

async fn all(server: &TestServer) -> Vec<pb::Proposal> {
    proposals(server, pb::ListProposalsRequest::default()).await.proposals
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_becomes_a_proposal_and_then_a_reference_prompt() {
    let server = Setup::toml("[feedback]\nkeep = 100\n").start().await;
    let prompt = "how do I make a sourdough starter";
    let decision = decide(&server, prompt).await;
    let note = pb::FeedbackRequest { note: "baking is cooking".to_owned(), ..on(&decision, "cooking") };
    let proposal = feedback(&server, note.clone()).await.unwrap().proposal.unwrap();
    assert_eq!((proposal.text.as_str(), proposal.route.as_str(), proposal.corrections), (prompt, "cooking", 1));
    assert_eq!(proposal.state(), pb::ProposalState::Open);
    assert_eq!(
        (proposal.origins[0].decision_id.as_str(), proposal.origins[0].note.as_str()),
        (decision.decision_id.as_str(), "baking is cooking")
    );
    assert_eq!(feedback(&server, note).await.unwrap().proposal.unwrap(), proposal, "saying it again changes nothing");

    // Another route takes it back.
    let moved = feedback(&server, on(&decision, "maths")).await.unwrap().proposal.unwrap();
    assert_eq!(all(&server).await, [moved]);
    let proposal = feedback(&server, on(&decision, "cooking")).await.unwrap().proposal.unwrap();

    let mut references = server.references().await;
    let accept =
        |expected_revision| pb::AcceptProposalRequest { set: "small".to_owned(), id: proposal.id, expected_revision };
    refused(references.accept_proposal(accept(Some(99))).await, Code::Aborted, "STALE_REVISION");
    let accepted = references.accept_proposal(accept(Some(proposal.revision))).await.unwrap().into_inner();
    assert_eq!(accepted.state(), pb::ProposalState::Accepted);
    let get = pb::GetReferencePromptRequest { set: "small".to_owned(), id: accepted.reference_id.clone() };
    let reference = references.get_reference_prompt(get).await.unwrap().into_inner();
    assert_eq!((reference.text.as_str(), reference.route.as_str()), (prompt, "cooking"));
    let set = references.get_set(pb::GetSetRequest { name: "small".to_owned() }).await.unwrap().into_inner();
    assert_eq!(set.published_version, 1, "nothing is published by itself");
    let known = feedback(&server, on(&decision, "cooking")).await.unwrap();
    assert!(known.proposal.is_some_and(|proposal| proposal.state() == pb::ProposalState::Accepted));
    let reject = pb::RejectProposalRequest { set: "small".to_owned(), id: proposal.id, expected_revision: None };
    refused(references.reject_proposal(reject).await, Code::FailedPrecondition, "PROPOSAL_CLOSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_that_cannot_be_is_refused() {
    let server = Setup::toml("[feedback]\nkeep = 2\n").start().await;
    let oldest = decide(&server, "what is 7 times 8?").await;
    for prompt in ["what is 7 times 9?", "what is 7 times 10?"] {
        decide(&server, prompt).await;
    }
    refused(feedback(&server, on(&oldest, "maths")).await, Code::NotFound, "UNKNOWN_DECISION");
    let unknown = pb::Decision { decision_id: "01a1fdb3-5941-77d5-9c6c-ec605169695e".to_owned(), ..oldest.clone() };
    refused(feedback(&server, on(&unknown, "maths")).await, Code::NotFound, "UNKNOWN_DECISION");
    // With its prompt nothing need be remembered.
    let with_prompt = pb::FeedbackRequest { input: text("what is 7 times 8?"), ..on(&oldest, "maths") };
    assert!(feedback(&server, with_prompt.clone()).await.unwrap().proposal.is_some());
    let elsewhere = pb::FeedbackRequest { reference_set: "nowhere".to_owned(), ..with_prompt.clone() };
    refused(feedback(&server, elsewhere).await, Code::NotFound, "UNKNOWN_SET");
    let no_route = pb::FeedbackRequest { right_route: "poetry".to_owned(), ..with_prompt };
    refused(feedback(&server, no_route).await, Code::NotFound, "UNKNOWN_ROUTE");
    let nonsense = pb::FeedbackRequest {
        decision_id: "7".to_owned(),
        right_route: " none".to_owned(),
        note: "x".repeat(1_025),
        input: text(" "),
        reference_set: String::new(),
    };
    violated(feedback(&server, nonsense).await, &["decision_id", "right_route", "note", "input.text"]);
    let known = pb::FeedbackRequest { input: text("derivative of x^3"), ..on(&oldest, "maths") };
    let known = feedback(&server, known).await.unwrap();
    assert!(known.proposal.is_none() && !known.known_reference.is_empty());
    let mut references = server.references().await;
    let unknown = pb::RejectProposalRequest { set: "small".to_owned(), id: 99, expected_revision: None };
    refused(references.reject_proposal(unknown).await, Code::NotFound, "UNKNOWN_PROPOSAL");
    let odd = pb::ListProposalsRequest {
        set: "small".to_owned(),
        state: 77,
        page_size: 1_001,
        page_token: "x".to_owned(),
        ..pb::ListProposalsRequest::default()
    };
    violated(references.list_proposals(odd).await, &["state", "page_token", "page_size"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_proposed_and_conflicts_told() {
    let provider = Scripted::start([names("cooking"), names("maths"), names("none"), names("code")]).await;
    let server = unsure(&provider, "[feedback]\n").await;
    let wanted = ["a recipe for a cake of 3 layers", "divide a cake of 3 layers by 4", "hm", "write me a parser"];
    for prompt in wanted {
        decide(&server, prompt).await;
        decide(&server, prompt).await;
    }
    let recorded = async || {
        let proposals = all(&server).await;
        (proposals.len() == 3).then_some(proposals)
    };
    let found = eventually("three verdicts are proposed", WITHIN, recorded).await;
    let told: Vec<_> = found.iter().map(|found| (found.text.as_str(), found.route.as_str(), found.verdicts)).collect();
    let expected = [(wanted[0], "cooking", 1), (wanted[1], "maths", 1), (wanted[3], "code", 1)];
    assert_eq!(told, expected, "what came from the cache is not counted");
    assert_eq!(
        (found[0].origins[0].source(), found[0].origins[0].model.as_str()),
        (pb::ProposalSource::LlmVerdict, "judge")
    );
    let page = pb::ListProposalsRequest { page_size: 2, ..pb::ListProposalsRequest::default() };
    let first = proposals(&server, page.clone()).await;
    assert_eq!(first.proposals, found[..2]);
    let second = proposals(&server, pb::ListProposalsRequest { page_token: first.next_page_token, ..page }).await;
    assert_eq!((second.proposals.as_slice(), second.next_page_token.as_str()), (&found[2..], ""));

    let corrected = decide(&server, wanted[0]).await;
    let other = feedback(&server, on(&corrected, "maths")).await.unwrap().proposal.unwrap();
    assert_eq!(other.conflicting_proposals, [found[0].id]);
    let samples = Samples::of(server.http).await;
    let sample = |source: &str| format!(r#"semroute_proposals_total{{outcome="recorded",source="{source}"}}"#);
    assert_eq!((samples.value(&sample("llm_verdict")), samples.value(&sample("correction"))), (3.0, 1.0));
    assert_eq!(samples.value("semroute_feedback_remembered"), 9.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_its_budget_the_llm_is_not_asked_and_the_answer_says_why() {
    let provider = Scripted::start([names("cooking")]).await;
    let budget = "[llm.budget]\nmax_spend_per_day = 0.01\ninput_price = 1.0\noutput_price = 1000.0\n";
    let server = unsure(&provider, budget).await;
    // 64 tokens of output are reserved at 0.064.
    let refused = decide(&server, "what is 7 times 8?").await;
    assert_eq!((refused.llm(), refused.stage()), (pb::LlmOutcome::OverSpend, pb::Stage::BestGuess));
    assert!(refused.reason.contains("over its budget") && refused.timings.unwrap().llm.is_none());
    assert!(provider.requests().is_empty());

    let budget = "[llm.budget]\nmax_share = 0.5\nshare_window = 4\ninput_price = 1.0\noutput_price = 10.0\n";
    let server = unsure(&provider, budget).await;
    let mut outcomes = Vec::new();
    for at in 0..6 {
        outcomes.push(decide(&server, &format!("what is {at} times 8?")).await.llm());
    }
    let (asked, over) = (pb::LlmOutcome::Verdict, pb::LlmOutcome::OverShare);
    assert_eq!(outcomes, [asked, asked, over, over, asked, asked]);
    let samples = Samples::of(server.http).await;
    assert_eq!(samples.value(r#"semroute_llm_outcomes_total{outcome="over_share",set="small"}"#), 2.0);
    assert_eq!((samples.value("semroute_llm_calls_total"), samples.value("semroute_llm_calls_in_flight")), (4.0, 0.0));
    // The scripted provider counts 3 tokens read and 2 written.
    assert_eq!(samples.value(r#"semroute_llm_tokens_total{kind="input"}"#), 12.0);
    let today = samples.value("semroute_llm_spend_today");
    assert!((today - 4.0 * 23e-6).abs() < 1e-9, "{today}");
    let verdict = |verdict: &str| {
        samples.value(&format!(r#"semroute_llm_verdicts_total{{route="maths",set="small",verdict="{verdict}"}}"#))
    };
    assert_eq!((verdict("agrees"), verdict("differs")), (0.0, 4.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_today_is_known_after_a_restart() {
    let provider = Scripted::start([names("cooking")]).await;
    let budget = "[llm.budget]\nmax_spend_per_day = 100.0\ninput_price = 1.0\noutput_price = 10.0\n";
    let server = unsure(&provider, budget).await;
    decide(&server, "what is 7 times 8?").await;
    let tasks = server.app.tasks.clone();
    let folder = server.stopped().await;
    tasks.close();
    tokio::time::timeout(WITHIN, tasks.wait()).await.unwrap();
    let toml = format!("[llm]\nprovider = 'p0'\nmodel = 'judge'\n{budget}\n");
    let server = TestServer::start(Setup::providers(&[provider.address()], &toml), folder).await;
    let samples = Samples::of(server.http).await;
    assert!((samples.value("semroute_llm_spend_today") - 23e-6).abs() < 1e-9);
    assert_eq!(samples.value("semroute_llm_calls_total"), 0.0);
}
