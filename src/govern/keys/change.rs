//! Changes of keys: by the command line on the store itself, by a server on behalf of an admin.

use super::key::{KeyTerms, VirtualKey};
use super::secret::{KeyId, KeySecret, new_id};
use super::store::{KeyStore, StoredKey};
use super::words::Words;
use crate::reference::StoreError;

/// Attempts at a change that others change the key under.
const ATTEMPTS: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("key {0} does not exist")]
    Unknown(KeyId),
    #[error("key {0} is revoked, and stays so: create another one")]
    Revoked(KeyId),
    #[error("{}", .0.iter().map(|(field, what)| format!("{field} {what}")).collect::<Vec<_>>().join("; "))]
    Faults(Vec<(String, String)>),
    #[error("key {0} is being changed by others all the time")]
    Contended(KeyId),
    #[error("the system gives no random numbers")]
    Random(#[from] rand::rand_core::OsError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Result<T> = std::result::Result<T, KeyError>;

/// Makes a key of known words; `now` is in seconds since the Unix epoch. The secret is kept nowhere.
pub async fn create(store: &dyn KeyStore, words: &Words, terms: KeyTerms, now: i64) -> Result<(VirtualKey, KeySecret)> {
    check(terms.faults().into_iter().chain(words.unknown(&terms)))?;
    let id = new_id()?;
    let secret = KeySecret::new(&id)?;
    let key = VirtualKey { id, terms, created_at: now, revoked_at: None, revision: 1 };
    store.add_key(&StoredKey { key: key.clone(), hash: secret.hash() }).await?;
    Ok((key, secret))
}

/// Changes what an operator sets. Words that have become unknown since they were set may stay, but none may be added.
pub async fn change(
    store: &dyn KeyStore,
    words: &Words,
    id: &KeyId,
    edit: impl Fn(&mut KeyTerms) + Send + Sync,
) -> Result<VirtualKey> {
    replace(store, id, |stored| {
        let before = stored.key.terms.clone();
        edit(&mut stored.key.terms);
        let added = words.added(&before, &stored.key.terms);
        check(stored.key.terms.faults().into_iter().chain(added))
    })
    .await
}

/// Ends a key for good. One that is revoked already stays as it is.
pub async fn revoke(store: &dyn KeyStore, id: &KeyId, now: i64) -> Result<VirtualKey> {
    let revoked = replace(store, id, |stored| {
        stored.key.revoked_at = Some(now);
        Ok(())
    });
    match revoked.await {
        Err(KeyError::Revoked(_)) => match store.get_key(id).await? {
            Some(stored) => Ok(stored.key),
            None => Err(KeyError::Unknown(id.clone())),
        },
        outcome => outcome,
    }
}

/// Gives a key a new secret; the one before ends at once. Id, limits and what was spent stay.
pub async fn rotate(store: &dyn KeyStore, id: &KeyId) -> Result<(VirtualKey, KeySecret)> {
    let secret = KeySecret::new(id)?;
    let hash = secret.hash();
    let key = replace(store, id, |stored| {
        stored.hash = hash;
        Ok(())
    })
    .await?;
    Ok((key, secret))
}

async fn replace(
    store: &dyn KeyStore,
    id: &KeyId,
    edit: impl Fn(&mut StoredKey) -> Result<()> + Send + Sync,
) -> Result<VirtualKey> {
    for _ in 0..ATTEMPTS {
        let mut stored = store.get_key(id).await?.ok_or_else(|| KeyError::Unknown(id.clone()))?;
        if stored.key.revoked_at.is_some() {
            return Err(KeyError::Revoked(id.clone()));
        }
        edit(&mut stored)?;
        stored.key.revision += 1;
        if store.replace_key(&stored).await? {
            return Ok(stored.key);
        }
    }
    Err(KeyError::Contended(id.clone()))
}

fn check(faults: impl Iterator<Item = (String, String)>) -> Result<()> {
    let faults: Vec<_> = faults.collect();
    if faults.is_empty() { Ok(()) } else { Err(KeyError::Faults(faults)) }
}
