//! Which targets a set's route is sent to, and by which rules: those of the configuration, else those of the route in the
//! store, else the default targets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::asked::Asked;
use super::catalogue::Catalogue;
use super::config::{RouteConfig, RoutingConfig, SetConfig};
use super::known::Known;
use super::order::{Latencies, Order, Orders};
use super::plan::Plan;
use super::policy::DataPolicy;
use super::reason::RefusalReason;
use super::rules;
use super::target::Target;
use crate::money::Currency;
use crate::provider::{DEMO, DEMO_MODEL};
use crate::reference::{NameError, Route, RouteName, SetName, TargetName};

/// Share it behind an `Arc`. The rules do not change; whose turn it is does.
#[derive(Debug)]
pub struct RoutingTable {
    catalogue: Catalogue,
    known: Known,
    currency: Currency,
    /// For every request.
    policy: DataPolicy,
    sets: HashMap<SetName, SetRules>,
    llm: Option<Target>,
    orders: Orders,
}

/// Each policy with those that stand above it.
#[derive(Debug)]
struct SetRules {
    policy: DataPolicy,
    routes: HashMap<RouteName, RouteRules>,
}

#[derive(Debug)]
struct RouteRules {
    policy: DataPolicy,
    targets: Option<Vec<TargetName>>,
    order: Order,
}

impl RoutingTable {
    /// From a configuration without faults.
    pub fn new(config: &RoutingConfig) -> Result<Self, NameError> {
        let sets = config.sets.iter().map(|(name, set)| (name.clone(), SetRules::new(&config.policy, set)));
        Ok(Self {
            catalogue: Catalogue::new(config)?,
            known: Known::new(config),
            currency: config.currency.clone(),
            policy: config.policy.clone(),
            sets: sets.collect(),
            llm: config.llm.as_ref().map(Target::from),
            orders: Orders::default(),
        })
    }

    /// The plan of a decision: first the rules, for every target, then the order of those that are left.
    pub fn plan(&self, asked: &Asked<'_>, now: Instant) -> Plan {
        let rules = self.route_rules(asked.set, &asked.route.name);
        let policy = self.policy(asked.set, &asked.route.name);
        let candidates = self.catalogue.candidates(&asked.route.name, self.target_names(asked.set, asked.route));
        let mut plan = Plan::judged(candidates, asked.size, |target| {
            if asked.pin.is_some_and(|pin| *pin != target.name) {
                return Err(RefusalReason::NotPinned);
            }
            rules::permits(policy, target)?;
            rules::permits(asked.policy, target)?;
            rules::fits(asked.needs, asked.size, target)
        });
        if let Some(pin) = asked.pin {
            plan.refuse_stranger(pin);
        }
        let order = rules.map(|rules| rules.order).unwrap_or_default();
        self.orders.arrange(order, &mut plan, asked, now);
        plan
    }

    /// The most input tokens that fit each of the route's targets beside such an answer: a request that surely has no
    /// more need not be counted.
    pub fn fits_all(&self, set: &SetName, route: &Route, max_output_tokens: Option<u64>) -> u64 {
        let candidates = self.catalogue.candidates(&route.name, self.target_names(set, route));
        let contexts = candidates.targets.iter().filter_map(|target| target.max_context_tokens);
        contexts.min().map_or(u64::MAX, |least| least.saturating_sub(max_output_tokens.unwrap_or(1)))
    }

    /// Whether the LLM stage may see a prompt of this set under this policy. Without an LLM stage there is nothing to
    /// forbid. A route may forbid it too: see [`routes_without_llm`].
    pub fn permits_llm(&self, set: &SetName, policy: &DataPolicy) -> Result<(), RefusalReason> {
        let Some(llm) = &self.llm else { return Ok(()) };
        let of_set = self.sets.get(set).map_or(&self.policy, |rules| &rules.policy);
        rules::permits(of_set, llm)?;
        rules::permits(policy, llm)
    }

    /// The words that a policy may use.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Of all prices.
    pub fn currency(&self) -> &Currency {
        &self.currency
    }

    /// Where dispatch reports how long the targets take.
    pub fn latencies(&self) -> &Latencies {
        self.orders.latencies()
    }

    /// All that a plan can lead to: the configured targets; without any, the built-in demo.
    pub fn reachable(&self) -> Vec<Arc<Target>> {
        let demo = || TargetName::new(DEMO).map(|name| Arc::new(Target::new(name, DEMO, DEMO_MODEL)));
        if self.targets().is_empty() { demo().into_iter().collect() } else { self.targets().to_vec() }
    }

    /// In the configuration's order.
    pub fn targets(&self) -> &[Arc<Target>] {
        self.catalogue.targets()
    }

    pub fn default_targets(&self) -> &[TargetName] {
        self.catalogue.defaults()
    }

    /// The configuration's policy for a route of a set.
    fn policy(&self, set: &SetName, route: &RouteName) -> &DataPolicy {
        let Some(rules) = self.sets.get(set) else { return &self.policy };
        rules.routes.get(route).map_or(&rules.policy, |route| &route.policy)
    }

    fn route_rules(&self, set: &SetName, route: &RouteName) -> Option<&RouteRules> {
        self.sets.get(set)?.routes.get(route)
    }

    fn target_names<'a>(&'a self, set: &SetName, route: &'a Route) -> &'a [TargetName] {
        let configured = self.route_rules(set, &route.name).and_then(|rules| rules.targets.as_ref());
        configured.unwrap_or(&route.targets)
    }
}

impl SetRules {
    fn new(above: &DataPolicy, set: &SetConfig) -> Self {
        let policy = above.and(&set.policy);
        let rules = |route: &RouteConfig| RouteRules {
            policy: policy.and(&route.policy),
            targets: route.targets.clone(),
            order: route.order,
        };
        let routes = set.routes.iter().map(|(name, route)| (name.clone(), rules(route))).collect();
        Self { policy, routes }
    }
}

/// The configured routes whose own policy keeps their prompts from the LLM stage's place: it is not asked about a prompt
/// that may be one of theirs.
pub fn routes_without_llm(config: &RoutingConfig) -> Vec<(SetName, RouteName)> {
    let Some(llm) = config.llm.as_ref().map(Target::from) else { return Vec::new() };
    let routes = config.sets.iter().flat_map(|(set, rules)| rules.routes.iter().map(move |route| (set, route)));
    let strict = routes.filter(|(_, (_, rules))| rules::permits(&rules.policy, &llm).is_err());
    strict.map(|(set, (route, _))| (set.clone(), route.clone())).collect()
}

#[cfg(test)]
mod tests;
