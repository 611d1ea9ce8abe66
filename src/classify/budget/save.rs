//! What was spent today outlives a restart: it is written to the store from time to time, never while a request waits.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Budget;
use crate::money::Money;
use crate::reach::Reach;
use crate::reference::{Store, StoreError};

/// What a killed server forgets at most, beside the calls that were under way.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How often what other servers spent is asked for while this one spends nothing.
const READ_EVERY: u32 = 10;

impl Budget {
    /// Takes over what was spent today before this start.
    pub async fn recall(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.add(store, self.today(), Money::ZERO).await
    }

    async fn add(&self, store: &dyn Store, day: super::Day, spent: Money) -> Result<(), StoreError> {
        let total = store.add_llm_spend(day, spent.0).await?;
        self.known(day, Money(total));
        Ok(())
    }

    /// Saves what was spent since the last time. What could not be saved is kept for the next.
    async fn save(&self, store: &dyn Store) -> Result<bool, StoreError> {
        let unsaved = self.take_unsaved();
        let some = !unsaved.is_empty();
        let mut failed = None;
        for (day, spent) in unsaved {
            if failed.is_some() {
                self.still_unsaved(day, spent);
            } else if let Err(error) = self.add(store, day, spent).await {
                self.still_unsaved(day, spent);
                failed = Some(error);
            }
        }
        failed.map_or(Ok(some), Err)
    }
}

/// Saves until `stop`, and once more then. While the store cannot be written to the caps hold all the same, from
/// memory.
pub async fn follow_spend(budget: Budget, store: Arc<dyn Store>, stop: CancellationToken) {
    let mut reach = Reach::new("what the LLM stage spends cannot be saved", "what the LLM stage spends is saved again");
    let mut rounds = 0u32;
    loop {
        let last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(SAVE_EVERY) => false,
        };
        rounds = rounds.wrapping_add(1);
        let mut saved = budget.save(store.as_ref()).await;
        if matches!(saved, Ok(false)) && !last && rounds.is_multiple_of(READ_EVERY) {
            saved = budget.recall(store.as_ref()).await.map(|()| false);
        }
        reach.note(&saved);
        if last {
            return;
        }
    }
}
