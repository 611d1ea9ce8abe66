//! Routes of a draft.

use sqlx::SqliteConnection;

use super::fault::Fault;
use super::sets::{self, expect};
use super::value::{from_json, number, to_json};
use crate::reference::{Precondition, Revision, Route, RouteName, SetName, StoreError};

type Row = (String, String, Option<f32>, Option<f32>, String, u64);

/// One route of a set, or all of them.
async fn select(db: &mut SqliteConnection, set_id: i64, route: Option<&RouteName>) -> Result<Vec<Route>, Fault> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT name, description, min_score, min_similarity, targets, revision
         FROM routes WHERE set_id = $1 AND ($2 IS NULL OR name = $2) ORDER BY name",
    )
    .bind(set_id)
    .bind(route.map(RouteName::as_str))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(read).collect()
}

fn read(row: Row) -> Result<Route, Fault> {
    let (name, description, min_score, min_similarity, targets, revision) = row;
    Ok(Route {
        name: RouteName::new(&name)?,
        description,
        min_score,
        min_similarity,
        targets: from_json("a route's targets", &targets)?,
        revision,
    })
}

pub(super) async fn of_draft(db: &mut SqliteConnection, set_id: i64) -> Result<Vec<Route>, Fault> {
    select(db, set_id, None).await
}

pub(super) async fn list(db: &mut SqliteConnection, set: &SetName) -> Result<Vec<Route>, Fault> {
    let draft = sets::draft(db, set).await?;
    of_draft(db, draft.id).await
}

pub(super) async fn get(db: &mut SqliteConnection, set: &SetName, route: &RouteName) -> Result<Route, Fault> {
    let draft = sets::draft(db, set).await?;
    select(db, draft.id, Some(route)).await?.pop().ok_or_else(|| unknown(set, route).into())
}

async fn present(db: &mut SqliteConnection, set_id: i64, route: &RouteName) -> Result<Option<Revision>, Fault> {
    Ok(sqlx::query_scalar("SELECT revision FROM routes WHERE set_id = $1 AND name = $2")
        .bind(set_id)
        .bind(route.as_str())
        .fetch_optional(db)
        .await?)
}

pub(super) async fn upsert(
    db: &mut SqliteConnection,
    set: &SetName,
    route: &Route,
    precondition: Precondition,
) -> Result<Route, Fault> {
    let draft = sets::draft(db, set).await?;
    let present = present(db, draft.id, &route.name).await?;
    expect(precondition, present.unwrap_or(0), || resource(&route.name))?;
    sqlx::query(
        "INSERT INTO routes (set_id, name, description, min_score, min_similarity, targets, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (set_id, name) DO UPDATE SET
             description = excluded.description, min_score = excluded.min_score,
             min_similarity = excluded.min_similarity, targets = excluded.targets, revision = excluded.revision",
    )
    .bind(draft.id)
    .bind(route.name.as_str())
    .bind(&route.description)
    .bind(route.min_score)
    .bind(route.min_similarity)
    .bind(to_json(&route.targets)?)
    .bind(number(draft.next()))
    .execute(&mut *db)
    .await?;
    draft.touch(db).await?;
    Ok(Route { revision: draft.next(), ..route.clone() })
}

pub(super) async fn delete(
    db: &mut SqliteConnection,
    set: &SetName,
    route: &RouteName,
    with_prompts: bool,
    precondition: Precondition,
) -> Result<(), Fault> {
    let draft = sets::draft(db, set).await?;
    let present = present(db, draft.id, route).await?.ok_or_else(|| unknown(set, route))?;
    expect(precondition, present, || resource(route))?;
    if with_prompts {
        sqlx::query("DELETE FROM prompts WHERE set_id = $1 AND route = $2")
            .bind(draft.id)
            .bind(route.as_str())
            .execute(&mut *db)
            .await?;
    } else {
        let prompts: u64 = sqlx::query_scalar("SELECT count(*) FROM prompts WHERE set_id = $1 AND route = $2")
            .bind(draft.id)
            .bind(route.as_str())
            .fetch_one(&mut *db)
            .await?;
        if prompts > 0 {
            return Err(StoreError::RouteNotEmpty { set: set.clone(), route: route.clone(), prompts }.into());
        }
    }
    sqlx::query("DELETE FROM routes WHERE set_id = $1 AND name = $2")
        .bind(draft.id)
        .bind(route.as_str())
        .execute(&mut *db)
        .await?;
    draft.touch(db).await
}

pub(super) fn unknown(set: &SetName, route: &RouteName) -> StoreError {
    StoreError::UnknownRoute { set: set.clone(), route: route.clone() }
}

fn resource(route: &RouteName) -> String {
    format!("route {route}")
}
