//! Writes to the store what keys spend, beside the requests: each second, and at once where a block is used up. Reads
//! there each second what other servers spend: until then they can go over a budget together, by what the others have
//! let through meanwhile. One server alone overdraws a budget only by what its requests under way cost above what was
//! reserved for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::caller::Holder;
use super::follow::Keys;
use super::spend::Save;
use super::store::SpendChange;
use crate::reach::Reach;
use crate::reference::StoreError;

const EVERY: Duration = Duration::from_secs(1);

/// Blocks are not written faster than this.
const PAUSE: Duration = Duration::from_millis(10);

/// Writes until `stop`, and once more then. While the store cannot be written to the limits hold all the same, from
/// memory.
pub async fn follow_key_spend(keys: Keys, stop: CancellationToken) {
    let mut reach = Reach::new("what keys spend cannot be saved", "what keys spend is saved again");
    // Comes however often blocks are asked for in between.
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let round = tokio::select! {
            () = stop.cancelled() => Round::Last,
            _ = ticks.tick() => Round::Regular,
            () = woken(&keys) => Round::Block,
        };
        let done = keys.journal(round).await;
        reach.note(&done);
        if round == Round::Last {
            return;
        }
        if done.is_err() {
            // A store that fails at once would be asked without a pause.
            tokio::time::sleep(EVERY).await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    Regular,
    Block,
    Last,
}

async fn woken(keys: &Keys) {
    keys.ledger().woken().await;
    tokio::time::sleep(PAUSE).await;
}

impl Keys {
    pub(super) async fn journal(&self, round: Round) -> Result<(), StoreError> {
        self.save_spend().await?;
        match round {
            Round::Block => Ok(()),
            Round::Regular => self.read_spend().await,
            // Once more: now that nothing is coming, what is held ahead is given back.
            Round::Last => self.save_spend().await,
        }
    }

    /// Writes what has changed.
    pub(super) async fn save_spend(&self) -> Result<(), StoreError> {
        let today = self.ledger().now().day;
        let saves: Vec<(Arc<Holder>, Save)> = self
            .holders()
            .into_iter()
            .filter_map(|holder| {
                let save = holder.account.plan_save(&holder.key.terms.limits, today)?;
                Some((holder, save))
            })
            .collect();
        if saves.is_empty() {
            return Ok(());
        }
        let changes = saves.iter().flat_map(|(holder, save)| {
            let of_key =
                |(day, change): &(i64, i64)| SpendChange { key: holder.key.id.clone(), day: *day, change: *change };
            save.changes.iter().map(of_key)
        });
        let changes: Vec<SpendChange> = changes.collect();
        let ids: Vec<_> = saves.iter().map(|(holder, _)| holder.key.id.clone()).collect();
        match self.store().journal_spend(&changes, &ids, today).await {
            Ok(totals) => {
                for ((holder, save), total) in saves.iter().zip(totals) {
                    holder.account.saved(save, total.of_day, total.of_month);
                }
                Ok(())
            }
            Err(error) => {
                saves.into_iter().for_each(|(holder, save)| holder.account.not_saved(save));
                Err(error)
            }
        }
    }

    /// Takes over what other servers have spent with the keys that have budgets.
    async fn read_spend(&self) -> Result<(), StoreError> {
        let holders = self.holders();
        let budgeted = holders.iter().filter(|holder| holder.key.terms.limits.has_budget());
        let ids: Vec<_> = budgeted.map(|holder| holder.key.id.clone()).collect();
        self.recall(&ids).await
    }
}
