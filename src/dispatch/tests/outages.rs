//! Outages in simulated time: 200 requests a second against providers that fail in every way, with the clock of the
//! runtime stopped and moved on, so that minutes take seconds and every run is the same but for chance.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::pursuit::now;
use super::super::*;
use super::world::*;
use crate::prompt::Message;
use crate::provider::ChatRequest;
use crate::reference::TargetName;

const FAILURES: [Mood; 5] =
    [Mood::Down, Mood::Limits(Some(Duration::from_secs(1))), Mood::Hangs, Mood::Resets, Mood::Garbage];

/// The requirement: of 200 requests a second at least 99.9 % succeed, streams already begun aside, and their 99th
/// percentile stays under twice the healthy one once the breaker is open.
#[tokio::test(start_paused = true)]
async fn an_outage_of_one_target_is_hardly_noticed() {
    for mood in FAILURES {
        let world = world(brisk(), &[Mood::Well(20), Mood::Well(20)]);
        let well = world.load(200, 5, true).await;
        assert_eq!((well.answered, well.calls[1]), (1_000, 0));
        world.providers[0].set(mood);
        let ill = world.load(200, 20, true).await;
        assert!(ill.failed.len() * 1_000 <= ill.requests as usize, "{mood:?}: {:?}", &ill.failed[..1]);
        assert!(ill.broken == 0 || mood == Mood::Resets);
        assert!(ill.p99() < 2 * well.p99(), "{mood:?}: {} ms, {} ms when well", ill.p99(), well.p99());
        let extra = ill.calls.iter().sum::<u32>() - ill.requests;
        assert!(f64::from(extra) <= 0.1 * 4_000.0, "{mood:?}: {extra} extra calls");

        world.providers[0].set(Mood::Well(20));
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.load(200, 1, false).await;
        let again = world.load(200, 1, false).await;
        assert_eq!((again.answered, again.calls[1]), (200, 0), "{mood:?}: it is used again");
    }
}

#[tokio::test(start_paused = true)]
async fn one_failure_after_the_other_is_hardly_noticed_either() {
    let world = world(brisk(), &[Mood::Well(20), Mood::Well(20)]);
    world.load(200, 5, true).await;
    for mood in FAILURES {
        world.providers[0].set(mood);
        let ill = world.load(200, 20, true).await;
        assert!(ill.failed.len() * 1_000 <= ill.requests as usize, "{mood:?}: {:?}", &ill.failed[..1]);
        assert!(ill.p99() < 40, "{mood:?}: {} ms", ill.p99());
    }
}

/// Without timeouts of the configuration: once the breaker is open, what tries whether the target has come back costs
/// few callers a tenth of a second, and one or two more than that.
#[tokio::test(start_paused = true)]
async fn probes_of_a_target_that_hangs_cost_few_callers_little() {
    for (rate, share) in [(200, 100), (20, 20)] {
        let world = world(DispatchConfig::default(), &[Mood::Well(20), Mood::Well(20)]);
        world.load(rate, 10, true).await;
        world.providers[0].set(Mood::Hangs);
        world.load(rate, 10, true).await;
        let ill = world.load(rate, 20, true).await;
        assert_eq!((ill.answered, ill.broken), (ill.requests, 0));
        let late = ill.latencies.iter().filter(|took| **took > 40).count();
        assert!(late > 0 && late * share <= ill.latencies.len(), "{rate} a second: {late}");
        assert!(*ill.latencies.last().unwrap() <= 450, "{:?}", ill.latencies.last());

        world.providers[0].set(Mood::Well(20));
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.load(rate, 5, false).await;
        let again = world.load(rate, 5, false).await;
        assert_eq!((again.answered, again.calls[1]), (again.requests, 0), "it is used again");
    }
}

