//! The port through which keys are kept. The contract of [`crate::reference::Store`] holds for its calls too: what
//! returned `Ok` is durable, what returned `Err` changed nothing.

use async_trait::async_trait;

use super::key::VirtualKey;
use super::secret::{KeyId, SecretHash};
use crate::calendar::Day;
use crate::money::Money;
use crate::reference::Result;

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredKey {
    pub key: VirtualKey,
    pub hash: SecretHash,
}

/// The sum of the revisions of all keys: it grows with every change, and with every new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct KeyStamp(pub u64);

impl KeyStamp {
    pub(super) fn of(keys: &[StoredKey]) -> Self {
        Self(keys.iter().map(|stored| stored.key.revision).fold(0, u64::saturating_add))
    }
}

/// A change of what a key has spent on a day, in billionths of the unit of prices; negative where too much was held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendChange {
    pub key: KeyId,
    pub day: Day,
    pub change: i64,
}

/// What a key has spent, whichever server it spent it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendTotal {
    pub key: KeyId,
    pub of_day: Money,
    /// Of the day's month, up to the day.
    pub of_month: Money,
}

#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Cheap; asked several times a second.
    async fn key_stamp(&self) -> Result<KeyStamp>;
    /// All keys, those that have ended too, oldest first. Keys are never removed.
    async fn list_keys(&self) -> Result<Vec<StoredKey>>;
    async fn get_key(&self, id: &KeyId) -> Result<Option<StoredKey>>;
    /// A key that is not there yet.
    async fn add_key(&self, key: &StoredKey) -> Result<()>;
    /// Writes the key if the revision before it still stands there; returns whether it did.
    async fn replace_key(&self, key: &StoredKey) -> Result<bool>;
    /// Adds the changes, all in one transaction, and returns what each of the keys has then spent on `today` and in
    /// its month. Sums do not go below zero. Days that are 400 older than `today` are forgotten. Without changes it
    /// writes nothing.
    async fn journal_spend(&self, changes: &[SpendChange], keys: &[KeyId], today: Day) -> Result<Vec<SpendTotal>>;
}
