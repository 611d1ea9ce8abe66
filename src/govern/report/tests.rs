use super::*;
use crate::govern::audit::{Answered, Decided, Entry, Method, Refused, Stamp, Tokens, Tried};
use crate::money::Prices;

/// Costs a thousandth of a unit at `dear`, a tenth of that at `cheap`.
const TOKENS: Tokens =
    Tokens { input: 100, output: 10, cached_input: 0, cache_write: 0, reasoning: 0, estimated: false };

fn prices() -> TargetPrices {
    let targets = [("dear", Prices::new(10.0, 0.0)), ("cheap", Prices::new(1.0, 0.0))];
    let targets = targets.into_iter().map(|(name, prices)| (name.to_owned(), prices)).collect();
    TargetPrices { targets, default: Some("dear".to_owned()) }
}

fn tried(target: &str, outcome: &str) -> Tried {
    let cost = if target == "dear" { 1_000_000 } else { 100_000 };
    let cost_nano = (outcome == "ok").then_some(cost);
    let tokens = (outcome == "ok").then_some(TOKENS);
    Tried {
        target: target.to_owned(),
        outcome: outcome.to_owned(),
        took_us: 2_000,
        tokens,
        cost_nano,
        ..Tried::default()
    }
}

/// Answered by the last of the attempts, if that is ok.
fn completion(route: &str, attempts: &[(&str, &str)]) -> Entry {
    let attempts: Vec<Tried> = attempts.iter().map(|(target, outcome)| tried(target, outcome)).collect();
    let last = attempts.last().filter(|last| last.outcome == "ok");
    let answer =
        last.map(|last| Answered { target: last.target.clone(), finish: "stop".to_owned(), ..Answered::default() });
    Entry {
        method: Method::Complete,
        code: if answer.is_some() { "OK" } else { "UNAVAILABLE" }.to_owned(),
        took_us: 5_000,
        decision: Some(Decided { route: Some(route.to_owned()), llm: "not_needed".to_owned(), ..Decided::default() }),
        cost_nano: None,
        attempts,
        answer,
        ..Entry::default()
    }
}

fn tally(entries: impl IntoIterator<Item = (usize, Entry)>) -> Tally {
    let mut tally = Tally::new(prices());
    for (times, entry) in entries {
        for _ in 0..times {
            tally.add(Stamp::from_millis(1_769_817_600_000), &entry);
        }
    }
    tally
}

fn signals(entries: impl IntoIterator<Item = (usize, Entry)>) -> Vec<String> {
    let found = tally(entries).summary().signals;
    found.iter().map(|signal| serde_json::to_value(signal).unwrap()["signal"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn spend_failures_and_failovers_are_counted_by_route_and_target() {
    let asked = Entry {
        decision: Some(Decided {
            llm: "verdict".to_owned(),
            llm_asked: true,
            llm_cost_nano: Some(7_000_000),
            cached: false,
            ..Decided::default()
        }),
        code: "OK".to_owned(),
        ..Entry::default()
    };
    let mut refused = completion("b", &[("cheap", "timeout")]);
    refused.refused = vec![Refused { target: "dear".to_owned(), reason: "region".to_owned() }];
    let summary = tally([
        (3, completion("a", &[("dear", "ok")])),
        (2, completion("a", &[("dear", "rate_limited"), ("cheap", "ok")])),
        (1, refused),
        (1, asked),
    ])
    .summary();
    assert_eq!((summary.requests, summary.completions.requests, summary.completions.answered), (7, 6, 5));
    assert_eq!((summary.codes["OK"], summary.codes["UNAVAILABLE"]), (6, 1));
    let [a, b] = &summary.routes[..] else { panic!("{:?}", summary.routes) };
    assert_eq!((a.route.as_str(), a.answered, a.failed_over, a.priced), ("a", 5, 2, 5));
    assert!((a.spend - 0.0032).abs() < 1e-12, "{}", a.spend);
    assert_eq!((b.failed, b.priced, b.latency_ms), (1, 0, None));
    let dear = summary.targets.iter().find(|target| target.target == "dear").unwrap();
    assert_eq!((dear.attempts, dear.answered, dear.failures["rate_limited"], dear.refused), (5, 3, 2, 1));
    assert_eq!((dear.input_tokens, dear.output_tokens), (300, 30));
    let latency = a.latency_ms.unwrap();
    assert!((latency.p50 - 5.0).abs() < 0.05 && latency.count == 5, "{latency:?}");
    assert_eq!((summary.llm.needed, summary.llm.asked, summary.llm.cost), (1, 1, Some(0.007)));
    let saved: Vec<(&str, bool)> =
        summary.alternatives.iter().map(|at| (at.target.as_str(), at.routing_saved < 0.0)).collect();
    assert_eq!(saved, [("dear", true), ("cheap", true)], "the LLM stage cost more than all answers");
}

#[test]
fn an_empty_period_says_nothing() {
    let summary = tally([]).summary();
    assert_eq!((summary.requests, summary.first, summary.cached_share), (0, None, None));
    assert!(summary.signals.is_empty() && summary.alternatives.is_empty());
}

#[test]
fn a_signal_needs_enough_to_rest_on() {
    let ok = |route: &str, target: &str| completion(route, &[(target, "ok")]);
    assert!(signals([(99, ok("a", "dear"))]).is_empty());
    assert_eq!(signals([(100, ok("a", "dear"))]), ["one_target"]);
    assert!(signals([(90, ok("a", "dear")), (10, ok("b", "cheap"))]).is_empty());
    // On both routes, as often, and cheaper.
    let both = [(60, ok("a", "dear")), (40, ok("a", "cheap")), (40, ok("b", "cheap"))];
    assert_eq!(signals(both.clone()), ["cheaper_target_would_do"]);
    // On one of the two routes alone.
    assert!(signals([(60, ok("a", "dear")), (60, ok("b", "cheap"))]).is_empty());
    // It fails too often.
    let failing = (10, completion("a", &[("cheap", "status"), ("dear", "ok")]));
    assert!(signals(both.clone().into_iter().chain([failing])).is_empty());
    // It is not allowed for some.
    let mut not_allowed = ok("a", "dear");
    not_allowed.refused = vec![Refused { target: "cheap".to_owned(), reason: "region".to_owned() }];
    assert!(signals(both.into_iter().chain([(1, not_allowed)])).is_empty());
}

#[test]
fn the_llm_stage_is_held_against_what_routing_saves() {
    let costly = |nano: u64| {
        let mut entry = completion("a", &[("cheap", "ok")]);
        let decision = entry.decision.as_mut().unwrap();
        (decision.llm, decision.llm_asked, decision.llm_cost_nano) = ("verdict".to_owned(), true, Some(nano));
        entry
    };
    let dear = (50, completion("a", &[("dear", "ok")]));
    // An answer at `cheap` saves 900,000.
    assert!(!signals([dear.clone(), (60, costly(800_000))]).contains(&"llm_stage_costs_more".to_owned()));
    assert!(signals([dear, (60, costly(900_000))]).contains(&"llm_stage_costs_more".to_owned()));
}
