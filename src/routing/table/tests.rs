//! Plans against the rules, told a second time; and whose word counts where.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::money::{Money, Prices};
use crate::provider::Capability;
use crate::routing::{Size, TargetConfig, TokenKind};

fn name(name: &str) -> TargetName {
    TargetName::new(name).unwrap()
}

fn set() -> SetName {
    SetName::new("s").unwrap()
}

fn route(route: &str, targets: &[&str]) -> Route {
    let targets = targets.iter().map(|target| name(target)).collect();
    Route { targets, ..Route::named(RouteName::new(route).unwrap()) }
}

fn asked<'a>(set: &'a SetName, route: &'a Route, policy: &'a DataPolicy, needs: &'a BTreeSet<Capability>) -> Asked<'a> {
    Asked { set, route, pin: None, policy, needs, size: Size::default(), affinity: None, lot: 0 }
}

struct Table(RoutingTable);

impl Table {
    fn read(toml: &str) -> Self {
        Self(RoutingTable::new(&toml::from_str(toml).unwrap()).unwrap())
    }

    fn plan(&self, route: &Route, special: Special<'_>) -> Plan {
        let Special { size, affinity, lot } = special;
        let (set, policy, needs) = (set(), DataPolicy::default(), BTreeSet::new());
        let asked = Asked { size, affinity, lot, ..asked(&set, route, &policy, &needs) };
        self.0.plan(&asked, Instant::now())
    }

    fn first(&self, route: &Route, special: Special<'_>) -> String {
        self.plan(route, special).targets()[0].name.to_string()
    }
}

/// What most requests do without.
#[derive(Default)]
struct Special<'a> {
    size: Size,
    affinity: Option<&'a str>,
    lot: u64,
}

/// Nothing special.
fn plain() -> Special<'static> {
    Special::default()
}

fn targets(plan: &Plan) -> Vec<&str> {
    plan.targets().iter().map(|target| target.name.as_str()).collect()
}

fn refused(plan: &Plan) -> Vec<(&str, &str)> {
    plan.refused().iter().map(|refusal| (refusal.target.as_str(), refusal.reason.code())).collect()
}

/// Targets `a`, `b`, ..., each with what is said of it.
fn with_targets(more: &[&str]) -> String {
    let target =
        |(name, more): (char, &&str)| format!("[[targets]]\nname = '{name}'\nprovider = 'p'\nmodel = 'm'\n{more}\n");
    ('a'..).zip(more).map(target).collect()
}

#[test]
fn the_configuration_goes_before_the_store_and_the_store_before_the_defaults() {
    let table = Table::read(&format!(
        "default_targets = ['a']\nsets.s.routes.maths.targets = ['c']\n{}",
        with_targets(&["", "", ""])
    ));
    let check = |route: Route, expected: &str| assert_eq!(targets(&table.plan(&route, plain())), [expected]);
    check(route("maths", &["b"]), "c");
    check(route("other", &["b"]), "b");
    check(route("other", &[]), "a");
}

#[test]
fn a_route_with_rules_but_without_targets_keeps_those_of_the_store() {
    let table = Table::read(&format!(
        "sets.s.routes.maths.policy.allowed_regions = ['eu']\n{}",
        with_targets(&["region = 'us'", "region = 'eu'"])
    ));
    let plan = table.plan(&route("maths", &["a", "b"]), plain());
    assert_eq!((targets(&plan), refused(&plan)), (vec!["b"], vec![("a", "region")]));
    assert_eq!(targets(&table.plan(&route("other", &["a", "b"]), plain())), ["a", "b"]);
}

