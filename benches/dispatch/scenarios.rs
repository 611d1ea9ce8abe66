//! The scenarios, each with what it promises.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use semroute::grpc::pb::router_service_client::RouterServiceClient;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::callers::{Summary, at_rate, streamed};
use crate::provider::{Manner, Provider};
use crate::service::Service;

pub(crate) const NAMES: [&str; 5] = ["added", "streams", "faults", "slow", "both"];

const RATE: f64 = 200.0;
const CONNECTIONS: usize = 4;
const STREAMS: usize = 2_000;

/// Runs them in turn; whether every promise was kept.
pub(crate) async fn run(names: &[&str], time: Duration) -> bool {
    let mut kept = true;
    for name in names {
        kept &= match *name {
            "added" => added(time).await,
            "streams" => streams().await,
            "faults" => faults(time).await,
            "slow" => slow(time).await,
            _ => both().await,
        };
    }
    kept
}

fn tell(name: &str, kept: bool, mut figures: Value) -> bool {
    figures["scenario"] = json!(name);
    figures["kept"] = json!(kept);
    println!("{figures}");
    kept
}

/// p50 and p99 of a unary completion through a cached decision, less those of the same call made directly.
async fn added(time: Duration) -> bool {
    let provider = Provider::start().await;
    let service = Service::start(&[("a", provider.url())], "").await;
    let channels = service.connections(CONNECTIONS).await;
    at_rate(&channels, 500.0, Duration::from_secs(2), false).await;
    let through = Summary::of(at_rate(&channels, 500.0, time, false).await.iter());
    let direct = direct(&provider.url(), 500.0, time).await;
    let at = |share: f64| direct.value_at_quantile(share) as f64 / 1e3;
    let (p50, p99) = (through.quantile(0.5) - at(0.5), through.quantile(0.99) - at(0.99));
    let kept = through.failures == 0 && p50 < 0.5 && p99 < 3.0;
    let figures = json!({
        "through": through.json(), "direct_p50_ms": at(0.5), "direct_p99_ms": at(0.99), "added_p50_ms": p50, "added_p99_ms": p99,
    });
    tell("added", kept, figures)
}

/// The provider's own answers at the same rate, in microseconds.
async fn direct(url: &str, per_second: f64, time: Duration) -> Histogram<u64> {
    let client = reqwest::Client::new();
    let body = json!({"model": "m", "messages": [{"role": "user", "content": crate::service::PROMPT}]});
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..(per_second * time.as_secs_f64()) as usize {
        let due = begun + Duration::from_secs_f64(number as f64 / per_second);
        tokio::time::sleep_until(due.into()).await;
        let call = client.post(format!("{url}/chat/completions")).json(&body);
        calls.spawn(async move {
            let answer = call.send().await.expect("an answer").bytes().await;
            answer.expect("a body");
            due.elapsed()
        });
    }
    let mut times = Histogram::new(3).unwrap();
    for took in calls.join_all().await {
        times.record(took.as_micros() as u64).expect("a time that fits");
    }
    times
}

/// Memory a stream, threads, and whether all come to their end.
async fn streams() -> bool {
    let provider = Provider::start().await;
    let service = Service::start(&[("a", provider.url())], "").await;
    // A server allows so many streams a connection, and a few are in use already.
    let channels = service.connections(STREAMS.div_ceil(500)).await;
    at_rate(&channels, 100.0, Duration::from_secs(2), true).await;
    provider.behave(Manner::SlowStream);
    let (before, threads_before) = service.size();
    let mut calls = JoinSet::new();
    for number in 0..STREAMS {
        let mut client = RouterServiceClient::new(channels[number % channels.len()].clone());
        calls.spawn(async move { streamed(&mut client).await.0 });
        // Over four seconds: a connection each to the provider.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (mut peak, mut threads) = (before, threads_before);
    let mut whole = 0;
    let mut failures = Vec::new();
    loop {
        tokio::select! {
            ended = calls.join_next() => match ended {
                None => break,
                Some(Ok(Ok(()))) => whole += 1,
                Some(other) => failures.push(format!("{other:?}")),
            },
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                let (resident, now) = service.size();
                (peak, threads) = (peak.max(resident), threads.max(now));
            }
        }
    }
    let each = (peak - before) as f64 / STREAMS as f64;
    let kept = whole == STREAMS && each < 60.0 && threads < threads_before + 64;
    failures.truncate(3);
    let figures = json!({
        "streams": STREAMS, "whole": whole, "kib_each": each, "resident_before_kib": before, "resident_peak_kib": peak,
        "threads_before": threads_before, "threads_peak": threads, "failures": failures,
    });
    tell("streams", kept, figures)
}

