//! Plans against the rules, told a second time.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::money::{Money, Prices};
use crate::routing::{TargetConfig, TokenKind};

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
        let size = Size { input_tokens, likely_tokens: input_tokens, exact, max_output_tokens };
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
