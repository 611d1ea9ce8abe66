//! What a version decides with: the model that was fitted to its prompts, and the confidence that its policy asks for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use semroute_decision::{Costs, DecisionModel, Expected, Target, Threshold, choose, expect, lower_bound};

use super::policy::{CostPolicy, SetPolicy};

/// Of the lower confidence bound of an accuracy, as in [`choose`], one-sided.
const PROOF: f64 = 0.95;

/// Held-out prompts without which costs are weighed with nothing.
const LEAST_HELD_OUT: usize = 30;

/// Steps in which requests may name a target: 0.01 %.
const TARGET_STEPS: f32 = 10_000.0;

/// Never changes but for what it remembers.
pub struct DecisionRule {
    model: Arc<DecisionModel>,
    threshold: Option<Threshold>,
    /// By target accuracy in steps: requests may ask for their own, and choosing takes a sort.
    chosen: Mutex<BTreeMap<u16, Option<Threshold>>>,
}

impl DecisionRule {
    pub fn new(model: Arc<DecisionModel>, policy: &SetPolicy) -> Self {
        let threshold = match policy.cost {
            Some(cost) => by_cost(&model, cost),
            None => by_accuracy(&model, policy.target_accuracy),
        };
        Self { model, threshold, chosen: Mutex::default() }
    }

    pub fn model(&self) -> &DecisionModel {
        &self.model
    }

    /// From which confidence on the policy lets the model decide alone. `None`: the bounds on the vote decide, since
    /// the policy wants no confidence, or there are too few held-out prompts to prove what it wants.
    pub fn threshold(&self) -> Option<&Threshold> {
        self.threshold.as_ref()
    }

    /// The same for a target accuracy of a request's own, in [0, 1], rounded to 0.01 %.
    pub fn threshold_for(&self, target: f32) -> Option<Threshold> {
        let step = (target.clamp(0.0, 1.0) * TARGET_STEPS).round() as u16;
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        *chosen.entry(step).or_insert_with(|| by_accuracy(&self.model, f32::from(step) / TARGET_STEPS))
    }

    /// What the prompts of the version, each judged without itself, let expect under a threshold.
    pub fn expected(&self, threshold: &Threshold) -> Expected {
        expect(self.model.outcomes(), threshold.confidence, None)
    }
}

fn by_accuracy(model: &DecisionModel, target: f32) -> Option<Threshold> {
    let (held_out, target) = (model.outcomes().len(), f64::from(target));
    // If all of them were right that would be no proof: then nothing would ever be decided alone.
    let provable = target > 0.0 && (target >= 1.0 || lower_bound(held_out, held_out, PROOF) >= target);
    provable.then(|| choose(model.outcomes(), Target::Accuracy(target)).ok()).flatten()
}

fn by_cost(model: &DecisionModel, cost: CostPolicy) -> Option<Threshold> {
    let CostPolicy { wrong_route_cost, llm_cost, llm_latency_cost, llm_accuracy } = cost;
    let costs = Costs { wrong_route: wrong_route_cost, llm: llm_cost, llm_latency: llm_latency_cost, llm_accuracy };
    let enough = model.outcomes().len() >= LEAST_HELD_OUT;
    enough.then(|| choose(model.outcomes(), Target::Cost(costs)).ok()).flatten()
}
