//! What a key has taken of its limits, changed under one lock, so that they hold however many ask at the same time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::Refused;
use super::key::Limits;
use super::spend::{Relief, Save, Shortage, Spend};
use super::window::Window;
use crate::calendar::Day;
use crate::money::Money;

/// Outlives changes of its key: limits are arguments.
#[derive(Debug)]
pub(super) struct Account(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    requests: Window,
    tokens: Window,
    under_way: u64,
    spend: Spend,
}

/// When something happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Since the Unix epoch, by the calendar.
    pub(super) date: Duration,
    pub(super) day: Day,
}

/// What was taken for a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) tokens: u64,
    pub(super) money: Money,
    pub(super) at: Duration,
}

/// Why nothing was taken.
pub(super) enum Short {
    Refused(Refused),
    Money(Shortage),
}

impl Account {
    pub(super) fn new(day: Day) -> Self {
        Self(Mutex::new(Counts {
            requests: Window::default(),
            tokens: Window::default(),
            under_way: 0,
            spend: Spend::new(day),
        }))
    }

    /// A call of so many requests begins: [`Account::leave`] must follow.
    pub(super) fn enter(&self, requests: u64, limits: &Limits, now: Moment) -> Result<(), Refused> {
        let mut counts = self.lock();
        if let Some(limit) = limits.max_concurrent.filter(|limit| counts.under_way >= *limit) {
            return Err(Refused::Concurrency { limit });
        }
        if let Some(limit) = limits.requests_per_minute {
            let refused = |wait| {
                let retry_after = (requests <= limit).then_some(wait);
                Refused::Requests { limit, needed: requests, retry_after }
            };
            counts.requests.take(requests, limit, now.date).map_err(refused)?;
        }
        counts.under_way += 1;
        Ok(())
    }

    pub(super) fn leave(&self) {
        let mut counts = self.lock();
        counts.under_way = counts.under_way.saturating_sub(1);
    }

    /// Takes tokens and money, or neither. Says whether the store should soon be written ahead.
    pub(super) fn take(&self, taken: Taken, limits: &Limits, day: Day) -> Result<bool, Short> {
        let mut counts = self.lock();
        // Money first: it stays gone for longer, and what it refuses has not used up tokens.
        counts.spend.reserve(taken.money, limits, day).map_err(Short::Money)?;
        if let Some(limit) = limits.tokens_per_minute
            && let Err(retry_after) = counts.tokens.take(taken.tokens, limit, taken.at)
        {
            counts.spend.settle(taken.money, Money::ZERO, day);
            return Err(Short::Refused(Refused::Tokens { limit, needed: taken.tokens, retry_after }));
        }
        Ok(counts.spend.wants_block())
    }

    pub(super) fn settle(&self, taken: Taken, cost: Money, tokens: u64, day: Day) {
        let mut counts = self.lock();
        counts.spend.settle(taken.money, cost, day);
        counts.tokens.correct(taken.at, taken.tokens, tokens);
    }

    pub(super) fn charge(&self, cost: Money, day: Day) {
        self.lock().spend.charge(cost, day);
    }

    pub(super) fn spent(&self, day: Day) -> (Money, Money) {
        self.lock().spend.spent(day)
    }

    /// Requests, tokens and money of day and month that are left, where they are limited.
    pub(super) fn left(&self, limits: &Limits, now: Moment) -> (Option<u64>, Option<u64>, [Option<Money>; 2]) {
        let mut counts = self.lock();
        let requests = limits.requests_per_minute.map(|limit| counts.requests.left(limit, now.date));
        let tokens = limits.tokens_per_minute.map(|limit| counts.tokens.left(limit, now.date));
        let (day, month) = counts.spend.left(limits, now.day);
        (requests, tokens, [day, month])
    }

    pub(super) fn plan_save(&self, limits: &Limits, day: Day) -> Option<Save> {
        self.lock().spend.plan_save(limits, day)
    }

    pub(super) fn saved(&self, save: &Save, of_day: Money, of_month: Money) {
        self.lock().spend.saved(save, of_day, of_month);
    }

    pub(super) fn not_saved(&self, save: Save) {
        self.lock().spend.not_saved(save);
    }

    pub(super) fn known(&self, day: Day, of_day: Money, of_month: Money) {
        self.lock().spend.known(day, of_day, of_month);
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shortage {
    /// As an answer to the caller; `next_period` is how long until the budget begins anew.
    pub(super) fn told(self, next_period: Duration) -> Refused {
        let retry_after = match self.relief {
            Relief::RequestsUnderWay => Some(SOON),
            Relief::NextPeriod => Some(next_period),
            Relief::Never => None,
        };
        self.refused(retry_after)
    }
}

/// Requests under way end at any time; there is no telling when.
const SOON: Duration = Duration::from_secs(1);
