//! All configured targets, and the first step of every plan: from a route's target names to targets.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::config::RoutingConfig;
use super::plan::{Candidates, Refusal};
use super::reason::RefusalReason;
use super::target::Target;
use crate::money::Prices;
use crate::provider::{Capability, DEMO};
use crate::reference::{NameError, RouteName, TargetName};

#[derive(Debug)]
pub(super) struct Catalogue {
    /// In the configuration's order.
    targets: Vec<Arc<Target>>,
    by_name: HashMap<TargetName, Arc<Target>>,
    defaults: Vec<TargetName>,
    demo: TargetName,
}

impl Catalogue {
    /// From a configuration without faults; of two targets with one name the later stands.
    ///
    /// # Errors
    /// None in practice: the built-in demo's name is a valid name.
    pub(super) fn new(config: &RoutingConfig) -> Result<Self, NameError> {
        let targets: Vec<Arc<Target>> = config.targets.iter().map(|target| Arc::new(target.into())).collect();
        let by_name = targets.iter().map(|target| (target.name.clone(), Arc::clone(target))).collect();
        Ok(Self { targets, by_name, defaults: config.default_targets.clone(), demo: TargetName::new(DEMO)? })
    }

    /// The targets that a route names, in its order; if it names none, the default targets. An unknown name is a refusal,
    /// and a route whose names are all unknown has no target: the defaults may be places that it must not go to.
    ///
    /// Where no target is configured at all, the built-in demo is; it is told the route as its model.
    pub(super) fn candidates(&self, route: &RouteName, names: &[TargetName]) -> Candidates {
        let names = if names.is_empty() { &self.defaults } else { names };
        let mut candidates = Candidates::default();
        let mut seen = HashSet::new();
        for name in names.iter().filter(|name| seen.insert(*name)) {
            match self.by_name.get(name) {
                Some(target) => candidates.targets.push(target.clone()),
                None if *name == self.demo && self.targets.is_empty() => {}
                None => candidates.refused.push(Refusal::new(name, RefusalReason::Unknown)),
            }
        }
        if self.targets.is_empty() {
            candidates.targets.push(Arc::new(self.demo(route)));
        }
        candidates
    }

    pub(super) fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    pub(super) fn defaults(&self) -> &[TargetName] {
        &self.defaults
    }

    /// It sends nothing anywhere, costs nothing and answers everything.
    fn demo(&self, route: &RouteName) -> Target {
        Target {
            retention: Some(Duration::ZERO),
            prices: Some(Prices::default()),
            capabilities: BTreeSet::from(Capability::ALL),
            ..Target::new(self.demo.clone(), DEMO, route.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<TargetName> {
        names.iter().map(|name| TargetName::new(name).unwrap()).collect()
    }

    fn route() -> RouteName {
        RouteName::new("billing").unwrap()
    }

    fn catalogue(toml: &str) -> Catalogue {
        Catalogue::new(&toml::from_str(toml).unwrap()).unwrap()
    }

    fn three() -> Catalogue {
        let target = |name: &str| format!("[[targets]]\nname = '{name}'\nprovider = 'p'\nmodel = 'm'\n");
        catalogue(&format!("default_targets = ['c', 'a']\n{}{}{}", target("a"), target("b"), target("c")))
    }

    fn check(candidates: &Candidates, targets: &[&str], unknown: &[&str]) {
        assert_eq!(candidates.targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(), targets);
        let refused = &candidates.refused;
        assert_eq!(refused.iter().map(|refusal| refusal.target.as_str()).collect::<Vec<_>>(), unknown);
        assert!(refused.iter().all(|refusal| refusal.reason == RefusalReason::Unknown));
    }

    #[test]
    fn a_route_names_its_targets_in_order() {
        check(&three().candidates(&route(), &names(&["b", "a", "b"])), &["b", "a"], &[]);
        check(&three().candidates(&route(), &[]), &["c", "a"], &[]);
    }

    #[test]
    fn an_unknown_target_is_refused() {
        check(&three().candidates(&route(), &names(&["x", "a"])), &["a"], &["x"]);
        check(&three().candidates(&route(), &names(&["x"])), &[], &["x"]);
        check(&three().candidates(&route(), &names(&["demo"])), &[], &["demo"]);
    }

    #[test]
    fn without_any_target_the_demo_answers() {
        let candidates = catalogue("").candidates(&route(), &names(&["x", "demo"]));
        check(&candidates, &["demo"], &["x"]);
        let demo = &candidates.targets[0];
        assert_eq!((demo.provider.as_str(), demo.model.as_str()), ("demo", "billing"));
    }

    #[test]
    fn a_configured_demo_is_a_target_like_any_other() {
        let catalogue = catalogue("[[targets]]\nname = 'demo'\nprovider = 'demo'\nmodel = 'demo'");
        check(&catalogue.candidates(&route(), &names(&["demo"])), &["demo"], &[]);
    }
}
