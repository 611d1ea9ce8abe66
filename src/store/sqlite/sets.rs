//! Sets and the revision of their drafts.

use sqlx::SqliteConnection;

use super::fault::Fault;
use super::value::{from_json, number, to_json};
use super::versions;
use crate::reference::{Precondition, ReferenceSet, Revision, SetEdit, SetName, StoreError, Version};

/// A set's key in the other tables and the revision of its draft.
pub(super) struct Draft {
    pub(super) id: i64,
    pub(super) revision: Revision,
}

impl Draft {
    /// The revision that a write gives to the draft, and to the routes and prompts that it changes. Numbers of the
    /// draft rather than a count per resource: one that is deleted and made anew cannot get an old number again.
    pub(super) fn next(&self) -> Revision {
        self.revision + 1
    }

    /// Records that the draft was changed.
    pub(super) async fn touch(&self, db: &mut SqliteConnection) -> Result<(), Fault> {
        sqlx::query("UPDATE sets SET revision = $1 WHERE id = $2")
            .bind(number(self.next()))
            .bind(self.id)
            .execute(db)
            .await?;
        Ok(())
    }
}

pub(super) async fn draft(db: &mut SqliteConnection, set: &SetName) -> Result<Draft, Fault> {
    find_draft(db, set).await?.ok_or_else(|| unknown(set).into())
}

async fn find_draft(db: &mut SqliteConnection, set: &SetName) -> Result<Option<Draft>, Fault> {
    let found: Option<(i64, u64)> =
        sqlx::query_as("SELECT id, revision FROM sets WHERE name = $1").bind(set.as_str()).fetch_optional(db).await?;
    Ok(found.map(|(id, revision)| Draft { id, revision }))
}

/// Passes if the precondition holds of a resource at revision `present`.
pub(super) fn expect(
    precondition: Precondition,
    present: Revision,
    resource: impl FnOnce() -> String,
) -> Result<(), Fault> {
    match precondition {
        Precondition::Revision(expected) if expected != present => {
            Err(StoreError::Stale { resource: resource(), expected, present }.into())
        }
        Precondition::Revision(_) | Precondition::None => Ok(()),
    }
}

type Row = (String, String, String, u64, Option<u64>, Option<u64>, u64, u64);

/// One set, or all of them.
async fn select(db: &mut SqliteConnection, set: Option<&SetName>) -> Result<Vec<ReferenceSet>, Fault> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT s.name, s.description, s.policy, s.revision, s.published, s.previous,
                (SELECT count(*) FROM routes r WHERE r.set_id = s.id),
                (SELECT count(*) FROM prompts p WHERE p.set_id = s.id)
         FROM sets s WHERE $1 IS NULL OR s.name = $1 ORDER BY s.name",
    )
    .bind(set.map(SetName::as_str))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(read).collect()
}

fn read(row: Row) -> Result<ReferenceSet, Fault> {
    let (name, description, policy, revision, published, previous, routes, prompts) = row;
    Ok(ReferenceSet {
        policy: from_json("a set's policy", &policy)?,
        name: SetName::new(&name)?,
        description,
        revision,
        published,
        previous,
        routes,
        prompts,
    })
}

pub(super) async fn list(db: &mut SqliteConnection) -> Result<Vec<ReferenceSet>, Fault> {
    select(db, None).await
}

pub(super) async fn get(db: &mut SqliteConnection, set: &SetName) -> Result<ReferenceSet, Fault> {
    select(db, Some(set)).await?.pop().ok_or_else(|| unknown(set).into())
}

pub(super) async fn upsert(
    db: &mut SqliteConnection,
    edit: &SetEdit,
    precondition: Precondition,
) -> Result<ReferenceSet, Fault> {
    let draft = find_draft(db, &edit.name).await?;
    expect(precondition, draft.as_ref().map_or(0, |draft| draft.revision), || resource(&edit.name))?;
    let policy = to_json(&edit.policy)?;
    match draft {
        Some(draft) => {
            sqlx::query("UPDATE sets SET description = $1, policy = $2 WHERE id = $3")
                .bind(&edit.description)
                .bind(policy)
                .bind(draft.id)
                .execute(&mut *db)
                .await?;
            draft.touch(db).await?;
        }
        None => {
            let (revision, last_version) = former(db, &edit.name).await?;
            sqlx::query(
                "INSERT INTO sets (name, description, policy, revision, last_version) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(edit.name.as_str())
            .bind(&edit.description)
            .bind(policy)
            .bind(revision + 1)
            .bind(last_version)
            .execute(&mut *db)
            .await?;
        }
    }
    get(db, &edit.name).await
}

/// Where the counters of a deleted set of that name stopped.
async fn former(db: &mut SqliteConnection, set: &SetName) -> Result<(i64, i64), Fault> {
    let former = sqlx::query_as("DELETE FROM former_sets WHERE name = $1 RETURNING revision, last_version")
        .bind(set.as_str())
        .fetch_optional(db)
        .await?;
    Ok(former.unwrap_or((0, 0)))
}

pub(super) async fn delete(db: &mut SqliteConnection, set: &SetName, precondition: Precondition) -> Result<(), Fault> {
    let draft = draft(db, set).await?;
    expect(precondition, draft.revision, || resource(set))?;
    versions::delete_all(db, draft.id).await?;
    for statement in [
        "DELETE FROM proposals WHERE set_id = $1",
        "DELETE FROM prompts WHERE set_id = $1",
        "DELETE FROM routes WHERE set_id = $1",
        "INSERT INTO former_sets (name, revision, last_version)
             SELECT name, revision, last_version FROM sets WHERE id = $1",
        "DELETE FROM sets WHERE id = $1",
    ] {
        sqlx::query(statement).bind(draft.id).execute(&mut *db).await?;
    }
    versions::collect_garbage(db).await
}

pub(super) async fn published(db: &mut SqliteConnection) -> Result<Vec<(SetName, Version)>, Fault> {
    let rows: Vec<(String, u64)> =
        sqlx::query_as("SELECT name, published FROM sets WHERE published IS NOT NULL ORDER BY name")
            .fetch_all(db)
            .await?;
    rows.into_iter().map(|(name, version)| Ok((SetName::new(&name)?, version))).collect()
}

fn unknown(set: &SetName) -> StoreError {
    StoreError::UnknownSet { set: set.clone() }
}

fn resource(set: &SetName) -> String {
    format!("reference set {set}")
}
