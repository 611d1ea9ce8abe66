//! Outages as operators and callers see them: breakers in answers, in AdminService and in the metrics; hedges; rests.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use semroute::grpc::pb;
use tonic::Code;
use tonic_types::StatusExt;

use crate::outcome::{is_fault, summary, tried};
use crate::probe::Samples;
use crate::scripted::{Script, Scripted};
use crate::server::{Setup, TestServer, complete_request};

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