#[test]
fn the_policies_of_all_of_the_set_of_the_route_and_of_the_request_hold_together() {
    let all = "certifications = ['w', 'x', 'y', 'z']";
    let lacks =
        ["certifications = ['x', 'y', 'z']", "certifications = ['w', 'y', 'z']", "certifications = ['w', 'x', 'z']"];
    let table = Table::read(&format!(
        "policy.required_certifications = ['w']\nsets.s.policy.required_certifications = ['x']\n\
         sets.s.routes.r.policy.required_certifications = ['y']\n{}",
        with_targets(&[all, lacks[0], lacks[1], lacks[2], "certifications = ['w', 'x', 'y']"]),
    ));
    let (set, route, needs) = (set(), route("r", &["a", "b", "c", "d", "e"]), BTreeSet::new());
    let policy = DataPolicy { required_certifications: BTreeSet::from(["z".to_owned()]), ..DataPolicy::default() };
    let plan = table.0.plan(&asked(&set, &route, &policy, &needs), Instant::now());
    assert_eq!(targets(&plan), ["a"]);
    assert_eq!(refused(&plan), ["b", "c", "d", "e"].map(|name| (name, "certification")));
}

#[test]
fn a_pin_chooses_among_the_allowed_targets_and_steps_over_no_rule() {
    let table = Table::read(&format!(
        "policy.denied_providers = ['q']\n{}[[targets]]\nname = 'd'\nprovider = 'q'\nmodel = 'm'",
        with_targets(&["", "", ""])
    ));
    let check = |pin: &str, expected: &[&str], reasons: &[(&str, &str)]| {
        let pin = name(pin);
        let (set, policy, needs) = (set(), DataPolicy::default(), BTreeSet::new());
        let route = route("r", &["x", "a", "b", "d"]);
        let asked = Asked { pin: Some(&pin), ..asked(&set, &route, &policy, &needs) };
        let plan = table.0.plan(&asked, Instant::now());
        assert_eq!((targets(&plan), refused(&plan)), (expected.to_vec(), reasons.to_vec()));
    };
    let (unknown, other) = (("x", "unknown_target"), |name| (name, "not_pinned"));
    check("b", &["b"], &[unknown, other("a"), other("d")]);
    check("d", &[], &[unknown, other("a"), other("b"), ("d", "provider_denied")]);
    check("x", &[], &[unknown, other("a"), other("b"), other("d")]);
    check("c", &[], &[unknown, other("a"), other("b"), other("d"), ("c", "not_on_route")]);
}

#[test]
fn a_target_whose_context_is_too_small_is_passed_over() {
    let table = Table::read(&with_targets(&["max_context_tokens = 8_192", "max_output_tokens = 100", ""]));
    let check = |input_tokens, max_output_tokens, expected: &[&str], reasons: &[(&str, &str)]| {
        let size = Size { input_tokens, exact: true, max_output_tokens };
        let plan = table.plan(&route("r", &["a", "b", "c"]), Special { size, ..plain() });
        assert_eq!((targets(&plan), refused(&plan)), (expected.to_vec(), reasons.to_vec()));
    };
    check(8_191, None, &["a", "b", "c"], &[]);
    check(8_192, None, &["b", "c"], &[("a", "context")]);
    check(8_092, Some(100), &["a", "b", "c"], &[]);
    check(8_092, Some(101), &["c"], &[("a", "context"), ("b", "output")]);
    let fits_all = |output| table.0.fits_all(&set(), &route("r", &["c", "a"]), output);
    assert_eq!((fits_all(None), fits_all(Some(100)), fits_all(Some(10_000))), (8_191, 8_092, 0));
    assert_eq!(table.0.fits_all(&set(), &route("r", &["b", "c"]), None), u64::MAX);
}

#[test]
fn without_any_target_the_demo_answers_unless_a_rule_is_against_it() {
    let table = Table::read("");
    assert_eq!(targets(&table.plan(&route("r", &["x"]), plain())), ["demo"]);
    let (set, route, needs) = (set(), route("r", &[]), BTreeSet::from(Capability::ALL));
    let plan = |policy: DataPolicy| table.0.plan(&asked(&set, &route, &policy, &needs), Instant::now());
    let free = DataPolicy { max_retention: Some(Duration::ZERO), max_input_price: Some(0.0), ..DataPolicy::default() };
    assert_eq!(targets(&plan(free)), ["demo"]);
    let strict = DataPolicy { allowed_regions: Some(BTreeSet::from(["eu".to_owned()])), ..DataPolicy::default() };
    assert_eq!(refused(&plan(strict)), [("demo", "region")]);
}

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
        let size = Size { input_tokens, exact: true, max_output_tokens: Some(max_output_tokens) };
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
    let size = Size { input_tokens: 1_000_000, exact: true, max_output_tokens: Some(1_000_000) };
    let bound = |names: &[&str]| table.plan(&route("r", names), Special { size, ..plain() }).cost_bound();
    assert_eq!(bound(&["b", "a"]), Some(Money::from_units(3.0)));
    assert_eq!(bound(&["b"]), Some(Money::from_units(2.0)));
    assert_eq!(bound(&["b", "c"]), None);
}

