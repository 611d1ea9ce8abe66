//! Virtual keys, and what they spent by day.

use std::collections::HashMap;

use sqlx::{QueryBuilder, SqliteConnection};

use super::fault::Fault;
use super::value::{ROWS_PER_STATEMENT, from_json, number, push_list, to_json};
use crate::calendar::{Day, first_of_month};
use crate::govern::keys::{KeyId, KeyStamp, SecretHash, SpendChange, SpendTotal, StoredKey, VirtualKey};
use crate::money::Money;

/// Days that are kept: a year, to look back on.
const KEPT: i64 = 400;

const COLUMNS: &str = "SELECT id, hash, terms, created_at, revoked_at, revision FROM virtual_keys";

type Row = (String, Vec<u8>, String, i64, Option<i64>, u64);

pub(super) async fn stamp(db: &mut SqliteConnection) -> Result<KeyStamp, Fault> {
    let sum: u64 = sqlx::query_scalar("SELECT coalesce(sum(revision), 0) FROM virtual_keys").fetch_one(db).await?;
    Ok(KeyStamp(sum))
}

pub(super) async fn list(db: &mut SqliteConnection) -> Result<Vec<StoredKey>, Fault> {
    let mut query = QueryBuilder::new(COLUMNS);
    query.push(" ORDER BY created_at, id");
    let rows: Vec<Row> = query.build_query_as().fetch_all(db).await?;
    rows.into_iter().map(to_key).collect()
}

pub(super) async fn get(db: &mut SqliteConnection, id: &KeyId) -> Result<Option<StoredKey>, Fault> {
    let mut query = QueryBuilder::new(COLUMNS);
    query.push(" WHERE id = ").push_bind(id.as_str().to_owned());
    let row: Option<Row> = query.build_query_as().fetch_optional(db).await?;
    row.map(to_key).transpose()
}

pub(super) async fn add(db: &mut SqliteConnection, stored: &StoredKey) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO virtual_keys (id, hash, terms, created_at, revoked_at, revision) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(stored.key.id.as_str())
    .bind(stored.hash.as_bytes())
    .bind(to_json(&stored.key.terms)?)
    .bind(stored.key.created_at)
    .bind(stored.key.revoked_at)
    .bind(number(stored.key.revision))
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn replace(db: &mut SqliteConnection, stored: &StoredKey) -> Result<bool, Fault> {
    let written = sqlx::query(
        "UPDATE virtual_keys SET hash = $2, terms = $3, revoked_at = $4, revision = $5
         WHERE id = $1 AND revision = $5 - 1",
    )
    .bind(stored.key.id.as_str())
    .bind(stored.hash.as_bytes())
    .bind(to_json(&stored.key.terms)?)
    .bind(stored.key.revoked_at)
    .bind(number(stored.key.revision))
    .execute(db)
    .await?;
    Ok(written.rows_affected() == 1)
}

pub(super) async fn journal(
    db: &mut SqliteConnection,
    changes: &[SpendChange],
    of: &[KeyId],
    today: Day,
) -> Result<Vec<SpendTotal>, Fault> {
    for SpendChange { key, day, change } in changes {
        // `min` keeps the sum from overflowing, which SQLite would turn into a fraction.
        sqlx::query(
            "INSERT INTO key_spend (key, day, spent) VALUES ($1, $2, max($3, 0))
             ON CONFLICT (key, day) DO UPDATE SET spent = max(min(spent, $4 - max($3, 0)) + $3, 0)",
        )
        .bind(key.as_str())
        .bind(day)
        .bind(change)
        .bind(MOST)
        .execute(&mut *db)
        .await?;
    }
    if !changes.is_empty() {
        sqlx::query("DELETE FROM key_spend WHERE day < $1").bind(today - KEPT).execute(&mut *db).await?;
    }
    totals(db, of, today).await
}

/// Most that a day can hold: what a month of such days adds up to is still a number.
const MOST: i64 = i64::MAX / 64;

async fn totals(db: &mut SqliteConnection, of: &[KeyId], today: Day) -> Result<Vec<SpendTotal>, Fault> {
    let mut found: HashMap<String, (u64, u64)> = HashMap::new();
    for ids in of.chunks(ROWS_PER_STATEMENT) {
        let mut query = QueryBuilder::new("SELECT key, coalesce(sum(iif(day = ");
        query.push_bind(today).push(", spent, 0)), 0), coalesce(sum(spent), 0) FROM key_spend WHERE day BETWEEN ");
        query.push_bind(first_of_month(today)).push(" AND ").push_bind(today).push(" AND key IN ");
        push_list(&mut query, ids.iter().map(|id| id.as_str().to_owned()));
        query.push(" GROUP BY key");
        let rows: Vec<(String, u64, u64)> = query.build_query_as().fetch_all(&mut *db).await?;
        found.extend(rows.into_iter().map(|(key, of_day, of_month)| (key, (of_day, of_month))));
    }
    let total = |key: &KeyId| {
        let (of_day, of_month) = found.get(key.as_str()).copied().unwrap_or_default();
        SpendTotal { key: key.clone(), of_day: Money(of_day), of_month: Money(of_month) }
    };
    Ok(of.iter().map(total).collect())
}

fn to_key((id, hash, terms, created_at, revoked_at, revision): Row) -> Result<StoredKey, Fault> {
    let id = KeyId::new(&id).map_err(|error| Fault::Damaged(error.to_string()))?;
    let bytes = hash.try_into();
    let hash = bytes.map_err(|_| Fault::Damaged(format!("the hash of key {id} has not the length of a hash")))?;
    let terms = from_json(&format!("what key {id} may do"), &terms)?;
    let key = VirtualKey { id, terms, created_at, revoked_at, revision };
    Ok(StoredKey { key, hash: SecretHash::from_bytes(hash) })
}
