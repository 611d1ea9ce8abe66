//! Who goes first among those that are allowed.

use std::time::Duration;

use super::*;
use crate::money::Money;

#[test]
fn priority_goes_before_every_order() {
    let three = with_targets(&["priority = 1\nprices = { input = 0, output = 0 }\nweight = 9", "", ""]);
    for order in ["priority", "weighted", "latency", "cheapest"] {
        let table = Table::read(&format!("sets.s.routes.r.order = '{order}'\n{three}"));
        for lot in [0, 1, u64::MAX] {
            let plan = table.plan(&route("r", &["a", "b", "c"]), Special { lot, ..plain() });
            assert_eq!(targets(&plan)[2], "a", "{order}");
        }
    }
}

#[test]
fn weights_share_the_load_and_the_rest_follows_in_turn() {
    let table = Table::read(&format!(
        "sets.s.routes.r.order = 'weighted'\n{}",
        with_targets(&["weight = 2", "weight = 1", "weight = 1\nmax_output_tokens = 1"])
    ));
    let route = route("r", &["a", "b", "c"]);
    let plans: Vec<String> = (0..4).map(|_| targets(&table.plan(&route, plain())).concat()).collect();
    assert_eq!(plans, ["abc", "bca", "cab", "abc"], "2 of 4, 1 of 4, 1 of 4");
    // Requests that one target is refused for have a wheel of their own.
    let size = Size { max_output_tokens: Some(2), ..Size::default() };
    let short: Vec<String> = (0..3).map(|_| table.first(&route, Special { size, ..plain() })).collect();
    assert_eq!(short, ["a", "b", "a"]);
}

#[test]
fn an_affinity_key_keeps_its_target_where_load_is_shared() {
    let two = with_targets(&["", ""]);
    let firsts = |order: &str, key: &str| -> BTreeSet<String> {
        let table = Table::read(&format!("sets.s.routes.r.order = '{order}'\n{two}"));
        let first = |lot| table.first(&route("r", &["a", "b"]), Special { lot, affinity: Some(key), ..plain() });
        (0..8).map(first).collect()
    };
    for order in ["weighted", "latency"] {
        let places: Vec<_> = (0..20).map(|at| firsts(order, &format!("session {at}"))).collect();
        assert!(places.iter().all(|first| first.len() == 1), "{order}: {places:?}");
        assert_eq!(places.iter().flatten().collect::<BTreeSet<_>>().len(), 2, "{order}");
    }
    assert_eq!(firsts("priority", "any").into_iter().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn the_cheapest_for_this_request_goes_first() {
    let table = Table::read(&format!(
        "sets.s.routes.r.order = 'cheapest'\n{}",
        with_targets(&["", "prices = { input = 1, output = 10 }", "prices = { input = 3, output = 3 }"])
    ));
    let check = |input_tokens, max_output_tokens, expected: &str| {
        let size =
            Size { input_tokens, likely_tokens: input_tokens, exact: true, max_output_tokens: Some(max_output_tokens) };
        let plan = table.plan(&route("r", &["a", "b", "c"]), Special { size, ..plain() });
        assert_eq!(targets(&plan).concat(), expected);
    };
    check(10_000, 100, "bca");
    check(100, 10_000, "cba");
}

#[test]
fn the_quicker_target_goes_first() {
    let table = Table::read(&format!("sets.s.routes.r.order = 'latency'\n{}", with_targets(&["", ""])));
    let now = Instant::now();
    table.0.latencies().record(&name("a"), Duration::from_secs(2), now);
    table.0.latencies().record(&name("b"), Duration::from_secs(1), now);
    for lot in [0, 1 << 32, u64::MAX] {
        assert_eq!(table.first(&route("r", &["a", "b"]), Special { lot, ..plain() }), "b");
    }
}

#[test]
fn a_plan_knows_the_most_that_it_can_cost() {
    let table = Table::read(&with_targets(&[
        "prices = { input = 1, output = 2 }",
        "prices = { input = 1, output = 1 }\nmax_output_tokens = 4_000_000",
        "",
    ]));
    let size = Size { input_tokens: 1_000_000, exact: true, max_output_tokens: Some(1_000_000), ..Size::default() };
    let bound = |names: &[&str]| table.plan(&route("r", names), Special { size, ..plain() }).cost_bound();
    assert_eq!(bound(&["b", "a"]), Some(Money::from_units(3.0)));
    assert_eq!(bound(&["b"]), Some(Money::from_units(2.0)));
    assert_eq!(bound(&["b", "c"]), None);
}
