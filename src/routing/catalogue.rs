//! All configured targets, and the first step of every plan: from a route's target names to targets.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::config::RoutingConfig;
use super::plan::{Plan, Refusal, RefusalReason};
use super::target::Target;
use crate::provider::{DEMO, DEMO_MODEL};
use crate::reference::{NameError, RouteName, TargetName};

/// Immutable; share it behind an `Arc`.
#[derive(Debug)]
pub struct Catalogue {
    targets: HashMap<TargetName, Arc<Target>>,
    defaults: Vec<TargetName>,
    demo: TargetName,
}

impl Catalogue {
    /// From a configuration without faults; of two targets with one name the later stands.
    ///
    /// # Errors
    /// None in practice: the built-in demo's name is a valid name.
    pub fn new(config: &RoutingConfig) -> Result<Self, NameError> {
        let targets = config.targets.iter().map(|target| (target.name.clone(), Arc::new(target.into()))).collect();
        Ok(Self { targets, defaults: config.default_targets.clone(), demo: TargetName::new(DEMO)? })
    }

    /// The targets that a route names, in its order; if it names none, the default targets. An unknown name is a refusal,
    /// and a route whose names are all unknown has no target: the defaults may be places that it must not go to.
    ///
    /// Where no target is configured at all, the plan is the built-in demo; it is told the route as its model.
    pub fn plan(&self, route: Option<&RouteName>, names: &[TargetName]) -> Plan {
        let names = if names.is_empty() { &self.defaults } else { names };
        let mut plan = Plan::default();
        let mut seen = HashSet::new();
        for name in names.iter().filter(|name| seen.insert(*name)) {
            match self.targets.get(name) {
                Some(target) => plan.targets.push(target.clone()),
                None if *name == self.demo && self.targets.is_empty() => {}
                None => plan.refused.push(Refusal { target: name.clone(), reason: RefusalReason::Unknown }),
            }
        }
        if self.targets.is_empty() {
            plan.targets.push(Arc::new(self.demo(route)));
        }
        plan
    }

    fn demo(&self, route: Option<&RouteName>) -> Target {
        Target::new(self.demo.clone(), DEMO, route.map_or(DEMO_MODEL, RouteName::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<TargetName> {
        names.iter().map(|name| TargetName::new(name).unwrap()).collect()
    }

    fn catalogue(toml: &str) -> Catalogue {
        Catalogue::new(&toml::from_str(toml).unwrap()).unwrap()
    }

    fn three() -> Catalogue {
        let target = |name: &str| format!("[[targets]]\nname = '{name}'\nprovider = 'p'\nmodel = 'm'\n");
        catalogue(&format!("default_targets = ['c', 'a']\n{}{}{}", target("a"), target("b"), target("c")))
    }

    fn check(plan: &Plan, targets: &[&str], refused: &[(&str, RefusalReason)]) {
        assert_eq!(plan.targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(), targets);
        let found: Vec<_> = plan.refused.iter().map(|refusal| (refusal.target.as_str(), refusal.reason)).collect();
        assert_eq!(found, refused);
    }

    #[test]
    fn a_route_names_its_targets_in_order() {
        check(&three().plan(None, &names(&["b", "a", "b"])), &["b", "a"], &[]);
        check(&three().plan(None, &[]), &["c", "a"], &[]);
    }

    #[test]
    fn an_unknown_target_is_refused_with_its_reason() {
        let unknown = RefusalReason::Unknown;
        check(&three().plan(None, &names(&["x", "a"])), &["a"], &[("x", unknown)]);
        check(&three().plan(None, &names(&["x"])), &[], &[("x", unknown)]);
        check(&three().plan(None, &names(&["demo"])), &[], &[("demo", unknown)]);
    }

    #[test]
    fn without_any_target_the_demo_answers() {
        let empty = catalogue("");
        let route = RouteName::new("billing").unwrap();
        let plan = empty.plan(Some(&route), &names(&["x", "demo"]));
        check(&plan, &["demo"], &[("x", RefusalReason::Unknown)]);
        assert_eq!((plan.targets[0].provider.as_str(), plan.targets[0].model.as_str()), ("demo", "billing"));
        assert_eq!(empty.plan(None, &[]).targets[0].model, DEMO_MODEL);
    }

    #[test]
    fn a_pin_chooses_among_the_allowed_targets() {
        let pin = |name: &str| three().plan(None, &names(&["x", "a", "b"])).pin_target(&names(&[name])[0]);
        let (unknown, not_pinned) = (RefusalReason::Unknown, RefusalReason::NotPinned);
        check(&pin("b"), &["b"], &[("x", unknown), ("a", not_pinned)]);
        check(&pin("x"), &[], &[("x", unknown), ("a", not_pinned), ("b", not_pinned)]);
        let not_on_route = ("c", RefusalReason::NotOnRoute);
        check(&pin("c"), &[], &[("x", unknown), ("a", not_pinned), ("b", not_pinned), not_on_route]);
    }

    #[test]
    fn a_configured_demo_is_a_target_like_any_other() {
        let catalogue = catalogue("[[targets]]\nname = 'demo'\nprovider = 'demo'\nmodel = 'demo'");
        check(&catalogue.plan(None, &names(&["demo"])), &["demo"], &[]);
    }
}
