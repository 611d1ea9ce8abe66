//! Counts entries.

use std::collections::BTreeMap;

use super::times::Times;
use crate::govern::audit::{Entry, Stamp, Tokens, Tried};
use crate::money::{Money, Prices};
use crate::provider::Usage;

/// Prices of the configured targets as they are now, and where what has no route goes.
#[derive(Debug, Clone, Default)]
pub struct TargetPrices {
    pub targets: BTreeMap<String, Prices>,
    pub default: Option<String>,
}

/// What has been counted so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub(super) prices: TargetPrices,
    pub(super) first: Option<Stamp>,
    pub(super) last: Option<Stamp>,
    pub(super) requests: u64,
    pub(super) decided: u64,
    pub(super) cached: u64,
    pub(super) decision_times: Times,
    pub(super) llm: LlmTally,
    /// Requests that a provider was to answer.
    pub(super) completions: Group,
    pub(super) routes: BTreeMap<String, Group>,
    pub(super) targets: BTreeMap<String, TargetTally>,
    /// By name of the gRPC code.
    pub(super) codes: BTreeMap<String, u64>,
    /// What the answers would have cost if all had been given by one target, for each whose prices are known.
    pub(super) elsewhere: BTreeMap<String, Money>,
    /// Answers whose cost and tokens are known, and what they cost.
    pub(super) comparable: u64,
    pub(super) comparable_cost: Money,
    pub(super) lost: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LlmTally {
    /// Decisions for which the stage had to be asked, kept answers included.
    pub(super) needed: u64,
    /// Decisions that put the question to the model.
    pub(super) asked: u64,
    pub(super) failed: u64,
    pub(super) priced: u64,
    pub(super) cost: Money,
}

/// Requests of one kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) requests: u64,
    pub(super) answered: u64,
    pub(super) cancelled: u64,
    /// Neither answered nor cancelled.
    pub(super) failed: u64,
    /// Answered by another target than the first that was tried.
    pub(super) failed_over: u64,
    /// At least one attempt has a known cost.
    pub(super) priced: u64,
    pub(super) cost: Money,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// Of those answered.
    pub(super) times: Times,
}

/// Calls to one target.
#[derive(Debug, Clone, Default)]
pub(super) struct TargetTally {
    pub(super) attempts: u64,
    pub(super) hedges: u64,
    pub(super) ok: u64,
    /// Answers that ended by themselves, or in a call of a tool.
    pub(super) finished: u64,
    /// By kind.
    pub(super) failures: BTreeMap<String, u64>,
    /// Requests for which it was not allowed.
    pub(super) refused: u64,
    pub(super) priced: u64,
    pub(super) cost: Money,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cached_input_tokens: u64,
    pub(super) times: Times,
    pub(super) first_text: Times,
    /// Requests that it answered, by route.
    pub(super) answers: BTreeMap<String, u64>,
}

/// How requests are told that no route applied to.
const NO_ROUTE: &str = "(none)";

impl Tally {
    pub fn new(prices: TargetPrices) -> Self {
        Self { prices, ..Self::default() }
    }

    /// Entries that the log says it has lost.
    pub fn lost(&mut self, entries: u64) {
        self.lost = self.lost.saturating_add(entries);
    }

    pub fn add(&mut self, time: Stamp, entry: &Entry) {
        self.first.get_or_insert(time);
        self.last = Some(time);
        self.requests += 1;
        *self.codes.entry(entry.code.clone()).or_default() += 1;
        self.decision(entry);
        let route = entry.decision.as_ref().and_then(|decision| decision.route.as_deref()).unwrap_or(NO_ROUTE);
        for refused in &entry.refused {
            self.targets.entry(refused.target.clone()).or_default().refused += 1;
        }
        if !entry.method.completes() {
            return;
        }
        self.completions.add(entry);
        self.routes.entry(route.to_owned()).or_default().add(entry);
        for attempt in &entry.attempts {
            self.targets.entry(attempt.target.clone()).or_default().attempt(attempt);
        }
        if let Some(answer) = &entry.answer {
            let target = self.targets.entry(answer.target.clone()).or_default();
            *target.answers.entry(route.to_owned()).or_default() += 1;
            target.finished += u64::from(matches!(answer.finish.as_str(), "stop" | "tool_calls"));
            self.compare(entry);
        }
    }

