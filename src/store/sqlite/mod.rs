//! Reference sets and virtual keys in one SQLite file: the default store, which needs no server.
//!
//! Writes go through one connection, so that tasks of this process queue for it in order; other processes are waited
//! for by SQLite's busy timeout. Each write takes the write lock when it begins: a transaction that reads first and
//! asks for the lock later could not wait for another that does the same. Reads have their own connections, and the
//! write-ahead log keeps either from blocking the other.

mod decision_models;
mod embeddings;
mod fault;
mod key_port;
mod keys;
mod port;
mod prompts;
mod proposals;
mod routes;
mod schema;
mod sets;
mod spend;
#[cfg(test)]
mod tests;
mod value;
mod versions;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use self::fault::Fault;
use self::work::Work;
use crate::reference::{Result, StoreError};

/// How long a call waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call waits for a connection of its own pool, that is for the calls of this process before it.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads at once; more of them queue.
const READERS: u32 = 4;

/// The file and the connections to it. A clone shares them.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    path: Arc<Path>,
    /// The path as errors show it.
    place: Arc<str>,
}

impl SqliteStore {
    /// Opens the file, creating it and its folder where there is none, and brings an older schema to the newest.
    /// The file is read once from end to end to see whether it is whole.
    ///
    /// Errors: `Damaged` if it is not a whole database of this program, `TooNew` if a newer one wrote it,
    /// `Unavailable` if it cannot be read, created or locked.
    pub async fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, BUSY_TIMEOUT).await
    }

    /// A store in a folder that lasts as long as the second value.
    #[cfg(test)]
    pub(crate) async fn temporary() -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Self::open(&folder.path().join("semroute.db")).await.unwrap();
        (store, folder)
    }

    async fn open_with(path: &Path, patience: Duration) -> Result<Self> {
        let doing = "opening it";
        // An absolute path also keeps SQLite from seeing a URI or a special name in a relative one.
        let path = std::path::absolute(path).map_err(|err| unavailable(path, doing, err))?;
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(|err| unavailable(&path, "creating its folder", err))?;
        }
        let place: Arc<str> = path.display().to_string().into();
        let at_place = |fault: Fault| fault.at(&place, doing);

        let options = options(&path).busy_timeout(patience);
        schema::prepare(&options, patience).await.map_err(at_place)?;
        let writer = pool(1).connect_with(options.clone()).await.map_err(|err| at_place(err.into()))?;
        let reading = options.pragma("query_only", "ON");
        let readers = pool(READERS).connect_with(reading).await.map_err(|err| at_place(err.into()))?;
        Ok(Self { writer, readers, path: path.into(), place })
    }

    /// Waits for calls under way and closes the file, whose write-ahead log is then gone. Later calls fail.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn still_there(&self) -> Result<()> {
        let found = tokio::fs::metadata(&self.path).await;
        found.map(drop).map_err(|err| unavailable(&self.path, "looking for its file", err))
    }

    async fn read(&self, doing: &'static str) -> Result<Work> {
        let transaction = self.readers.begin().await.map_err(|err| Fault::from(err).at(&self.place, doing))?;
        Ok(Work::new(transaction, self.place.clone(), doing))
    }

    async fn write(&self, doing: &'static str) -> Result<Work> {
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        let transaction = begun.map_err(|err| Fault::from(err).at(&self.place, doing))?;
        Ok(Work::new(transaction, self.place.clone(), doing))
    }
}

fn unavailable(path: &Path, doing: &'static str, err: std::io::Error) -> StoreError {
    StoreError::Unavailable { place: path.display().to_string(), doing, source: err.into() }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        // With a write-ahead log, FULL is what makes a commit outlive a power cut; NORMAL would lose the last ones.
        .synchronous(SqliteSynchronous::Full)
        // Only macOS knows a difference: there, a plain fsync leaves data in the drive's cache.
        .pragma("fullfsync", "ON")
        // 16 MiB a connection: the indexes of 100,000 prompts.
        .pragma("cache_size", "-16384")
        // Freezing a large set makes a long log; give its space back once it has been copied to the file.
        .pragma("journal_size_limit", "67108864")
        // Errors are logged by whoever handles them.
        .disable_statement_logging()
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(QUEUE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // A full disk makes SQLite end the transaction by itself, and sqlx then counts on for ever that one is open:
        // the next call on the connection would fail. Such a connection is closed instead.
        .after_release(|connection, _| {
            Box::pin(async move {
                // Waits for a rollback that dropping a transaction has queued.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
}
