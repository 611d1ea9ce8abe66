//! What a call holds of its key's limits, and gives back.

use std::sync::Arc;

use super::account::{Account, Taken};
use super::ledger::Ledger;
use crate::money::Money;

/// A call under way. It has left when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Entered(Option<Arc<Account>>);

impl Entered {
    pub(super) fn free() -> Self {
        Self(None)
    }

    pub(super) fn new(account: Arc<Account>) -> Self {
        Self(Some(account))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(account) = &self.0 {
            account.leave();
        }
    }
}

/// What one request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    pub money: Money,
    pub tokens: u64,
}

/// Tokens and money for one request. Dropped without a word it is charged wholly if anything was sent, since that may
/// have to be paid, and otherwise not at all.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    held: Option<Held>,
    begun: bool,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) account: Arc<Account>,
    pub(super) ledger: Ledger,
    pub(super) taken: Taken,
}

impl Reservation {
    pub(super) fn free() -> Self {
        Self { held: None, begun: false }
    }

    pub(super) fn new(held: Held) -> Self {
        Self { held: Some(held), begun: false }
    }

    /// From here on something may have been sent.
    pub fn begun(&mut self) {
        self.begun = true;
    }

    pub fn reserved(&self) -> Amount {
        self.held
            .as_ref()
            .map_or_else(Amount::default, |held| Amount { money: held.taken.money, tokens: held.taken.tokens })
    }

    /// The request is over, and took this.
    pub fn settle(mut self, money: Money, tokens: u64) {
        self.end(Some(money), Some(tokens));
    }

    fn end(&mut self, cost: Option<Money>, tokens: Option<u64>) {
        let Some(Held { account, ledger, taken }) = self.held.take() else { return };
        account.settle(taken, cost.unwrap_or(taken.money), tokens.unwrap_or(taken.tokens), ledger.now().day);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let unsent = !self.begun;
        self.end(unsent.then_some(Money::ZERO), unsent.then_some(0));
    }
}
