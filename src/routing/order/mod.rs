//! Which of the allowed targets goes first. Pure: time and lots are arguments, what has to be remembered is behind a lock
//! that is held for a few additions.

mod affinity;
mod latency;
mod wheel;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;

pub use latency::{Latencies, Pending};
use wheel::Wheels;

use super::asked::Asked;
use super::plan::Plan;
use super::target::Target;

/// Among targets of one priority; those of a lower number go before them, whatever the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// As the route lists them.
    #[default]
    Priority,
    /// Each first as often as its weight says, evenly mixed.
    Weighted,
    /// The quicker of two that are drawn by lot; one that has not been tried goes first.
    Latency,
    /// The cheapest for this request; one without a price goes last.
    Cheapest,
}

/// What the orders remember.
#[derive(Debug, Default)]
pub(super) struct Orders {
    wheels: Wheels,
    latencies: Latencies,
}

impl Orders {
    pub(super) fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// An affinity key takes the place of the orders that share load. The others send everybody to the same target, so
    /// that sessions stay where they are without it.
    pub(super) fn arrange(&self, order: Order, plan: &mut Plan, asked: &Asked<'_>, now: Instant) {
        plan.arrange(|tier| match (order, asked.affinity) {
            (Order::Priority, _) => Vec::new(),
            (Order::Weighted | Order::Latency, Some(key)) => affinity::ranks(key, tier),
            (Order::Weighted, None) => self.wheels.turn(wheel_of(asked, tier), tier),
            (Order::Latency, None) => self.latencies.ranks(tier, asked.lot, now),
            (Order::Cheapest, _) => cheapest(asked, tier),
        });
    }
}

/// Each route and set of candidates has a wheel of its own: a target that some requests may not use must not get more of
/// the others.
fn wheel_of(asked: &Asked<'_>, tier: &[Arc<Target>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (asked.set, &asked.route.name).hash(&mut hasher);
    tier.iter().for_each(|target| target.name.hash(&mut hasher));
    hasher.finish()
}

fn cheapest(asked: &Asked<'_>, tier: &[Arc<Target>]) -> Vec<f64> {
    let cost = |target: &Arc<Target>| target.prices.map(|prices| asked.size.likely_cost(&prices).units());
    tier.iter().map(|target| cost(target).unwrap_or(f64::INFINITY)).collect()
}
