//! The LLM stage, as its budget counts it.

use prometheus::{Counter, Gauge, IntCounter, IntGauge, Result};

use super::book::Book;
use super::readings::catch_up;
use crate::classify::BudgetStats;

/// What the LLM stage does and costs; all zero without one.
pub(super) struct Llm {
    calls: IntCounter,
    in_flight: IntGauge,
    input_tokens: IntCounter,
    output_tokens: IntCounter,
    spent: Counter,
    spent_today: Gauge,
}

impl Llm {
    pub(super) fn new(book: &Book) -> Result<Self> {
        let tokens =
            "Tokens of the LLM stage as its provider reported them, by what was done with them: read or written.";
        let tokens = book.counters("semroute_llm_tokens_total", tokens, &["kind"])?;
        let today = "What the LLM stage spent today (UTC), in the unit of its prices, by all servers on this store.";
        Ok(Self {
            calls: book.counter("semroute_llm_calls_total", "Calls of the LLM stage that its budget admitted.")?,
            in_flight: book.gauge("semroute_llm_calls_in_flight", "Calls of the LLM stage under way.")?,
            input_tokens: tokens.get_metric_with_label_values(&["input"])?,
            output_tokens: tokens.get_metric_with_label_values(&["output"])?,
            spent: book
                .sum("semroute_llm_spend_total", "What this server's LLM stage spent, in the unit of its prices.")?,
            spent_today: book.ratio("semroute_llm_spend_today", today)?,
        })
    }

    pub(super) fn read(&self, stats: BudgetStats) {
        catch_up(&self.calls, stats.calls);
        self.in_flight.set(stats.in_flight as i64);
        catch_up(&self.input_tokens, stats.input_tokens);
        catch_up(&self.output_tokens, stats.output_tokens);
        self.spent.inc_by((stats.spent.units() - self.spent.get()).max(0.0));
        self.spent_today.set(stats.spent_today.units());
    }
}
