//! Complete: what the provider is asked, who answers, and what is told of those who did not.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use futures_util::StreamExt;
use prost_types::value::Kind;
use semroute::grpc::pb;
use semroute::reference::{Fallback, SetPolicy};
use serde_json::json;
use tonic::{Code, Request};

use crate::outcome::{fault, is_fault, summary, tried, violated};
use crate::raw;
use crate::scripted::{Script, Scripted};
use crate::server::{Setup, TestServer, complete_request};

const MATHS: &str = "what is 7 times 8?";

/// Nobody listens there.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn complete(server: &TestServer, request: pb::CompleteRequest) -> Result<pb::CompleteResponse, tonic::Status> {
    server.router().await.complete(request).await.map(tonic::Response::into_inner)
}

fn object(fields: &[(&str, Kind)]) -> prost_types::Struct {
    let value = |kind: &Kind| prost_types::Value { kind: Some(kind.clone()) };
    let fields: BTreeMap<String, prost_types::Value> =
        fields.iter().map(|(name, kind)| ((*name).to_owned(), value(kind))).collect();
    prost_types::Struct { fields }
}

fn conversation(turns: &[(pb::Role, &str)]) -> Option<pb::Input> {
    let message = |(role, text): &(pb::Role, &str)| pb::ChatMessage {
        role: (*role).into(),
        text: (*text).to_owned(),
        ..Default::default()
    };
    let messages = turns.iter().map(message).collect();
    Some(pb::Input { input: Some(pb::input::Input::Conversation(pb::Conversation { messages })) })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_gets_the_whole_request_and_the_caller_is_told_who_answered() {
    let provider = Scripted::start([Script::completion("56")]).await;
    let server = Setup::providers(&[provider.address()], "").start().await;
    let schema = object(&[("type", Kind::StringValue("object".to_owned())), ("minProperties", Kind::NumberValue(1.0))]);
    let request = pb::CompleteRequest {
        input: conversation(&[
            (pb::Role::System, "be brief"),
            (pb::Role::User, "recipe for onion soup"),
            (pb::Role::Assistant, ""),
            (pb::Role::User, MATHS),
        ]),
        max_output_tokens: Some(50),
        temperature: Some(0.7),
        top_p: Some(0.9),
        stop: vec!["END".to_owned()],
        seed: Some(-7),
        response_schema: Some(pb::ResponseSchema { schema: Some(schema), ..Default::default() }),
        provider_options: Some(object(&[
            ("user", Kind::StringValue("u1".to_owned())),
            ("logprobs", Kind::BoolValue(true)),
            ("model", Kind::StringValue("stolen".to_owned())),
            ("messages", Kind::StringValue("stolen".to_owned())),
            ("stream", Kind::BoolValue(true)),
        ])),
        ..pb::CompleteRequest::default()
    };
    let response = complete(&server, request).await.unwrap();

    let received = &provider.requests()[0];
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/v1/chat/completions"));
    let expected = json!({
        "model": "model-0",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "recipe for onion soup"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": MATHS},
        ],
        "max_tokens": 50, "temperature": 0.7, "top_p": 0.9, "stop": ["END"], "seed": -7,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object", "minProperties": 1}, "strict": true},
        },
        "user": "u1", "logprobs": true,
    });
    assert_eq!(received.json(), expected);

    assert_eq!(response.text, "56");
    assert_eq!(response.decision.unwrap().route, "maths", "the newest user turn is classified");
    let served = response.served.unwrap();
    let who = (served.actual_provider.as_str(), served.actual_model.as_str(), served.actual_region.as_str());
    assert_eq!(who, ("p0", "scripted", "region-0"));
    assert_eq!(served.finish_reason(), pb::FinishReason::Stop);
    assert_eq!(served.usage, Some(pb::Usage { input_tokens: 3, output_tokens: 2, ..pb::Usage::default() }));
    assert_eq!(summary(&served.attempts), ["p0=ok"]);
    let target = served.attempts[0].target.as_ref().unwrap();
    assert_eq!(
        (target.provider.as_str(), target.model.as_str(), target.region.as_str()),
        ("p0", "model-0", "region-0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_is_followed_by_the_next() {
    let table = [
        (Script::error(500, "oops"), "p0=status 500"),
        (Script::whole(200, "text/html", "<html>captive portal</html>"), "p0=malformed"),
        (Script::json(200, &json!({"choices": []})), "p0=malformed"),
        (Script::close(), "p0=broken"),
        // Last, since it is left alone from then on.
        (Script::error(429, "slow down").header("retry-after", "70"), "p0=rate_limited 429"),
    ];
    let first = Scripted::start(table.iter().map(|(script, _)| script.clone())).await;
    let second = Scripted::start([Script::completion("good")]).await;
    // Translations go to an address where nobody listens, then to the second provider.
    let more = "sets.small.routes.translation.targets = ['p2', 'p1']";
    let server = Setup::providers(&[first.address(), second.address(), nobody()], more).start().await;
    let check = async |prompt: &str, expected: &str| {
        let response = complete(&server, complete_request(prompt)).await.unwrap();
        let served = response.served.unwrap();
        assert_eq!(response.text, "good");
        assert_eq!((served.actual_provider.as_str(), served.actual_region.as_str()), ("p1", "region-1"));
        assert_eq!(summary(&served.attempts), [expected, "p1=ok"]);
        assert!(!served.attempts[0].message.is_empty() && served.attempts[1].message.is_empty());
    };
    for (_, expected) in &table {
        check(MATHS, expected).await;
    }
    check("Spanish for window", "p2=connect").await;
    assert_eq!((first.requests().len(), second.requests().len()), (table.len(), table.len() + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_leaves_half_of_the_time_to_the_next() {
    let first = Scripted::start([Script::hang()]).await;
    let second = Scripted::start([Script::completion("good")]).await;
    let server = Setup::providers(&[first.address(), second.address()], "").start().await;
    let mut request = Request::new(complete_request(MATHS));
    request.set_timeout(Duration::from_secs(3));
    let response = server.router().await.complete(request).await.unwrap().into_inner();
    let attempts = response.served.unwrap().attempts;
    assert_eq!(summary(&attempts), ["p0=timeout", "p1=ok"]);
    let waited = Duration::try_from(attempts[0].duration.unwrap()).unwrap();
    assert!(waited > Duration::from_millis(500) && waited < Duration::from_millis(1600), "{waited:?}");
    first.client_gone(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_not_sent_elsewhere() {
    let first = Scripted::start([Script::error(400, "temperature is not supported")]).await;
    let second = Scripted::start([Script::completion("never")]).await;
    let server = Setup::providers(&[first.address(), second.address()], "").start().await;
    let status = complete(&server, complete_request(MATHS)).await.unwrap_err();
    is_fault(&status, Code::FailedPrecondition, "REJECTED_BY_PROVIDER");
    assert!(status.message().contains("temperature is not supported"), "{}", status.message());
    let attempts = tried(&status).attempts;
    assert_eq!(summary(&attempts), ["p0=status 400"]);
    assert_eq!(attempts[0].target.as_ref().unwrap().model, "model-0");
    assert!(attempts[0].duration.is_some());
    assert!(second.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_fail_the_status_tells_of_each() {
    let provider = Scripted::start([Script::error(503, "busy")]).await;
    let server = Setup::providers(&[provider.address(), nobody()], "").start().await;
    let check = async |max_attempts: Option<u32>, expected: &[&str]| {
        let request = pb::CompleteRequest { max_attempts, ..complete_request(MATHS) };
        let status = complete(&server, request).await.unwrap_err();
        is_fault(&status, Code::Unavailable, "ALL_TARGETS_FAILED");
        assert_eq!(summary(&tried(&status).attempts)[..expected.len()], *expected);
        tried(&status).attempts.len()
    };
    // Whose pause is over first is tried again.
    assert_eq!(check(None, &["p0=status 503", "p1=connect"]).await, 3);
    assert_eq!(check(Some(9), &["p0=status 503", "p1=connect"]).await, 3);
    assert_eq!(check(Some(1), &["p0=status 503"]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_of_many_providers_leave_the_status_readable() {
    // A status travels in headers, of which clients take 8 or 16 KB.
    let long = "今日は混み合っています".repeat(40);
    let provider = Scripted::start([Script::error(503, &long)]).await;
    let server = Setup::providers(&[provider.address(); 10], "dispatch.max_attempts = 10").start().await;
    let check = |status: tonic::Status| {
        is_fault(&status, Code::Unavailable, "ALL_TARGETS_FAILED");
        assert!(status.message().len() + status.details().len() < 6_000, "{}", status.details().len());
        let attempts = tried(&status).attempts;
        assert_eq!(summary(&attempts)[9], "p9=status 503");
        assert!(attempts.iter().all(|attempt| attempt.message.contains("今日は")), "{attempts:?}");
    };
    check(complete(&server, complete_request(MATHS)).await.unwrap_err());
    let stream = server.router().await.complete_stream(complete_request(MATHS)).await.unwrap().into_inner();
    let events: Vec<_> = stream.collect().await;
    check(events.into_iter().last().unwrap().unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_chooses_one_of_the_routes_targets() {
    let first = Scripted::start([Script::completion("first")]).await;
    let second = Scripted::start([Script::completion("second")]).await;
    let more = "sets.small.routes.translation.targets = ['p0']";
    let server = Setup::providers(&[first.address(), second.address()], more).start().await;
    let pinned =
        |prompt: &str, target: &str| pb::CompleteRequest { pin_target: target.to_owned(), ..complete_request(prompt) };
    let response = complete(&server, pinned(MATHS, "p1")).await.unwrap();
    assert_eq!((response.text.as_str(), response.served.unwrap().attempts.len()), ("second", 1));
    assert_eq!(response.decision.unwrap().route, "maths");

    let check = async |prompt: &str, target: &str, expected: &[&str]| {
        let status = complete(&server, pinned(prompt, target)).await.unwrap_err();
        is_fault(&status, Code::FailedPrecondition, "NO_ALLOWED_TARGET");
        let tried = tried(&status);
        let refused: Vec<&str> = tried.refused.iter().map(|refusal| refusal.target.as_str()).collect();
        assert_eq!(refused, expected);
        assert!(tried.attempts.is_empty() && tried.refused.iter().all(|refusal| !refusal.reason.is_empty()));
    };
    check(MATHS, "nobody", &["p0", "p1", "nobody"]).await;
    check("Spanish for window", "p1", &["p0", "p1"]).await;
    assert!(first.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_provider_the_demo_answers_and_says_so() {
    let server = Setup::default().start().await;
    let response = complete(&server, complete_request(MATHS)).await.unwrap();
    assert!(response.text.contains("demo answer") && response.text.contains("maths"), "{}", response.text);
    let served = response.served.unwrap();
    assert_eq!((served.actual_provider.as_str(), served.actual_model.as_str()), ("demo", "demo"));
    assert_eq!(summary(&served.attempts), ["demo=ok"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_without_a_route_is_sent_nowhere() {
    let provider = Scripted::start([Script::completion("never")]).await;
    // More than so few prompts can prove, so that the bounds on the vote are asked.
    let policy =
        SetPolicy { target_accuracy: 0.99, min_similarity: 1.0, fallback: Fallback::Abstain, ..SetPolicy::default() };
    let server = Setup { policy, ..Setup::providers(&[provider.address()], "") }.start().await;
    let status = complete(&server, complete_request(MATHS)).await.unwrap_err();
    is_fault(&status, Code::FailedPrecondition, "NO_ROUTE");
    assert!(status.message().contains("similarity"), "{}", status.message());
    let stream = server.router().await.complete_stream(complete_request(MATHS)).await;
    is_fault(&stream.unwrap_err(), Code::FailedPrecondition, "NO_ROUTE");
    assert!(provider.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violated_field_is_named() {
    let server = Setup::default().start().await;
    let check = async |request: pb::CompleteRequest, expected: &[&str]| {
        let status = complete(&server, request).await.unwrap_err();
        assert_eq!(fault(&status), (Code::InvalidArgument, "INVALID_FIELD".to_owned()));
        assert_eq!(violated(&status), expected, "{}", status.message());
    };
    let everything = pb::CompleteRequest {
        input: None,
        reference_set: " x".to_owned(),
        options: Some(pb::RouteOptions { max_neighbours: Some(101), ..pb::RouteOptions::default() }),
        pin_target: "a\nb".to_owned(),
        max_attempts: Some(0),
        max_output_tokens: Some(0),
        temperature: Some(f32::NAN),
        top_p: Some(-0.1),
        stop: vec!["x".to_owned(); 9],
        seed: None,
        response_schema: Some(pb::ResponseSchema { name: "a b".to_owned(), ..Default::default() }),
        provider_options: None,
        hedge: Some(pb::Hedge { after: Some(prost_types::Duration { seconds: 7_200, nanos: 0 }) }),
        data_policy: Some(pb::DataPolicy { allowed_regions: vec!["eu-wst".to_owned()], ..Default::default() }),
        affinity_key: "k".repeat(257),
        ..Default::default()
    };
    let expected = [
        "input",
        "data_policy.allowed_regions",
        "affinity_key",
        "reference_set",
        "options.max_neighbours",
        "pin_target",
        "max_attempts",
        "hedge.after",
        "max_output_tokens",
        "temperature",
        "top_p",
        "stop",
        "response_schema.name",
        "response_schema.schema",
    ];
    check(everything, &expected).await;

    let with = |turns: &[(pb::Role, &str)]| pb::CompleteRequest { input: conversation(turns), ..Default::default() };
    check(with(&[]), &["input.conversation.messages"]).await;
    check(with(&[(pb::Role::System, "be brief")]), &["input.conversation"]).await;
    check(with(&[(pb::Role::Unspecified, "hello")]), &["input.conversation.messages[0].role"]).await;
    let turns = [(pb::Role::System, ""), (pb::Role::Assistant, ""), (pb::Role::User, "hello"), (pb::Role::User, "")];
    check(with(&turns), &["input.conversation.messages[0].text", "input.conversation.messages[3].text"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_frees_the_provider() {
    let first = Scripted::start([Script::hang()]).await;
    let second = Scripted::start([Script::completion("never")]).await;
    let server = Setup::providers(&[first.address(), second.address()], "").start().await;
    let mut router = server.router().await;
    let call = tokio::spawn(async move { router.complete(complete_request(MATHS)).await });
    first.requested(1).await;
    call.abort();
    first.client_gone(1).await;
    assert!(second.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_ends_a_completion_and_the_status_tells_of_the_attempts() {
    let provider = Scripted::start([Script::hang()]).await;
    let server = Setup::providers(&[provider.address(), provider.address()], "").start().await;
    let check = async |pause: Duration, expected: &[&str]| {
        let request = complete_request(MATHS);
        let status = raw::call_slowly(&server, "Complete", &request, "1500m", pause).await.unwrap_err();
        is_fault(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        assert_eq!(summary(&tried(&status).attempts), expected);
    };
    check(Duration::ZERO, &["p0=timeout", "p1=timeout"]).await;
    // The time counts from the call's begin, not from the end of a slow upload.
    check(Duration::from_millis(700), &["p0=timeout", "p1=timeout"]).await;
    provider.client_gone(4).await;

    // Nothing can be tried any more: the upload took all the time.
    let late = Duration::from_millis(1200);
    let status = raw::call_slowly(&server, "Complete", &complete_request(MATHS), "500m", late).await.unwrap_err();
    is_fault(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!(provider.requests().len(), 4);
}