/// However long it lasts: what is known of the target's usual time is not lost in it, and few callers wait for longer.
#[tokio::test(start_paused = true)]
async fn a_long_outage_costs_no_more_than_a_short_one() {
    let world = world(DispatchConfig::default(), &[Mood::Well(20), Mood::Well(20)]);
    world.load(50, 10, true).await;
    let usual = |world: &World| {
        let standings = world.dispatcher.health().standings(now());
        (standings[0].whole.unwrap()[1], standings[0].first_text.unwrap()[1])
    };
    let when_well = usual(&world);
    world.providers[0].set(Mood::Hangs);
    let ill = world.load(50, 600, true).await;
    assert_eq!((ill.answered, ill.broken), (ill.requests, 0));
    let longer = |ms: u128| ill.latencies.iter().filter(|took| **took > ms).count();
    assert!(longer(40) * 50 <= ill.latencies.len(), "{}", longer(40));
    assert!(longer(400) * 200 <= ill.latencies.len(), "{}", longer(400));
    assert_eq!(longer(2_100), 0, "{:?}", ill.latencies.last());
    assert_eq!(usual(&world), when_well);

    world.providers[0].set(Mood::Well(20));
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.load(50, 2, false).await;
    let again = world.load(50, 5, false).await;
    assert_eq!((again.answered, again.calls[1]), (again.requests, 0), "it is used again");
}

