//! All counts of the budget, changed together under one lock. Time and day are arguments.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::config::BudgetConfig;
use super::rate::Rate;
use super::share::Share;
use super::{BudgetStats, Cap, Day};
use crate::money::Money;
use crate::provider::Usage;

pub(super) struct Ledger {
    pub(super) share: Share,
    rate: Rate,
    most_in_flight: u64,
    pub(super) spend: Spend,
    counts: BudgetStats,
}

impl Ledger {
    pub(super) fn new(config: &BudgetConfig, now: Instant, day: Day) -> Self {
        Self {
            share: Share::new(config.share_cap()),
            rate: Rate::new(config.max_calls_per_second, f64::from(config.burst), now),
            most_in_flight: u64::from(config.max_concurrent),
            spend: Spend::new(config.max_spend_per_day.map(Money::from_units), day),
            counts: BudgetStats::default(),
        }
    }

    /// Takes from all caps, or from none.
    pub(super) fn admit(&mut self, reserved: Money, now: Instant, day: Day) -> Result<(), Cap> {
        // The cap that stays the longest is named first, so that what a metric counts is what an operator can change.
        if !self.spend.has_room(reserved, day) {
            return Err(Cap::Spend);
        }
        if !self.share.has_room() {
            return Err(Cap::Share);
        }
        if self.counts.in_flight >= self.most_in_flight {
            return Err(Cap::Concurrency);
        }
        if !self.rate.has_room(now) {
            return Err(Cap::Rate);
        }
        self.spend.reserve(reserved);
        self.share.take();
        self.rate.take();
        self.counts.in_flight += 1;
        self.counts.calls += 1;
        Ok(())
    }

    pub(super) fn settle(&mut self, reserved: Money, cost: Money, usage: Usage, day: Day) {
        self.spend.settle(reserved, cost, day);
        self.counts.in_flight = self.counts.in_flight.saturating_sub(1);
        self.counts.input_tokens = self.counts.input_tokens.saturating_add(usage.input_tokens);
        self.counts.output_tokens = self.counts.output_tokens.saturating_add(usage.output_tokens);
        self.counts.spent += cost;
    }

    pub(super) fn stats(&mut self, day: Day) -> BudgetStats {
        self.spend.turn_to(day);
        BudgetStats { spent_today: self.spend.spent(), ..self.counts }
    }
}

/// What was spent on the present day. What is reserved is carried over midnight, and charged on the day of the answer.
pub(super) struct Spend {
    cap: Option<Money>,
    day: Day,
    /// Of this day, as the store has it.
    saved: Money,
    reserved: Money,
    /// By day.
    unsaved: BTreeMap<Day, Money>,
}

impl Spend {
    fn new(cap: Option<Money>, day: Day) -> Self {
        Self { cap, day, saved: Money::ZERO, reserved: Money::ZERO, unsaved: BTreeMap::new() }
    }

    /// Days only go forward.
    fn turn_to(&mut self, day: Day) {
        if day > self.day {
            self.day = day;
            self.saved = Money::ZERO;
        }
    }

    fn spent(&self) -> Money {
        self.saved + self.unsaved.get(&self.day).copied().unwrap_or_default()
    }

    fn has_room(&mut self, reserved: Money, day: Day) -> bool {
        self.turn_to(day);
        self.cap.is_none_or(|cap| self.spent() + self.reserved + reserved <= cap)
    }

    fn reserve(&mut self, reserved: Money) {
        self.reserved += reserved;
    }

    fn settle(&mut self, reserved: Money, cost: Money, day: Day) {
        self.turn_to(day);
        self.reserved -= reserved;
        if cost > Money::ZERO {
            *self.unsaved.entry(self.day).or_default() += cost;
        }
    }

    pub(super) fn known(&mut self, day: Day, total: Money, today: Day) {
        self.turn_to(today);
        if day == self.day {
            // A total that was read before another save of ours is too old to be believed.
            self.saved = self.saved.max(total);
        }
    }

    pub(super) fn take_unsaved(&mut self) -> Vec<(Day, Money)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        self.saved += unsaved.get(&self.day).copied().unwrap_or_default();
        unsaved.into_iter().collect()
    }

    pub(super) fn still_unsaved(&mut self, day: Day, spent: Money) {
        *self.unsaved.entry(day).or_default() += spent;
        if day == self.day {
            self.saved -= spent;
        }
    }
}
