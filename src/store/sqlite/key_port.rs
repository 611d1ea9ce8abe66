//! The port of keys, one transaction a call.

use async_trait::async_trait;

use super::{SqliteStore, keys};
use crate::calendar::Day;
use crate::govern::keys::{KeyId, KeyStamp, KeyStore, SpendChange, SpendTotal, StoredKey};
use crate::reference::Result;

#[async_trait]
impl KeyStore for SqliteStore {
    async fn key_stamp(&self) -> Result<KeyStamp> {
        let mut work = self.read("looking for changes of keys").await?;
        let outcome = keys::stamp(work.connection()).await;
        work.finish(outcome).await
    }

    async fn list_keys(&self) -> Result<Vec<StoredKey>> {
        let mut work = self.read("listing keys").await?;
        let outcome = keys::list(work.connection()).await;
        work.finish(outcome).await
    }

    async fn get_key(&self, id: &KeyId) -> Result<Option<StoredKey>> {
        let mut work = self.read("reading a key").await?;
        let outcome = keys::get(work.connection(), id).await;
        work.finish(outcome).await
    }

    async fn add_key(&self, key: &StoredKey) -> Result<()> {
        let mut work = self.write("writing a key").await?;
        let outcome = keys::add(work.connection(), key).await;
        work.finish(outcome).await
    }

    async fn replace_key(&self, key: &StoredKey) -> Result<bool> {
        let mut work = self.write("changing a key").await?;
        let outcome = keys::replace(work.connection(), key).await;
        work.finish(outcome).await
    }

    async fn journal_spend(&self, changes: &[SpendChange], of: &[KeyId], today: Day) -> Result<Vec<SpendTotal>> {
        let doing = "adding to what keys spent";
        let mut work = if changes.is_empty() { self.read(doing).await? } else { self.write(doing).await? };
        let outcome = keys::journal(work.connection(), changes, of, today).await;
        work.finish(outcome).await
    }
}
