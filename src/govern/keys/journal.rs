//! Writes to the store what keys spend, beside the requests: each second, and at once where a block is used up.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::caller::Holder;
use super::follow::Keys;
use super::spend::Save;
use super::store::SpendChange;
use crate::reference::StoreError;
use crate::telemetry::chain;

const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Blocks are not written faster than this.
const PAUSE: Duration = Duration::from_millis(10);

/// How often what other servers spent is asked for: every so many rounds of a server at rest.
const READ_EVERY: u32 = 10;

/// Writes until `stop`, and once more then. A store that cannot be written to is logged when it goes and when it comes
/// back; the limits hold all the same, from memory.
pub async fn follow_key_spend(keys: Keys, stop: CancellationToken) {
    let (mut reachable, mut rounds) = (true, 0u32);
    loop {
        let last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(SAVE_EVERY) => false,
            () = woken(&keys) => false,
        };
        rounds = rounds.wrapping_add(1);
        let mut saved = keys.save_spend().await;
        if last && saved.is_ok() {
            // Once more: now that nothing is coming, what is held ahead is given back.
            saved = keys.save_spend().await;
        }
        if matches!(saved, Ok(false)) && !last && rounds.is_multiple_of(READ_EVERY) {
            saved = keys.read_spend().await.map(|()| false);
        }
        match saved {
            Ok(_) if !reachable => {
                tracing::info!("what keys spend is saved again");
                reachable = true;
            }
            Ok(_) => {}
            Err(error) if reachable => {
                tracing::error!(error = %chain(&error), "what keys spend cannot be saved");
                reachable = false;
            }
            Err(_) => {}
        }
        if last {
            return;
        }
        if !reachable {
            // A store that fails at once would be asked without a pause.
            tokio::time::sleep(SAVE_EVERY).await;
        }
    }
}

async fn woken(keys: &Keys) {
    keys.ledger().woken().await;
    tokio::time::sleep(PAUSE).await;
}

impl Keys {
    /// Writes what has changed; returns whether anything had.
    pub(super) async fn save_spend(&self) -> Result<bool, StoreError> {
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
            return Ok(false);
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
                Ok(true)
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
