//! Targets: their attempts as they end, and their breakers as they are. Labels are names of configured targets, kinds of
//! failure and words of this file.

use std::time::{Duration, Instant};

use prometheus::{CounterVec, Gauge, GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Result};

use super::book::Book;
use super::readings::catch_up;
use crate::dispatch::{Attempt, BreakerState, Cause, Health, Outcome, Standing};

pub(super) struct Targets {
    attempts: IntCounterVec,
    first_text: HistogramVec,
    answer: HistogramVec,
    tokens: IntCounterVec,
    cost: CounterVec,
    hedges: IntCounterVec,
    breaker: IntGaugeVec,
    openings: IntCounterVec,
    refused: IntGaugeVec,
    errors: GaugeVec,
    budget: Gauge,
    budget_refused: IntCounter,
}

impl Targets {
    pub(super) fn new(book: &Book) -> Result<Self> {
        let attempts = "Calls of targets that have ended, by outcome: ok, cancelled (another one was faster, or the caller \
                        has gone) or the kind of failure.";
        let tokens = "Tokens of all attempts by target and kind, read (input) or written (output); of calls that were \
                      cancelled or broke off as estimated.";
        let cost = "What all attempts cost by the targets' prices, in the unit of these.";
        let hedges = "Second attempts beside slow ones, by their target and by whether they brought the answer.";
        let breaker =
            "Breaker of a target. 0: closed, 1: half open, 2: open (it fails, or rests as its provider wished).";
        let refused = "1 if the target's provider refuses its key or does not know its model: the operator has to act.";
        let one = |name: &str, help: &str| book.counters(name, help, &["target"]);
        Ok(Self {
            attempts: book.counters("semroute_target_attempts_total", attempts, &["target", "outcome"])?,
            first_text: book.long_times_by(
                "semroute_target_first_text_duration_seconds",
                "Time from the call of a target to a stream's first text.",
                &["target"],
            )?,
            answer: book.long_times_by(
                "semroute_target_answer_duration_seconds",
                "Time from the call of a target to the end of its answer.",
                &["target"],
            )?,
            tokens: book.counters("semroute_target_tokens_total", tokens, &["target", "kind"])?,
            cost: book.sums("semroute_target_cost_total", cost, &["target"])?,
            hedges: book.counters("semroute_target_hedges_total", hedges, &["target", "result"])?,
            breaker: book.gauges("semroute_target_breaker_state", breaker, &["target"])?,
            openings: one("semroute_target_breaker_openings_total", "Times that a target's breaker has opened.")?,
            refused: book.gauges("semroute_target_refused", refused, &["target"])?,
            errors: book.ratios(
                "semroute_target_error_ratio",
                "Share of failures among a target's newest calls, in [0, 1].",
                &["target"],
            )?,
            budget: book.ratio("semroute_retry_budget", "Retries and hedges that may be made at present.")?,
            budget_refused: book.counter(
                "semroute_retries_refused_total",
                "Retries and hedges that were not made for want of budget.",
            )?,
        })
    }

    /// Shows a target before its first attempt, so that nothing springs from nowhere to one.
    pub(super) fn expect(&self, target: &str) {
        add(&self.attempts, &[target, Outcome::Ok.kind()], 0);
        let _ = self.first_text.get_metric_with_label_values(&[target]);
        let _ = self.answer.get_metric_with_label_values(&[target]);
        let _ = self.cost.get_metric_with_label_values(&[target]);
        ["input", "output"].into_iter().for_each(|kind| add(&self.tokens, &[target, kind], 0));
        ["won", "lost"].into_iter().for_each(|result| add(&self.hedges, &[target, result], 0));
    }

    pub(super) fn count(&self, attempt: &Attempt) {
        let target = attempt.target.as_str();
        add(&self.attempts, &[target, attempt.outcome.kind()], 1);
        if let Some(first_text) = attempt.first_text {
            observe(&self.first_text, target, first_text);
        }
        let answered = attempt.outcome == Outcome::Ok;
        if answered {
            observe(&self.answer, target, attempt.duration);
        }
        if let Some(usage) = attempt.usage {
            add(&self.tokens, &[target, "input"], usage.input_tokens);
            add(&self.tokens, &[target, "output"], usage.output_tokens);
        }
        if let Some((cost, sum)) = attempt.cost.zip(self.cost.get_metric_with_label_values(&[target]).ok()) {
            sum.inc_by(cost.units());
        }
        if attempt.is_hedge {
            add(&self.hedges, &[target, if answered { "won" } else { "lost" }], 1);
        }
    }

    pub(super) fn read(&self, health: &Health) {
        let now = Instant::now();
        for standing in health.standings(now) {
            self.read_one(&standing);
        }
        let (level, refused) = health.retry_budget(now);
        self.budget.set(level);
        catch_up(&self.budget_refused, refused);
    }

    fn read_one(&self, standing: &Standing) {
        let (name, breaker) = (standing.target.as_str(), &standing.breaker);
        let state = match breaker.state {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        let is_refused = matches!(breaker.cause, Some(Cause::Authentication | Cause::UnknownModel));
        for (gauge, value) in [(&self.breaker, state), (&self.refused, i64::from(is_refused))] {
            if let Ok(gauge) = gauge.get_metric_with_label_values(&[name]) {
                gauge.set(value);
            }
        }
        if let Ok(errors) = self.errors.get_metric_with_label_values(&[name]) {
            errors.set(breaker.error_ratio);
        }
        if let Ok(openings) = self.openings.get_metric_with_label_values(&[name]) {
            catch_up(&openings, breaker.openings);
        }
        // Shown from the start, so that rates begin at zero.
        add(&self.attempts, &[name, "ok"], 0);
    }
}

fn add(counters: &IntCounterVec, labels: &[&str], count: u64) {
    if let Ok(counter) = counters.get_metric_with_label_values(labels) {
        counter.inc_by(count);
    }
}

fn observe(times: &HistogramVec, target: &str, time: Duration) {
    if let Ok(times) = times.get_metric_with_label_values(&[target]) {
        times.observe(time.as_secs_f64());
    }
}
