//! What goes wrong below the port, before it is known where and during what.

use sqlx::migrate::MigrateError;

use crate::reference::{NameError, StoreError};

/// SQLite's primary result codes, <https://www.sqlite.org/rescode.html>.
const BUSY: i32 = 5;
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;

/// Why a piece of work did not happen.
#[derive(Debug)]
pub(super) enum Fault {
    /// An answer of the port, as it stands.
    Refused(StoreError),
    Sql(sqlx::Error),
    /// What was found in the file cannot have been written there by this program.
    Damaged(String),
    TooNew {
        found: i64,
        known: i64,
    },
}

impl Fault {
    /// The port's error for this fault, met in the file at `place` while `doing`.
    pub(super) fn at(self, place: &str, doing: &'static str) -> StoreError {
        let place = place.to_owned();
        match self {
            Self::Refused(refusal) => refusal,
            Self::Damaged(what) => StoreError::Damaged { place, what },
            Self::TooNew { found, known } => StoreError::TooNew { place, found, known },
            Self::Sql(source) if shows_damage(&source) => StoreError::Damaged { place, what: source.to_string() },
            Self::Sql(source) => StoreError::Unavailable { place, doing, source: Box::new(source) },
        }
    }
}

/// Whether another connection held the file longer than this one was told to wait.
pub(super) fn is_busy(err: &sqlx::Error) -> bool {
    primary_code(err) == Some(BUSY)
}

/// SQLite noticed itself, or a value has not the type or the form in which it is written.
fn shows_damage(err: &sqlx::Error) -> bool {
    match err {
        sqlx::Error::Database(_) => matches!(primary_code(err), Some(CORRUPT | NOT_A_DATABASE)),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}

/// The lowest byte of an extended result code.
fn primary_code(err: &sqlx::Error) -> Option<i32> {
    let extended: i32 = err.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

impl From<sqlx::Error> for Fault {
    fn from(err: sqlx::Error) -> Self {
        Self::Sql(err)
    }
}

impl From<StoreError> for Fault {
    fn from(refusal: StoreError) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NameError> for Fault {
    fn from(err: NameError) -> Self {
        Self::Refused(err.into())
    }
}

impl From<MigrateError> for Fault {
    fn from(err: MigrateError) -> Self {
        match err {
            MigrateError::Execute(err) | MigrateError::ExecuteMigration(err, _) => Self::Sql(err),
            other => Self::Damaged(other.to_string()),
        }
    }
}