#[test]
fn the_llm_stage_is_a_place_like_any_other() {
    let config = |rules: &str, llm: &str| {
        let read: RoutingConfig = toml::from_str(&format!("{rules}\n{}", with_targets(&["region = 'eu'"]))).unwrap();
        let llm = toml::from_str(&format!("name = 'llm'\nprovider = 'p'\nmodel = 'm'\n{llm}")).unwrap();
        RoutingConfig { llm: Some(llm), ..read }
    };
    let eu = DataPolicy { allowed_regions: Some(BTreeSet::from(["eu".to_owned()])), ..DataPolicy::default() };
    let check = |rules: &str, llm: &str, policy: &DataPolicy, expected: bool| {
        let table = RoutingTable::new(&config(rules, llm)).unwrap();
        assert_eq!(table.permits_llm(&set(), policy).is_ok(), expected, "{rules} {llm}");
    };
    check("", "", &DataPolicy::default(), true);
    check("", "region = 'eu'", &eu, true);
    check("", "region = 'us'", &eu, false);
    check("", "", &eu, false);
    check("policy.allowed_regions = ['eu']", "region = 'us'", &DataPolicy::default(), false);
    check("sets.s.policy.allowed_regions = ['eu']", "region = 'us'", &DataPolicy::default(), false);
    check("sets.t.policy.allowed_regions = ['eu']", "region = 'us'", &DataPolicy::default(), true);

    let strict = "[sets.s.routes.r.policy]\nallowed_regions = ['eu']\n[sets.s.routes.q]\norder = 'weighted'";
    let without = |llm: &str| routes_without_llm(&config(strict, llm));
    assert_eq!(without("region = 'us'"), [(set(), RouteName::new("r").unwrap())]);
    assert_eq!(without("region = 'eu'"), []);
}

const REGIONS: [&str; 3] = ["eu", "us", "ch"];
const CERTIFICATIONS: [&str; 3] = ["w", "x", "y"];
const PROVIDERS: [&str; 3] = ["p", "q", "r"];
const DAYS: [u64; 3] = [0, 1, 30];
const PRICES: [f64; 4] = [0.0, 0.5, 1.0, 15.0];
const TOKENS: [u64; 4] = [1, 100, 101, 10_000];

fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

fn some_of(words: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set(word(words), 0..words.len())
}

fn days() -> impl Strategy<Value = Option<Duration>> {
    prop::option::of(prop::sample::select(&DAYS).prop_map(|days| Duration::from_secs(days * 86_400)))
}

fn tokens() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(prop::sample::select(&TOKENS))
}

fn capabilities() -> impl Strategy<Value = BTreeSet<Capability>> {
    prop::collection::btree_set(prop::sample::select(&Capability::ALL), 0..3)
}

prop_compose! {
    fn some_target()(
        provider in word(&PROVIDERS),
        region in prop::option::of(word(&REGIONS)),
        certifications in some_of(&CERTIFICATIONS),
        (retention, capabilities) in (days(), prop::option::of(capabilities())),
        (max_context_tokens, max_output_tokens) in (tokens(), tokens()),
        prices in prop::option::of((prop::sample::select(&PRICES), prop::sample::select(&PRICES))),
        (priority, weight) in (0..3_u32, 1..4_u32),
    ) -> TargetConfig {
        TargetConfig {
            region, certifications, retention, capabilities, max_context_tokens, max_output_tokens, priority,
            prices: prices.map(|(input, output)| Prices::new(input, output)),
            weight: NonZeroU32::new(weight).unwrap(),
            ..TargetConfig::new(name("t"), provider, "m")
        }
    }
}

