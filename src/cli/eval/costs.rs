//! The expected bill: prices from a file, places from the same file or from the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use crate::cli::CommandError;
use crate::config::Config;
use crate::evaluate::{Assumptions, Bill, Outcome, Places, Prices};
use crate::reference::Snapshot;
use crate::routing::{Asked, DataPolicy, RoutingTable, Size};

pub(super) fn read(path: &Path) -> Result<Prices, CommandError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| CommandError::ReadFile { path: path.to_owned(), source })?;
    Prices::parse(&text).map_err(|source| CommandError::Prices { path: path.to_owned(), source })
}

pub(super) fn bill(
    outcomes: &[Outcome],
    prices: &Prices,
    assumptions: Assumptions,
    snapshot: &Snapshot,
    config: &Config,
) -> Result<Bill, CommandError> {
    Ok(Bill::of(outcomes, prices, &places(prices, snapshot, config)?, assumptions)?)
}

/// The first target of each route, as a server would plan it; what the prices say goes before.
fn places(prices: &Prices, snapshot: &Snapshot, config: &Config) -> Result<Places, CommandError> {
    let table = RoutingTable::new(&config.routing())?;
    let (policy, needs) = (DataPolicy::default(), BTreeSet::new());
    let plan_of = |route| {
        let set = &snapshot.set;
        let size = Size::default();
        let asked = Asked { set, route, pin: None, policy: &policy, needs: &needs, size, affinity: None, lot: 0 };
        table.plan(&asked, Instant::now())
    };
    let mut routes = BTreeMap::new();
    for route in &snapshot.routes {
        let told = prices.routes.get(route.name.as_str()).or(prices.default.as_ref()).cloned();
        // Without configured targets the plan is the built-in demo, which costs nothing and is no answer here.
        let plan = (!table.targets().is_empty()).then(|| plan_of(route));
        let planned = plan.and_then(|plan| plan.targets().first().map(|target| target.name.to_string()));
        if let Some(target) = told.or(planned) {
            routes.insert(route.name.to_string(), target);
        }
    }
    let default = table.default_targets().first().map(ToString::to_string);
    Ok(Places { routes, default: prices.default.clone().or(default) })
}
