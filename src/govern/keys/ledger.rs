//! All accounts, and the clock and calendar that they go by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::account::{Account, Moment, Short, Taken};
use super::caller::Caller;
use super::counts::KeyCounts;
use super::error::{Period, Refused};
use super::estimate::Estimate;
use super::reservation::{Entered, Held, Reservation};
use super::secret::KeyId;
use crate::calendar::{Calendar, Day, next_month};
use crate::money::Money;

/// Clone it freely.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    accounts: Mutex<HashMap<KeyId, Arc<Account>>>,
    calendar: Calendar,
    /// The store is to be written ahead.
    wake: Notify,
    counts: KeyCounts,
}

/// What a key has left; `None` where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remainder {
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
    pub money_day: Option<Money>,
    pub money_month: Option<Money>,
}

impl Ledger {
    pub fn new(calendar: Calendar) -> Self {
        let (accounts, wake, counts) = (Mutex::default(), Notify::new(), KeyCounts::default());
        Self(Arc::new(Inner { accounts, calendar, wake, counts }))
    }

    /// A call of so many requests begins, and ends with what is returned.
    pub fn enter(&self, caller: &Caller, requests: u64) -> Result<Entered, Refused> {
        let Some(holder) = caller.holder() else { return Ok(Entered::free()) };
        let entered = holder.account.enter(requests, &holder.key.terms.limits, self.now());
        entered.inspect_err(|refused| self.0.counts.refused(refused))?;
        Ok(Entered::new(Arc::clone(&holder.account)))
    }

    /// Takes what a request is estimated to cost from the caller's limits, all or nothing. What it turns out to cost
    /// above that, as by attempts after those that failed, is charged all the same. Tokens beyond the limit itself are
    /// not asked for: such a request needs a minute in which nothing else was sent.
    pub fn reserve(&self, caller: &Caller, estimate: Estimate) -> Result<Reservation, Refused> {
        let Some(holder) = caller.holder() else { return Ok(Reservation::free()) };
        let taken = self.take(holder, estimate).inspect_err(|refused| self.0.counts.refused(refused))?;
        Ok(Reservation::new(Held { account: Arc::clone(&holder.account), ledger: self.clone(), taken }))
    }

    /// The same for what a request can do without: nothing is refused if there is no room.
    pub fn reserve_if_room(&self, caller: &Caller, estimate: Estimate) -> Option<Reservation> {
        let Some(holder) = caller.holder() else { return Some(Reservation::free()) };
        let taken = self.take(holder, estimate).ok()?;
        Some(Reservation::new(Held { account: Arc::clone(&holder.account), ledger: self.clone(), taken }))
    }

    fn take(&self, holder: &super::caller::Holder, estimate: Estimate) -> Result<Taken, Refused> {
        let limits = holder.key.terms.limits;
        let money = match estimate.money {
            Some(money) => money,
            None if limits.has_budget() => return Err(Refused::Unpriced),
            None => Money::ZERO,
        };
        let now = self.now();
        let tokens = limits.tokens_per_minute.map_or(estimate.tokens, |limit| estimate.tokens.min(limit));
        let taken = Taken { tokens, money, at: now.date };
        match holder.account.take(taken, &limits, now.day) {
            Ok(wants_block) => {
                if wants_block {
                    self.0.wake.notify_one();
                }
                Ok(taken)
            }
            Err(Short::Refused(refused)) => Err(refused),
            Err(Short::Money(shortage)) => {
                let next = match shortage.period {
                    Period::Day => now.day + 1,
                    Period::Month => next_month(now.day),
                };
                Err(shortage.told(self.0.calendar.until(next, Instant::now())))
            }
        }
    }

    /// Money that was spent for a caller without a reservation, such as that of the LLM stage, which has a budget of
    /// its own. It can take a key over its budget by what one such call costs.
    pub fn charge(&self, caller: &Caller, cost: Money) {
        if let Some(holder) = caller.holder() {
            holder.account.charge(cost, self.now().day);
        }
    }

    pub fn remainder(&self, caller: &Caller) -> Remainder {
        let Some(holder) = caller.holder() else { return Remainder::default() };
        let (requests, tokens, [money_day, money_month]) = holder.account.left(&caller.limits(), self.now());
        Remainder { requests, tokens, money_day, money_month }
    }

    pub fn counts(&self) -> &KeyCounts {
        &self.0.counts
    }

    /// The present day (UTC).
    pub fn today(&self) -> Day {
        self.now().day
    }

    pub(super) fn now(&self) -> Moment {
        let now = Instant::now();
        Moment { date: self.0.calendar.date(now), day: self.0.calendar.day(now) }
    }

    /// That of a key, made if there is none.
    pub(super) fn account(&self, id: &KeyId) -> Arc<Account> {
        let mut accounts = self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let day = self.now().day;
        Arc::clone(accounts.entry(id.clone()).or_insert_with(|| Arc::new(Account::new(day))))
    }

    /// Until the store is to be written ahead.
    pub(super) async fn woken(&self) {
        self.0.wake.notified().await;
    }
}
