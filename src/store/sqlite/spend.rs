//! What the LLM stage spent, by day.

use sqlx::SqliteConnection;

use super::fault::Fault;
use super::value::number;

/// Days that are kept: a year, to look back on.
const KEPT: i64 = 400;

pub(super) async fn add(db: &mut SqliteConnection, day: i64, spent: u64) -> Result<u64, Fault> {
    if spent > 0 {
        // `min` keeps the sum from overflowing, which SQLite would turn into a fraction.
        sqlx::query(
            "INSERT INTO llm_spend (day, spent) VALUES ($1, $2)
             ON CONFLICT (day) DO UPDATE SET spent = min(spent, $3 - $2) + $2",
        )
        .bind(day)
        .bind(number(spent))
        .bind(i64::MAX)
        .execute(&mut *db)
        .await?;
        sqlx::query("DELETE FROM llm_spend WHERE day < $1").bind(day - KEPT).execute(&mut *db).await?;
    }
    let total: Option<u64> =
        sqlx::query_scalar("SELECT spent FROM llm_spend WHERE day = $1").bind(day).fetch_optional(db).await?;
    Ok(total.unwrap_or(0))
}