prop_compose! {
    fn some_policy()(
        allowed_regions in prop::option::weighted(0.3, some_of(&REGIONS)),
        required_certifications in prop::option::weighted(0.3, some_of(&CERTIFICATIONS)),
        allowed_providers in prop::option::weighted(0.3, some_of(&PROVIDERS)),
        denied_providers in prop::option::weighted(0.2, some_of(&PROVIDERS)),
        max_retention in prop::option::weighted(0.2, prop::sample::select(&DAYS)),
        max_input_price in prop::option::weighted(0.2, prop::sample::select(&PRICES)),
        max_output_price in prop::option::weighted(0.2, prop::sample::select(&PRICES)),
    ) -> DataPolicy {
        DataPolicy {
            allowed_regions, allowed_providers, max_input_price, max_output_price,
            required_certifications: required_certifications.unwrap_or_default(),
            denied_providers: denied_providers.unwrap_or_default(),
            max_retention: max_retention.map(|days| Duration::from_secs(days * 86_400)),
        }
    }
}

prop_compose! {
    fn some_order()(order in prop::sample::select(&[Order::Priority, Order::Weighted, Order::Latency, Order::Cheapest]))
        -> Order { order }
}

/// The rules a second time, as a reader of the documentation would put them.
fn is_allowed(target: &TargetConfig, policy: &DataPolicy, needs: &BTreeSet<Capability>, size: Size) -> bool {
    let price = |limit: Option<f64>, of: fn(&Prices) -> f64| {
        limit.is_none() || target.prices.as_ref().is_some_and(|prices| of(prices) <= limit.unwrap())
    };
    let wanted = size.max_output_tokens.unwrap_or(1);
    [
        policy.allowed_regions.is_none()
            || target.region.as_ref().is_some_and(|region| policy.allowed_regions.as_ref().unwrap().contains(region)),
        policy.required_certifications.iter().all(|needed| target.certifications.contains(needed)),
        policy.allowed_providers.is_none() || policy.allowed_providers.as_ref().unwrap().contains(&target.provider),
        !policy.denied_providers.contains(&target.provider),
        policy.max_retention.is_none()
            || target.retention.is_some() && target.retention.unwrap() <= policy.max_retention.unwrap(),
        price(policy.max_input_price, |prices| prices.input),
        price(policy.max_output_price, |prices| prices.output),
        target.capabilities.is_none() || needs.is_subset(target.capabilities.as_ref().unwrap()),
        target.max_context_tokens.is_none() || size.input_tokens + wanted <= target.max_context_tokens.unwrap(),
        size.max_output_tokens.is_none()
            || target.max_output_tokens.is_none()
            || size.max_output_tokens <= target.max_output_tokens,
    ]
    .into_iter()
    .all(|holds| holds)
}

