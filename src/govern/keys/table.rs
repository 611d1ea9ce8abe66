//! The keys in memory: what a request is looked up in. Pure, the time is an argument.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::SetOnce;

use super::account::Account;
use super::caller::{Caller, Holder};
use super::error::Unauthenticated;
use super::secret::{KeyId, SecretHash, claimed_id};
use super::store::StoredKey;

/// Never changes; a change makes a new one.
#[derive(Debug, Default)]
pub(super) struct Table(HashMap<KeyId, Entry>);

#[derive(Debug)]
struct Entry {
    hash: SecretHash,
    holder: Arc<Holder>,
}

impl Table {
    /// What the store has now, with the accounts of the keys that were there before. `account` makes those of new ones.
    pub(super) fn renewed(&self, stored: Vec<StoredKey>, account: impl Fn(&KeyId) -> Arc<Account>) -> Self {
        let entries = stored.into_iter().map(|StoredKey { key, hash }| {
            let known = self.0.get(&key.id).filter(|known| known.hash == hash);
            // Not with another secret: whoever holds the old one is not known any more. Nor after an end, which need not
            // be one for good: an operator may have moved the date.
            let ended = known.map(|known| known.holder.ended.clone()).filter(|ended| !ended.initialized());
            let ended = ended.unwrap_or_else(|| Arc::new(SetOnce::new()));
            let account = account(&key.id);
            (key.id.clone(), Entry { hash, holder: Arc::new(Holder { key, account, ended }) })
        });
        Self(entries.collect())
    }

    /// Ends what is to end when this table takes the place of `before`.
    pub(super) fn end_others(&self, before: &Self) {
        for (id, entry) in &before.0 {
            let stays = self.0.get(id).is_some_and(|now| now.hash == entry.hash);
            if !stays {
                // If it has ended already, that is why.
                let _ = entry.holder.ended.set(Unauthenticated::Revoked);
            }
        }
    }

    /// Ends the calls of keys that are revoked or expired; `now` in seconds since the Unix epoch.
    pub(super) fn end_overdue(&self, now: i64) {
        for Entry { holder, .. } in self.0.values() {
            if let Some(why) = ended(holder, now).filter(|_| !holder.ended.initialized()) {
                let _ = holder.ended.set(why);
            }
        }
    }

    /// Who holds the key. A wrong secret is told from an unknown id neither by the answer nor by the time it takes.
    pub(super) fn find(&self, key: &str, now: i64) -> Result<Caller, Unauthenticated> {
        let id = claimed_id(key).ok_or(Unauthenticated::Malformed)?;
        let presented = SecretHash::of(key);
        let entry = self.0.get(id);
        // Without an entry it is compared all the same, with what it cannot be.
        let against = entry.map_or_else(|| SecretHash::of(""), |entry| entry.hash);
        let holder = match entry {
            Some(entry) if presented == against => &entry.holder,
            _ => return Err(Unauthenticated::Unknown),
        };
        match ended(holder, now) {
            Some(why) => Err(why),
            None => Ok(Caller::holding(Arc::clone(holder))),
        }
    }

    pub(super) fn holders(&self) -> impl Iterator<Item = &Arc<Holder>> {
        self.0.values().map(|entry| &entry.holder)
    }

    pub(super) fn holder(&self, id: &KeyId) -> Option<&Arc<Holder>> {
        self.0.get(id).map(|entry| &entry.holder)
    }
}

fn ended(holder: &Holder, now: i64) -> Option<Unauthenticated> {
    if holder.key.revoked_at.is_some() {
        return Some(Unauthenticated::Revoked);
    }
    holder.key.terms.expires_at.is_some_and(|at| at <= now).then_some(Unauthenticated::Expired)
}
