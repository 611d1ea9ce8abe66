//! A key as its owner has it, `srk_<id>_<secret>`, and what is kept of it.
//!
//! What is kept is one BLAKE3 hash. Password hashes are slow because passwords can be guessed; 256 random bits cannot,
//! and a slow hash would be paid for with every request.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use rand::TryRngCore;
use rand::rngs::OsRng;

const PREFIX: &str = "srk_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// Keeps these hashes apart from all others; see [`blake3::derive_key`].
const PURPOSE: &str = "semroute 2026-11 virtual key";

/// Names a key, in lists, logs and metrics: 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no key's id: expected 16 hexadecimal digits")]
pub struct IdError(String);

impl KeyId {
    pub fn new(text: &str) -> Result<Self, IdError> {
        if is_hex(text, ID_BYTES) { Ok(Self(text.into())) } else { Err(IdError(text.chars().take(64).collect())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The whole key. It exists while it is made and shown, and nowhere else; `Debug` prints `***`.
#[derive(Clone)]
pub struct KeySecret(String);

impl KeySecret {
    /// A new secret for a key.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(id: &KeyId) -> Result<Self, rand::rand_core::OsError> {
        Ok(Self(format!("{PREFIX}{id}_{}", random_hex::<SECRET_BYTES>()?)))
    }

    /// To be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A new id.
pub(super) fn new_id() -> Result<KeyId, rand::rand_core::OsError> {
    Ok(KeyId(random_hex::<ID_BYTES>()?.into()))
}

/// What is kept of a key.
#[derive(Debug, Clone, Copy)]
pub struct SecretHash([u8; blake3::OUT_LEN]);

impl SecretHash {
    pub(super) fn of(key: &str) -> Self {
        Self(blake3::derive_key(PURPOSE, key.as_bytes()))
    }

    pub fn from_bytes(bytes: [u8; blake3::OUT_LEN]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Takes as long for hashes that differ early as for those that differ late: so [`blake3::Hash`] compares.
impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}

impl Eq for SecretHash {}

/// The id that a key claims to have; `None` if the text has not the form of a key.
pub(super) fn claimed_id(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
    (is_hex(id, ID_BYTES) && is_hex(secret, SECRET_BYTES)).then_some(id)
}

fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn random_hex<const BYTES: usize>() -> Result<String, rand::rand_core::OsError> {
    let mut bytes = [0; BYTES];
    OsRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_by_its_form_and_never_printed() {
        let id = new_id().unwrap();
        let secret = KeySecret::new(&id).unwrap();
        assert_eq!(claimed_id(secret.reveal()), Some(id.as_str()));
        assert_eq!(format!("{secret:?}"), "***");
        assert_ne!(secret.reveal(), KeySecret::new(&id).unwrap().reveal());
        assert_eq!(KeyId::new(id.as_str()), Ok(id.clone()));
        let whole = secret.reveal();
        let wrong: [String; 8] = [
            String::new(),
            "srk_".to_owned(),
            format!("{whole}0"),
            whole.to_uppercase(),
            whole.replace("srk_", "sk_"),
            whole.replacen('_', "-", 2),
            whole[..whole.len() - 1].into(),
            "sk-proj-abcdef".to_owned(),
        ];
        for wrong in wrong {
            assert_eq!(claimed_id(&wrong), None, "{wrong}");
        }
        assert!(KeyId::new("x").is_err() && KeyId::new(&"A".repeat(16)).is_err());
    }

    #[test]
    fn a_hash_is_of_the_whole_key() {
        let id = KeyId::new("0123456789abcdef").unwrap();
        let secret = KeySecret::new(&id).unwrap();
        assert_eq!(secret.hash(), SecretHash::of(secret.reveal()));
        let other = secret.reveal().replace("0123456789abcdef", "0123456789abcdee");
        assert_ne!(secret.hash(), SecretHash::of(&other));
        assert_ne!(secret.hash().as_bytes(), blake3::hash(secret.reveal().as_bytes()).as_bytes());
    }
}