/// Whether what a refusal says of the target and of one of the policies is so.
fn is_true(
    reason: &RefusalReason,
    target: &TargetConfig,
    policies: &[&DataPolicy],
    needs: &BTreeSet<Capability>,
    size: Size,
) -> bool {
    let any = |holds: &dyn Fn(&DataPolicy) -> bool| policies.iter().any(|policy| holds(policy));
    let list = |words: &Option<BTreeSet<String>>| words.clone().map(|words| words.into_iter().collect::<Vec<_>>());
    let price_of = |kind: &TokenKind, prices: Prices| match kind {
        TokenKind::Input => prices.input,
        TokenKind::Output => prices.output,
    };
    match reason {
        RefusalReason::Unknown
        | RefusalReason::NotPinned
        | RefusalReason::NotOnRoute
        | RefusalReason::RouteNotAllowed => false,
        RefusalReason::ProviderDenied { provider } => {
            *provider == target.provider && any(&|policy| policy.denied_providers.contains(provider))
        }
        RefusalReason::ProviderNotAllowed { provider, allowed } => {
            *provider == target.provider
                && !allowed.contains(provider)
                && any(&|policy| list(&policy.allowed_providers).as_ref() == Some(allowed))
        }
        RefusalReason::Region { region, allowed } => {
            *region == target.region
                && !region.as_ref().is_some_and(|region| allowed.contains(region))
                && any(&|policy| list(&policy.allowed_regions).as_ref() == Some(allowed))
        }
        RefusalReason::Certification { missing } => {
            !missing.is_empty()
                && missing.iter().all(|word| !target.certifications.contains(word))
                && any(&|policy| missing.iter().all(|word| policy.required_certifications.contains(word)))
        }
        RefusalReason::Retention { kept, limit } => {
            *kept == target.retention
                && kept.is_none_or(|kept| kept > *limit)
                && any(&|policy| policy.max_retention == Some(*limit))
        }
        RefusalReason::Price { kind, price, limit } => {
            let limit_of = |policy: &DataPolicy| match kind {
                TokenKind::Input => policy.max_input_price,
                TokenKind::Output => policy.max_output_price,
            };
            *price == target.prices.map(|prices| Money::from_units(price_of(kind, prices)))
                && price.is_none_or(|price| price > *limit)
                && any(&|policy| limit_of(policy).map(Money::from_units) == Some(*limit))
        }
        RefusalReason::Capability { missing } => {
            !missing.is_empty()
                && missing.iter().all(|what| needs.contains(what))
                && target.capabilities.as_ref().is_some_and(|has| missing.iter().all(|what| !has.contains(what)))
        }
        RefusalReason::Context { needs, counted, limit } => {
            needs > limit && *counted == size.exact && target.max_context_tokens == Some(*limit)
        }
        RefusalReason::Output { asked, limit } => {
            asked > limit && size.max_output_tokens == Some(*asked) && target.max_output_tokens == Some(*limit)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn no_plan_holds_a_target_that_a_rule_refuses_and_every_refusal_is_true(
        places in prop::collection::vec(some_target(), 1..4),
        ours in some_policy(),
        theirs in some_policy(),
        needs in capabilities(),
        (input_tokens, max_output_tokens, exact) in (0..10_100_u64, tokens(), any::<bool>()),
        (order, lot, affinity) in (some_order(), any::<u64>(), prop::option::of(Just("session"))),
    ) {
        let named = |(at, place): (usize, TargetConfig)| TargetConfig { name: name(&format!("t{at}")), ..place };
        let places: Vec<TargetConfig> = places.into_iter().enumerate().map(named).collect();
        let (set, route) = (set(), Route {
            targets: places.iter().map(|place| place.name.clone()).collect(),
            ..Route::named(RouteName::new("r").unwrap())
        });
        let rules = RouteConfig { order, policy: ours.clone(), targets: None };
        let of_set = SetConfig { routes: [(route.name.clone(), rules)].into(), ..SetConfig::default() };
        let config = RoutingConfig {
            targets: places.clone(), sets: [(set.clone(), of_set)].into(), ..RoutingConfig::default()
        };
        let table = RoutingTable::new(&config).unwrap();
        let size = Size { input_tokens, exact, max_output_tokens };
        let asked = Asked { set: &set, route: &route, pin: None, policy: &theirs, needs: &needs, size, affinity, lot };
        let plan = table.plan(&asked, Instant::now());
        for place in &places {
            let is_planned = plan.targets().iter().filter(|target| target.name == place.name).count();
            let refusals: Vec<_> = plan.refused().iter().filter(|refusal| refusal.target == place.name).collect();
            let allowed = [&ours, &theirs].into_iter().all(|policy| is_allowed(place, policy, &needs, size));
            prop_assert_eq!(allowed, is_allowed(place, &ours.and(&theirs), &needs, size));
            prop_assert_eq!((is_planned, refusals.len()), if allowed { (1, 0) } else { (0, 1) });
            for refusal in refusals {
                prop_assert!(is_true(&refusal.reason, place, &[&ours, &theirs], &needs, size), "{}", refusal);
            }
        }
        prop_assert!(plan.targets().is_sorted_by_key(|target| target.priority));
    }
}
