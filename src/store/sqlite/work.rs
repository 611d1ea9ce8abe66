//! One call of the port as one transaction.

use std::sync::Arc;

use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::fault::Fault;
use crate::reference::Result;

/// A transaction under way. Dropped without [`Work::finish`] it is rolled back.
pub(super) struct Work {
    transaction: Transaction<'static, Sqlite>,
    place: Arc<str>,
    doing: &'static str,
}

impl Work {
    pub(super) fn new(transaction: Transaction<'static, Sqlite>, place: Arc<str>, doing: &'static str) -> Self {
        Self { transaction, place, doing }
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Commits what succeeded, rolls back what failed, and gives the fault its place.
    pub(super) async fn finish<T>(self, outcome: std::result::Result<T, Fault>) -> Result<T> {
        let Self { transaction, place, doing } = self;
        let outcome = match outcome {
            Ok(value) => transaction.commit().await.map(|()| value).map_err(Fault::from),
            Err(fault) => {
                // SQLite ends some transactions by itself, on a full disk for example, and then has nothing to roll
                // back. A connection that is left inside a transaction is closed when the pool gets it back.
                transaction.rollback().await.ok();
                Err(fault)
            }
        };
        outcome.map_err(|fault| fault.at(&place, doing))
    }
}
