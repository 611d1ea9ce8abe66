//! The counts of a period as they are told. Its JSON is for scripts: names are only added, never changed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::alternative::{Alternative, alternatives};
use super::signal::{Signal, signals};
use super::tally::{Group, Tally, TargetTally};
use super::times::Quantiles;

/// Money in whole units of the price list, times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Times of the first and the last request; `None`: there was none.
    pub first: Option<String>,
    pub last: Option<String>,
    pub requests: u64,
    /// By name of the gRPC code.
    pub codes: BTreeMap<String, u64>,
    /// Entries that the log says it has lost: they are in no figure.
    pub lost: u64,
    pub decisions: u64,
    /// Share of the decisions for which nothing had to be computed.
    pub cached_share: Option<f64>,
    pub decision_ms: Option<Quantiles>,
    pub llm: LlmUse,
    /// All requests that a provider was to answer.
    pub completions: RouteUse,
    /// The busiest first.
    pub routes: Vec<RouteUse>,
    /// The busiest first.
    pub targets: Vec<TargetUse>,
    /// Answers that the comparison rests on: those whose tokens and cost are known. What they cost.
    pub compared_answers: u64,
    pub compared_cost: f64,
    /// Dearest first; of targets with configured prices.
    pub alternatives: Vec<Alternative>,
    pub signals: Vec<Signal>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LlmUse {
    /// Decisions for which the stage was needed and allowed, and their share.
    pub needed: u64,
    pub share: Option<f64>,
    /// Of these, decisions that put the question to the model and got its choice; the others found it kept, joined
    /// another's, or failed.
    pub asked: u64,
    pub failed: u64,
    /// Of the calls whose cost is in the log; `None` if no call's is.
    pub cost: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteUse {
    pub route: String,
    pub requests: u64,
    pub answered: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Answered by another target than the first that was tried.
    pub failed_over: u64,
    /// Requests with a known cost, and what they cost.
    pub priced: u64,
    pub spend: f64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Of those answered.
    pub latency_ms: Option<Quantiles>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetUse {
    pub target: String,
    pub attempts: u64,
    pub hedges: u64,
    /// Requests that it answered in the end.
    pub answered: u64,
    /// By kind.
    pub failures: BTreeMap<String, u64>,
    /// Requests for which it was not allowed.
    pub refused: u64,
    pub priced: u64,
    pub spend: f64,
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
    /// Of all its calls.
    pub call_ms: Option<Quantiles>,
    pub first_text_ms: Option<Quantiles>,
}

impl Tally {
    pub fn summary(&self) -> Summary {
        let alternatives = alternatives(self);
        let signals = signals(self, &alternatives);
        let of_decisions = |count: u64| (self.decided > 0).then(|| count as f64 / self.decided as f64);
        let mut routes: Vec<RouteUse> = self.routes.iter().map(|(name, group)| route(name, group)).collect();
        routes.sort_by_key(|route| std::cmp::Reverse(route.requests));
        let mut targets: Vec<TargetUse> = self.targets.iter().map(|(name, tally)| target(name, tally)).collect();
        targets.sort_by_key(|target| std::cmp::Reverse(target.attempts));
        Summary {
            first: self.first.map(|time| time.to_string()),
            last: self.last.map(|time| time.to_string()),
            requests: self.requests,
            codes: self.codes.clone(),
            lost: self.lost,
            decisions: self.decided,
            cached_share: of_decisions(self.cached),
            decision_ms: self.decision_times.quantiles(),
            llm: LlmUse {
                needed: self.llm.needed,
                share: of_decisions(self.llm.needed),
                asked: self.llm.asked,
                failed: self.llm.failed,
                cost: (self.llm.priced > 0).then(|| self.llm.cost.units()),
            },
            completions: route("all", &self.completions),
            routes,
            targets,
            compared_answers: self.comparable,
            compared_cost: self.comparable_cost.units(),
            alternatives,
            signals,
        }
    }
}

fn route(name: &str, group: &Group) -> RouteUse {
    RouteUse {
        route: name.to_owned(),
        requests: group.requests,
        answered: group.answered,
        failed: group.failed,
        cancelled: group.cancelled,
        failed_over: group.failed_over,
        priced: group.priced,
        spend: group.cost.units(),
        input_tokens: group.input_tokens,
        output_tokens: group.output_tokens,
        latency_ms: group.times.quantiles(),
    }
}

fn target(name: &str, tally: &TargetTally) -> TargetUse {
    TargetUse {
        target: name.to_owned(),
        attempts: tally.attempts,
        hedges: tally.hedges,
        answered: tally.answered(),
        failures: tally.failures.clone(),
        refused: tally.refused,
        priced: tally.priced,
        spend: tally.cost.units(),
        input_tokens: tally.input_tokens,
        cached_input_tokens: tally.cached_input_tokens,
        output_tokens: tally.output_tokens,
        call_ms: tally.times.quantiles(),
        first_text_ms: tally.first_text.quantiles(),
    }
}
