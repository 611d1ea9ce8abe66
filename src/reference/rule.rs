//! What a version decides with: the model that was fitted to its prompts, and the confidence that its policy asks for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use semroute_decision::{Costs, DecisionModel, Target, Threshold, choose, provable};

use super::policy::{CostPolicy, SetPolicy};

/// Held-out prompts without which costs are weighed with nothing.
const LEAST_HELD_OUT: usize = 30;

/// Steps in which requests may name a target: 0.01 %.
const TARGET_STEPS: f32 = 10_000.0;

/// Never changes but for what it remembers.
pub struct DecisionRule {
    model: Arc<DecisionModel>,
    min_in_scope: f32,
    threshold: Option<Threshold>,
    /// By target accuracy in steps: requests may ask for their own, and choosing takes a sort.
    chosen: Mutex<BTreeMap<u16, Option<Threshold>>>,
}

impl DecisionRule {
    pub fn new(model: Arc<DecisionModel>, policy: &SetPolicy) -> Self {
        let min_in_scope = policy.min_in_scope;
        let threshold = match policy.cost {
            Some(cost) => by_cost(&model, cost, min_in_scope),
            None if is_provable(&model, policy.target_accuracy, min_in_scope) => {
                by_accuracy(&model, policy.target_accuracy, min_in_scope)
            }
            None => None,
        };
        Self { model, min_in_scope, threshold, chosen: Mutex::default() }
    }

    pub fn model(&self) -> &DecisionModel {
        &self.model
    }

    /// From which confidence on the policy lets the model decide alone. `None`: the bounds on the vote decide, since
    /// the policy wants no confidence, or there are too few held-out prompts to prove what it wants.
    pub fn threshold(&self) -> Option<&Threshold> {
        self.threshold.as_ref()
    }

    /// The same for a target accuracy of a request's own, in [0, 1], rounded to 0.01 %. Who asks for more than can be
    /// proved gets nothing decided alone, never less than he asked for; only 0 leaves the vote to decide.
    pub fn threshold_for(&self, target: f32) -> Option<Threshold> {
        let step = (target.clamp(0.0, 1.0) * TARGET_STEPS).round() as u16;
        let kept = self.lock().get(&step).copied();
        kept.unwrap_or_else(|| {
            let chosen = by_accuracy(&self.model, f32::from(step) / TARGET_STEPS, self.min_in_scope);
            self.lock().insert(step, chosen);
            chosen
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u16, Option<Threshold>>> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the held-out prompts, were all of them right, would prove the target: a policy that asks for more would have
/// nothing decided alone in a set that is merely young.
fn is_provable(model: &DecisionModel, target: f32, min_in_scope: f32) -> bool {
    target >= 1.0 || provable(model.outcomes(), min_in_scope) >= f64::from(target)
}

fn by_accuracy(model: &DecisionModel, target: f32, min_in_scope: f32) -> Option<Threshold> {
    let wanted = target > 0.0;
    wanted.then(|| choose(model.outcomes(), Target::Accuracy(f64::from(target)), min_in_scope).ok()).flatten()
}

fn by_cost(model: &DecisionModel, cost: CostPolicy, min_in_scope: f32) -> Option<Threshold> {
    let CostPolicy { wrong_route_cost, llm_cost, llm_latency_cost, llm_accuracy } = cost;
    let costs = Costs { wrong_route: wrong_route_cost, llm: llm_cost, llm_latency: llm_latency_cost, llm_accuracy };
    let enough = model.outcomes().len() >= LEAST_HELD_OUT;
    enough.then(|| choose(model.outcomes(), Target::Cost(costs), min_in_scope).ok()).flatten()
}
