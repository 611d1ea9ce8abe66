//! Where reference sets are kept: implementations of [`crate::reference::Store`]. sqlx is named only in here.

#[cfg(test)]
mod contract;
mod sqlite;

pub use sqlite::SqliteStore;
