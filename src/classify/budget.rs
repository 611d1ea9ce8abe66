//! What the LLM stage may cost: caps on its share of the decisions, on its calls a second and at once, and on what it
//! spends a day. A call is admitted or refused at once, nobody waits; over a cap the first stage answers.
//!
//! All caps are looked at and taken in one step under one lock, so that they hold however many ask at the same time. What
//! a call costs is known at its end only: the most that it can cost is reserved before, and what the provider reports is
//! charged after. Days are counted on from the start by the monotonic clock, so that setting the clock moves nothing.

mod config;
mod ledger;
mod rate;
mod save;
mod share;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

pub use config::BudgetConfig;
use ledger::Ledger;
pub use save::follow_spend;

use crate::calendar::{Calendar, Day};
use crate::money::{Money, Prices};
use crate::provider::Usage;

/// The cap that a call would have gone over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Cap {
    #[error("its share of the decisions is used up")]
    Share,
    #[error("its calls a second are used up")]
    Rate,
    #[error("as many calls as are allowed are under way")]
    Concurrency,
    #[error("what it may spend a day is spent, or reserved for calls under way")]
    Spend,
}

/// What was done, since the start but for `spent_today`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetStats {
    /// Calls that were admitted.
    pub calls: u64,
    pub in_flight: u64,
    /// As the provider reported them.
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub spent: Money,
    /// Of the present day (UTC), by every server on the same store as far as they have told.
    pub spent_today: Money,
}

/// Clone it freely.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    ledger: Mutex<Ledger>,
    calendar: Calendar,
    prices: Prices,
}

impl Budget {
    pub fn new(config: &BudgetConfig) -> Self {
        Self::starting(config, Calendar::now())
    }

    fn starting(config: &BudgetConfig, calendar: Calendar) -> Self {
        let now = Instant::now();
        let ledger = Ledger::new(config, now, calendar.day(now));
        Self(Arc::new(Inner { ledger: Mutex::new(ledger), calendar, prices: config.prices() }))
    }

    /// One more decision, with or without the LLM: the share is a share of these.
    pub fn decided(&self) {
        self.ledger().share.decided();
    }

    /// Admits a call that costs at most so many tokens, or names the cap that it would go over.
    pub(super) fn admit(&self, most: Usage) -> Result<Ticket, Cap> {
        let reserved = self.0.prices.cost(most);
        let now = Instant::now();
        let day = self.0.calendar.day(now);
        self.ledger().admit(reserved, now, day)?;
        Ok(Ticket { budget: self.clone(), reserved: Some(reserved) })
    }

    pub fn stats(&self) -> BudgetStats {
        let day = self.today();
        self.ledger().stats(day)
    }

    /// The present day (UTC).
    pub fn today(&self) -> Day {
        self.0.calendar.day(Instant::now())
    }

    /// Takes over what the store knows to have been spent on `day`, by this server and others: what was saved here is
    /// part of it, what was not is added.
    fn known(&self, day: Day, total: Money) {
        let today = self.today();
        self.ledger().spend.known(day, total, today);
    }

    /// What was spent and not saved yet, by day; it counts as saved from now on.
    fn take_unsaved(&self) -> Vec<(Day, Money)> {
        self.ledger().spend.take_unsaved()
    }

    /// What could not be saved after all.
    fn still_unsaved(&self, day: Day, spent: Money) {
        self.ledger().spend.still_unsaved(day, spent);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that was admitted. Dropped without a word it is charged with what was reserved: a call that was given up, or
/// whose answer could not be read, may have to be paid all the same.
#[must_use]
pub(super) struct Ticket {
    budget: Budget,
    /// `None` once it is settled.
    reserved: Option<Money>,
}

impl Ticket {
    /// The call is over. Where the provider did not say what was used, the reservation is taken for it. Returns what
    /// was charged.
    pub(super) fn settle(mut self, usage: Option<Usage>) -> Money {
        let cost = usage.map(|usage| self.budget.0.prices.cost(usage));
        let charged = cost.or(self.reserved).unwrap_or_default();
        self.end(cost, usage.unwrap_or_default());
        charged
    }

    /// The call was never made, or refused: it costs nothing.
    pub(super) fn free(mut self) {
        self.end(Some(Money::ZERO), Usage::default());
    }

    fn end(&mut self, cost: Option<Money>, usage: Usage) {
        let Some(reserved) = self.reserved.take() else { return };
        let day = self.budget.today();
        self.budget.ledger().settle(reserved, cost.unwrap_or(reserved), usage, day);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end(None, Usage::default());
    }
}