    fn decision(&mut self, entry: &Entry) {
        let Some(decision) = &entry.decision else { return };
        self.decided += 1;
        self.cached += u64::from(decision.cached);
        self.decision_times.add(decision.took_us);
        let is_needed =
            matches!(decision.llm.as_str(), "verdict" | "none_applies" | "timeout" | "error" | "no_verdict");
        let has_failed = matches!(decision.llm.as_str(), "timeout" | "error" | "no_verdict");
        self.llm.needed += u64::from(is_needed);
        self.llm.failed += u64::from(has_failed);
        self.llm.asked += u64::from(decision.llm_asked);
        if let Some(cost) = decision.llm_cost_nano {
            self.llm.priced += 1;
            self.llm.cost += Money(cost);
        }
    }

    /// What the last attempt, which brought the answer, would have cost elsewhere.
    fn compare(&mut self, entry: &Entry) {
        let Some(attempt) = entry.attempts.last() else { return };
        let Some((tokens, cost)) = attempt.tokens.zip(attempt.cost_nano) else { return };
        self.comparable += 1;
        self.comparable_cost += Money(cost);
        for (target, prices) in &self.prices.targets {
            // The caches of another provider would not have held the same.
            let usage = Usage::new(tokens.input, tokens.output);
            *self.elsewhere.entry(target.clone()).or_default() += prices.cost(usage);
        }
    }
}

impl Group {
    fn add(&mut self, entry: &Entry) {
        self.requests += 1;
        match entry.code.as_str() {
            "OK" => {
                self.answered += 1;
                self.times.add(entry.took_us);
            }
            "CANCELLED" => self.cancelled += 1,
            _ => self.failed += 1,
        }
        let first = entry.attempts.first().map(|attempt| attempt.target.as_str());
        let answered_by = entry.answer.as_ref().map(|answer| answer.target.as_str());
        self.failed_over += u64::from(answered_by.is_some() && answered_by != first);
        let costs: Vec<u64> = entry.attempts.iter().filter_map(|attempt| attempt.cost_nano).collect();
        self.priced += u64::from(!costs.is_empty());
        self.cost += costs.into_iter().map(Money).sum();
        for Tokens { input, output, .. } in entry.attempts.iter().filter_map(|attempt| attempt.tokens) {
            self.input_tokens = self.input_tokens.saturating_add(input);
            self.output_tokens = self.output_tokens.saturating_add(output);
        }
    }
}

impl TargetTally {
    fn attempt(&mut self, attempt: &Tried) {
        self.attempts += 1;
        self.hedges += u64::from(attempt.hedge);
        self.times.add(attempt.took_us);
        match attempt.outcome.as_str() {
            "ok" => self.ok += 1,
            kind => *self.failures.entry(kind.to_owned()).or_default() += 1,
        }
        if let Some(first_text) = attempt.first_text_us {
            self.first_text.add(first_text);
        }
        if let Some(cost) = attempt.cost_nano {
            self.priced += 1;
            self.cost += Money(cost);
        }
        if let Some(tokens) = attempt.tokens {
            self.input_tokens = self.input_tokens.saturating_add(tokens.input);
            self.output_tokens = self.output_tokens.saturating_add(tokens.output);
            self.cached_input_tokens = self.cached_input_tokens.saturating_add(tokens.cached_input);
        }
    }

    /// Attempts that were not given up by their callers, nor by us for the sake of another.
    pub(super) fn judged(&self) -> u64 {
        self.attempts - self.failures.get("cancelled").copied().unwrap_or(0).min(self.attempts)
    }

    pub(super) fn answered(&self) -> u64 {
        self.answers.values().sum()
    }
}