/// Nobody who asks for one attempt tries a target while another is well, so that of these somebody has to.
#[tokio::test(start_paused = true)]
async fn a_target_comes_back_where_all_callers_ask_for_one_attempt() {
    let world = world(DispatchConfig::default(), &[Mood::Down, Mood::Well(20)]);
    let request = Arc::new(ChatRequest { messages: vec![Message::user("hello")], ..ChatRequest::default() });
    let mut failed = 0;
    for second in 0..100 {
        if second == 60 {
            world.providers[0].set(Mood::Well(20));
        }
        let limits = Limits { max_attempts: Some(1), ..Limits::until(now() + Duration::from_secs(10)) };
        let result = world.dispatcher.begin(&world.plan, request.clone(), limits).complete().await;
        failed += u32::from(result.is_err());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Ten until the breaker opened.
    assert!((10..=15).contains(&failed), "{failed}");
    let readings = world.dispatcher.health().standings(now());
    assert_eq!(readings[0].breaker.state, BreakerState::Closed);
}

/// Too seldom for the breaker's share, too often for the budget.
#[tokio::test(start_paused = true)]
async fn a_target_that_fails_now_and_then_is_left_before_the_budget_is_spent() {
    for share in [0.05, 0.2, 0.4] {
        let world = world(brisk(), &[Mood::Flaky(share), Mood::Well(20)]);
        let ill = world.load(200, 60, false).await;
        let extra = ill.calls.iter().sum::<u32>() - ill.requests;
        assert!(ill.failed.len() * 1_000 <= ill.requests as usize, "{share}: {:?}", &ill.failed[..1]);
        assert!(f64::from(extra) <= 0.1 * f64::from(ill.requests) + 60.0 + 500.0, "{share}: {extra} extra calls");
    }
}

/// Where all are slow or down, callers get errors, but the providers get no more load than the budget says.
#[tokio::test(start_paused = true)]
async fn extra_load_stays_within_the_budget_where_both_fail() {
    for other in [Mood::Well(3_000), Mood::Hangs, Mood::Down, Mood::Limits(None), Mood::Garbage] {
        let world = world(brisk(), &[Mood::Down, other]);
        let ill = world.load(200, 20, true).await;
        let calls = f64::from(ill.calls.iter().sum::<u32>());
        let bound = 4_000.0 * 1.1 + 1.0 * 30.0 + 500.0;
        assert!(calls <= bound, "{other:?}: {calls} calls");
        assert!(ill.calls[1] <= 4_000 + 930, "{other:?}: {:?}", ill.calls);
    }
}

#[tokio::test(start_paused = true)]
async fn both_down_fails_fast_and_recovers_with_the_first_that_comes_back() {
    for back in [0, 1] {
        let world = world(brisk(), &[Mood::Down, Mood::Hangs]);
        world.load(20, 30, false).await;
        let down = world.load(20, 10, false).await;
        assert_eq!(down.answered, 0);
        let median = down.latencies[down.latencies.len() / 2];
        assert!(median < 300, "half of them are told after {median} ms");
        let error = world.complete().await.unwrap_err();
        let names = error.attempts().iter().map(|it| &it.target).chain(error.passed().iter().map(|it| &it.target));
        let mut names: Vec<&str> = names.map(TargetName::as_str).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, ["t0", "t1"], "each is accounted for");

        world.providers[back].set(Mood::Well(20));
        let began = now();
        while world.complete().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(now() - began <= Duration::from_secs(2), "{:?}", now() - began);
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.load(20, 3, false).await;
        assert_eq!(world.load(20, 5, false).await.failed, Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_rests_is_waited_for_if_there_is_time() {
    let world = world(brisk(), &[Mood::Limits(Some(Duration::from_secs(2)))]);
    let account = {
        let dispatch = world.begin();
        let account = dispatch.account().clone();
        let (began, provider) = (now(), world.providers[0].clone());
        let back = async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            provider.set(Mood::Well(20));
        };
        let (answer, ()) = tokio::join!(dispatch.complete(), back);
        assert_eq!(super::summary(&answer.unwrap().attempts), ["t0=rate_limited", "t0=ok"]);
        assert!(now() - began >= Duration::from_secs(2));
        account
    };
    assert_eq!(account.progress(), Progress::Answered);
}

#[tokio::test(start_paused = true)]
async fn hedges_cut_the_slow_ones_off_and_stay_within_the_budget() {
    let world = world(brisk(), &[Mood::Well(20), Mood::Well(20)]);
    world.load(100, 2, true).await;
    world.providers[0].set(Mood::Well(900));
    let request = Arc::new(ChatRequest { messages: vec![Message::user("hello")], ..ChatRequest::default() });
    for _ in 0..5 {
        let limits = Limits { hedge: Some(Hedge::default()), ..Limits::until(now() + Duration::from_secs(10)) };
        let began = now();
        let answer = world.dispatcher.begin(&world.plan, request.clone(), limits).complete().await.unwrap();
        assert_eq!(super::summary(&answer.attempts), ["t0=cancelled", "t1=ok"]);
        assert!(now() - began < Duration::from_millis(60), "{:?}", now() - began);
    }
}

#[tokio::test(start_paused = true)]
async fn observers_hear_of_every_attempt_once() {
    let world = world(brisk(), &[Mood::Down, Mood::Well(20)]);
    let heard: Arc<Mutex<Vec<Attempt>>> = Arc::default();
    let ear = heard.clone();
    let dispatcher = world.dispatcher.observed_by(Arc::new(move |attempt| ear.lock().unwrap().push(attempt.clone())));
    let world = World { dispatcher, ..world };
    world.complete().await.unwrap();
    drop(world.begin());
    let stopped = tokio::time::timeout(Duration::from_millis(10), world.complete()).await;
    assert!(stopped.is_err());
    assert_eq!(super::summary(&heard.lock().unwrap()), ["t0=connect", "t1=ok", "t0=connect", "t1=cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn active_probes_find_out_what_nobody_asked() {
    let config = DispatchConfig { probe: Some(ProbeConfig::default()), ..brisk() };
    let world = world(config, &[Mood::Down, Mood::Well(20)]);
    world.dispatcher.expect(world.plan.targets());
    let stop = tokio_util::sync::CancellationToken::new();
    let probing = tokio::spawn(world.dispatcher.clone().probe(ProbeConfig::default(), stop.clone()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let ratios: Vec<f64> = world.dispatcher.health().standings(now()).iter().map(|it| it.breaker.error_ratio).collect();
    assert_eq!(ratios, [1.0, 0.0]);
    stop.cancel();
    probing.await.unwrap();
}
