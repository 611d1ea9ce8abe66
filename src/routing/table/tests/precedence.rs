//! Whose word counts where, and who is refused.

use std::time::Duration;

use super::*;

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
        let size = Size { input_tokens, exact: true, max_output_tokens, ..Size::default() };
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