/// A fails in five ways, B is well.
async fn faults(time: Duration) -> bool {
    let (mut a, b) = (Provider::start().await, Provider::start().await);
    let service = Service::start(&[("a", a.url()), ("b", b.url())], "").await;
    let channels = service.connections(CONNECTIONS).await;
    at_rate(&channels, RATE, Duration::from_secs(2), true).await;
    let healthy = Summary::of(at_rate(&channels, RATE, time / 2, true).await.iter());
    let mut kept = tell("faults: healthy", healthy.success() == 1.0, healthy.json());
    let manners = [
        ("down", Manner::Well),
        ("429", Manner::Limited),
        ("hanging", Manner::Hangs),
        ("resetting", Manner::Resets),
        ("garbage", Manner::Garbage),
    ];
    for (name, manner) in manners {
        let (asked_a, asked_b) = (a.asked(), b.asked());
        match name {
            "down" => a.stop(),
            _ => a.behave(manner),
        }
        let begun = Instant::now();
        let load = at_rate(&channels, RATE, time, true);
        // A breaker that stays closed is none that the promise speaks of.
        let opening = tokio::time::timeout(time, service.opened("a"));
        let (outcomes, opened) = tokio::join!(load, opening);
        let opened = opened.ok();
        let all = Summary::of(outcomes.iter());
        let is_after = |due: Instant| opened.is_some_and(|opened| due > opened);
        let after = Summary::of(outcomes.iter().filter(|outcome| is_after(outcome.due)));
        // Nor is it kept where it opens so late that hardly a call comes after it: a second's calls are the least.
        let seen = after.calls as f64 >= RATE;
        let held = seen && after.quantile(0.99) < 2.0 * healthy.quantile(0.99).max(5.0);
        let well = all.success() >= 0.999 && held;
        let figures = json!({
            "all": all.json(), "opened_after_s": opened.map(|opened| (opened - begun).as_secs_f64()),
            "after_opening": after.json(), "healthy_p99_ms": healthy.quantile(0.99),
            "asked_a": a.asked() - asked_a, "asked_b": b.asked() - asked_b,
        });
        kept &= tell(&format!("faults: {name}"), well, figures);
        if name == "down" {
            a.come_back().await;
        }
        a.behave(Manner::Well);
        // Until A is trusted again.
        at_rate(&channels, RATE, Duration::from_secs(4), true).await;
    }
    kept
}

/// A answers 500 to all while B is slow: B gets each request once, and few twice.
async fn slow(time: Duration) -> bool {
    let (a, b) = (Provider::start().await, Provider::start().await);
    let service = Service::start(&[("a", a.url()), ("b", b.url())], "").await;
    let channels = service.connections(CONNECTIONS).await;
    at_rate(&channels, RATE, Duration::from_secs(2), true).await;
    a.behave(Manner::Garbage);
    b.behave(Manner::Slow);
    let asked = b.asked();
    let outcomes = at_rate(&channels, RATE, time, true).await;
    let all = Summary::of(outcomes.iter());
    let extra = (b.asked() - asked) as f64 / all.calls as f64 - 1.0;
    let figures = json!({"all": all.json(), "extra_load_of_b": extra, "asked_a": a.asked()});
    tell("slow", extra <= 0.1 && all.success() >= 0.999, figures)
}

/// Both down: how fast that is said; one back: how soon it is found.
async fn both() -> bool {
    let (mut a, mut b) = (Provider::start().await, Provider::start().await);
    let service = Service::start(&[("a", a.url()), ("b", b.url())], "").await;
    let channels = service.connections(CONNECTIONS).await;
    at_rate(&channels, RATE, Duration::from_secs(2), true).await;
    a.stop();
    b.stop();
    let down = Summary::of(at_rate(&channels, RATE, Duration::from_secs(5), true).await.iter());
    b.come_back().await;
    let back = Instant::now();
    let outcomes = at_rate(&channels, RATE, Duration::from_secs(5), true).await;
    let last_failure = outcomes.iter().filter(|outcome| outcome.result.is_err()).map(|outcome| outcome.due).max();
    let recovered = last_failure.map_or(Duration::ZERO, |last| last.saturating_duration_since(back)).as_secs_f64();
    let kept = down.failures == down.calls && down.quantile(0.99) < 500.0 && recovered < 2.0;
    tell("both", kept, json!({"down": down.json(), "recovered_after_s": recovered}))
}
