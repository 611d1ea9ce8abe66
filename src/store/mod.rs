//! Where reference sets and keys are kept: implementations of [`crate::reference::Store`] and
//! [`crate::govern::keys::KeyStore`]. sqlx is named only in here.

#[cfg(test)]
mod contract;
mod sqlite;

pub use sqlite::SqliteStore;
