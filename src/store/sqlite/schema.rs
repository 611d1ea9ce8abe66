//! What a file is, whether it is whole, and how it comes to the schema that this program knows.
//!
//! Nothing is written to a file before it is known to be semroute's own or empty.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqlStr, SqliteConnection};

use super::fault::{Fault, is_busy};

/// "smrt"; the first migration writes it.
const APPLICATION_ID: i64 = 0x736d_7274;

/// How long to wait between two attempts at what SQLite does not wait for by itself.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// In order, numbered from 1. Those that are out in the world never change; new ones are added at the end.
const MIGRATIONS: [(&str, &str); 7] = [
    ("reference sets", include_str!("schema/0001_reference_sets.sql")),
    ("decision models", include_str!("schema/0002_decision_models.sql")),
    ("LLM spend", include_str!("schema/0003_llm_spend.sql")),
    ("proposals", include_str!("schema/0004_proposals.sql")),
    ("virtual keys", include_str!("schema/0005_virtual_keys.sql")),
    ("purposes of prompts", include_str!("schema/0006_prompt_purposes.sql")),
    ("known origins", include_str!("schema/0007_known_origins.sql")),
];

enum Found {
    Nothing,
    Schema(i64),
}

/// Checks the file and brings it to the newest schema, waiting up to `patience` for other processes.
pub(super) async fn prepare(options: &SqliteConnectOptions, patience: Duration) -> Result<(), Fault> {
    let mut connection = options.connect().await?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found = inspect(&mut connection).await?;
    if let Found::Schema(found) = found {
        if found > known {
            return Err(Fault::TooNew { found, known });
        }
        expect_whole_pages(&mut connection, options.get_filename()).await?;
        check(&mut connection).await?;
    }
    log_ahead(&mut connection, patience).await?;
    if !matches!(found, Found::Schema(found) if found == known) {
        migrate(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}

/// In one transaction, because another process may be filling the file.
async fn inspect(connection: &mut SqliteConnection) -> Result<Found, Fault> {
    let mut file = connection.begin().await?;
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *file).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *file).await?;
    let found = match (application, tables) {
        (0, 0) => Found::Nothing,
        (APPLICATION_ID, _) => {
            let newest: Option<i64> =
                sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *file).await?;
            Found::Schema(newest.unwrap_or(0))
        }
        _ => return Err(Fault::Damaged("it is the database of another program".to_owned())),
    };
    file.commit().await?;
    Ok(found)
}

/// SQLite reads a last page that was cut off as if it ended in zeros, and finds nothing wrong with its structure. While
/// there is a log, that page may stand in it.
async fn expect_whole_pages(connection: &mut SqliteConnection, path: &Path) -> Result<(), Fault> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let length = async |path: &Path| tokio::fs::metadata(path).await.map_or(0, |metadata| metadata.len());
    if length(Path::new(&log)).await > 0 {
        return Ok(());
    }
    let page: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(connection).await?;
    let page = u64::try_from(page).unwrap_or_default().max(1);
    let found = length(path).await;
    if found.is_multiple_of(page) {
        return Ok(());
    }
    Err(Fault::Damaged(format!("it has {found} bytes, which is no multiple of its page size {page}: it was cut off")))
}

/// Reads the whole file once. Whoever opens a store reads most of it soon after, to build its snapshots.
async fn check(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await?;
    if verdict == "ok" { Ok(()) } else { Err(Fault::Damaged(verdict)) }
}

/// Turns the write-ahead log on, which stays with the file. SQLite's busy timeout does not cover this step.
async fn log_ahead(connection: &mut SqliteConnection, patience: Duration) -> Result<(), Fault> {
    let start = Instant::now();
    loop {
        match sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&mut *connection).await {
            Ok(_) => return Ok(()),
            Err(err) if is_busy(&err) && start.elapsed() < patience => tokio::time::sleep(RETRY_PAUSE).await,
            Err(err) => return Err(err.into()),
        }
    }
}

/// Under the write lock from the start, so that of several processes one migrates and the others find it done.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    // `run` makes a future that the compiler cannot prove to be `Send`; it does nothing else than this.
    migrator().run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    Ok(())
}

fn migrator() -> Migrator {
    let migrations = (1..).zip(MIGRATIONS).map(|(version, (description, sql))| {
        Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, SqlStr::from_static(sql), false)
    });
    Migrator::with_migrations(migrations.collect())
}
