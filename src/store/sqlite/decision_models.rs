//! Fitted decision models, one a version.

use sqlx::SqliteConnection;

use super::fault::Fault;
use super::versions;
use crate::reference::{SetName, Version};

pub(super) async fn put(db: &mut SqliteConnection, set: &SetName, version: Version, model: &[u8]) -> Result<(), Fault> {
    let frozen = versions::frozen(db, set, version).await?;
    sqlx::query(
        "INSERT INTO decision_models (version_id, model) VALUES ($1, $2)
         ON CONFLICT (version_id) DO UPDATE SET model = excluded.model",
    )
    .bind(frozen.id)
    .bind(model)
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn get(db: &mut SqliteConnection, set: &SetName, version: Version) -> Result<Option<Vec<u8>>, Fault> {
    let frozen = versions::frozen(db, set, version).await?;
    let model = sqlx::query_scalar("SELECT model FROM decision_models WHERE version_id = $1");
    Ok(model.bind(frozen.id).fetch_optional(db).await?)
}
