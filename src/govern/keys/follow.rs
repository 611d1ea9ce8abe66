//! The keys that this server knows, kept equal to those in the store, whoever changes them there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::caller::{Caller, Holder};
use super::config::{AuthConfig, AuthMode};
use super::error::Unauthenticated;
use super::ledger::Ledger;
use super::secret::KeyId;
use super::store::{KeyStamp, KeyStore};
use super::table::Table;
use crate::calendar::unix_now;
use crate::reach::Reach;
use crate::reference::StoreError;

/// How often the store is asked whether a key has changed: a revocation is known everywhere in this time.
const POLL: Duration = Duration::from_millis(500);

/// Keys whose spending is read in one call.
const BATCH: usize = 256;

/// Clone it freely.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    store: Arc<dyn KeyStore>,
    table: ArcSwap<Table>,
    /// Of the table. Held while the table is replaced.
    stamp: Mutex<KeyStamp>,
    ledger: Ledger,
    config: AuthConfig,
}

impl Keys {
    /// With all keys of the store, and what they have spent.
    pub async fn open(store: Arc<dyn KeyStore>, ledger: Ledger, config: AuthConfig) -> Result<Self, StoreError> {
        let (table, stamp) = (ArcSwap::default(), Mutex::default());
        let keys = Self(Arc::new(Inner { store, table, stamp, ledger, config }));
        keys.refresh().await?;
        Ok(keys)
    }

    pub fn config(&self) -> &AuthConfig {
        &self.0.config
    }

    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    pub fn store(&self) -> &Arc<dyn KeyStore> {
        &self.0.store
    }

    /// Who calls, by what he sent as `authorization`. Anyone may call where keys are not asked for.
    pub fn authenticate(&self, authorization: Option<&[u8]>) -> Result<Caller, Unauthenticated> {
        match self.0.config.mode {
            AuthMode::Off => Ok(Caller::anyone()),
            AuthMode::Required => {
                let found = bearer(authorization).and_then(|key| self.0.table.load().find(key, unix_now()));
                found.inspect_err(|why| self.0.ledger.counts().unauthenticated(*why))
            }
        }
    }

    /// Takes over what has changed in the store, and ends the calls of keys that have ended.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let renewed = self.renew().await;
        // Keys expire while the store is out of reach, too.
        self.0.table.load().end_overdue(unix_now());
        renewed
    }

    async fn renew(&self) -> Result<(), StoreError> {
        if self.0.store.key_stamp().await? != *self.lock() {
            let stored = self.0.store.list_keys().await?;
            let before = self.0.table.load_full();
            let is_new = |id: &&KeyId| before.holder(id).is_none();
            let new: Vec<KeyId> = stored.iter().map(|stored| &stored.key.id).filter(is_new).cloned().collect();
            self.recall(&new).await?;
            let stamp = KeyStamp::of(&stored);
            let mut present = self.lock();
            // Another refresh may have been faster, and may have seen more.
            if stamp > *present {
                let before = self.0.table.load_full();
                let table = before.renewed(stored, |id| self.0.ledger.account(id));
                table.end_others(&before);
                self.0.table.store(Arc::new(table));
                *present = stamp;
            }
        }
        Ok(())
    }

    /// Refreshes until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        let reach = Reach::new("keys cannot be read; those that are known stay in use", "keys can be read again");
        reach.follow(POLL, stop, || self.refresh()).await;
    }

    /// What each key has spent today, in the order of their ids.
    pub fn spent_today(&self) -> Vec<(KeyId, crate::money::Money)> {
        let day = self.0.ledger.now().day;
        let mut spent: Vec<_> =
            self.holders().iter().map(|holder| (holder.key.id.clone(), holder.account.spent(day).0)).collect();
        spent.sort();
        spent
    }

    /// Reads what the keys have spent, by this server before its start and by others.
    pub(super) async fn recall(&self, ids: &[KeyId]) -> Result<(), StoreError> {
        let today = self.0.ledger.now().day;
        for batch in ids.chunks(BATCH) {
            for total in self.0.store.journal_spend(&[], batch, today).await? {
                self.0.ledger.account(&total.key).known(today, total.of_day, total.of_month);
            }
        }
        Ok(())
    }

    pub(super) fn holders(&self) -> Vec<Arc<Holder>> {
        self.0.table.load().holders().map(Arc::clone).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, KeyStamp> {
        self.0.stamp.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key out of `Bearer <key>`; the scheme may be written in any case,
/// <https://www.rfc-editor.org/rfc/rfc9110#section-11.1>.
fn bearer(authorization: Option<&[u8]>) -> Result<&str, Unauthenticated> {
    let value = authorization.ok_or(Unauthenticated::Missing)?;
    let text = std::str::from_utf8(value).map_err(|_| Unauthenticated::Malformed)?;
    let (scheme, key) = text.split_once(' ').ok_or(Unauthenticated::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(key.trim()) } else { Err(Unauthenticated::Malformed) }
}
