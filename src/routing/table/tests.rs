//! Plans of whole tables.

mod order;
mod precedence;
mod rules;

use std::collections::BTreeSet;

use super::*;
use crate::provider::Capability;
use crate::routing::Size;

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
