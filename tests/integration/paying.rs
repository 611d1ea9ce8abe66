//! What a completion costs its key where more than one target is called.

use std::time::{Duration, Instant};

use semroute::dispatch::BreakerState;
use semroute::govern::keys::Limits;
use semroute::grpc::pb;
use semroute::money::Money;
use tonic::Response;

use crate::expect::eventually;
use crate::keys::{PRICED, key, router, routing};
use crate::outcome::summary;
use crate::scripted::{Script, Scripted};
use crate::server::{Setup, TestServer, complete_request};

const MATHS: &str = "what is 7 times 8?";
const PATIENCE: Duration = Duration::from_secs(30);

/// A key with so much a day.
async fn with_budget(server: &TestServer, units: f64) -> String {
    let limits = Limits { money_per_day: Some(Money::from_units(units)), ..Limits::default() };
    key(server, semroute::govern::keys::KeyTerms { limits, ..routing() }).await.1
}

fn left<T>(answer: &Response<T>) -> &str {
    answer.metadata().get("x-semroute-remaining-money-day").unwrap().to_str().unwrap()
}

fn attempts(answer: &Response<pb::CompleteResponse>) -> Vec<String> {
    summary(&answer.get_ref().served.as_ref().unwrap().attempts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hedge_is_reserved_for_two_and_each_attempt_charged_for_one() {
    // Each attempt may cost 10, and the one that answers costs 2.
    let first = Scripted::start([Script::hang()]).await;
    let second = Scripted::start([Script::completion("56")]).await;
    let server = Setup::providers(&[first.address(), second.address()], PRICED).start().await;
    let hedge = Some(pb::Hedge { after: Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 }) });
    let hedged = || pb::CompleteRequest { hedge, ..complete_request(MATHS) };
    let poor = with_budget(&server, 19.0).await;
    router(&server, &poor).await.complete(hedged()).await.unwrap_err();
    assert!(first.requests().is_empty(), "there is not enough for two");
    let secret = with_budget(&server, 60.0).await;
    let answer = router(&server, &secret).await.complete(hedged()).await.unwrap();
    assert_eq!(left(&answer), "48", "what the one that was cut off had thought by then is not known");
    assert_eq!(attempts(&answer), ["p0=cancelled", "p1=ok"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_reserved_for_two_or_left_to_others() {
    let first = Scripted::start([Script::error(500, "down"), Script::hang()]).await;
    let second = Scripted::start([Script::completion("56")]).await;
    let breaker = "dispatch.breaker.min_calls = 1\ndispatch.breaker.open_time = '10ms'\n\
                   dispatch.breaker.max_open_time = '10ms'\n";
    let server = Setup::providers(&[first.address(), second.address()], &format!("{breaker}{PRICED}")).start().await;
    let rich = with_budget(&server, 60.0).await;
    let mut rich = router(&server, &rich).await;
    let answer = rich.complete(complete_request(MATHS)).await.unwrap();
    assert_eq!((left(&answer), attempts(&answer)), ("58", vec!["p0=status 500".to_owned(), "p1=ok".to_owned()]));
    eventually("it may be probed", PATIENCE, async || {
        let standings = server.app.dispatcher.health().standings(Instant::now());
        (standings[0].breaker.state == BreakerState::HalfOpen).then_some(())
    })
    .await;
    let poor = with_budget(&server, 15.0).await;
    let answer = router(&server, &poor).await.complete(complete_request(MATHS)).await.unwrap();
    assert_eq!((left(&answer), attempts(&answer)), ("13", vec!["p1=ok".to_owned()]));
    assert_eq!(first.requests().len(), 1);
    let stream = rich.complete_stream(complete_request(MATHS)).await.unwrap();
    assert_eq!(left(&stream), "38", "20 are reserved");
    first.requested(2).await;
}
