//! Frozen copies of a draft: how they come, go live and go.

use sqlx::SqliteConnection;

use super::fault::Fault;
use super::value::{from_json, number, to_json, to_purpose, to_text};
use super::{embeddings, routes, sets};
use crate::calendar::unix_now;
use crate::reference::{
    Fingerprint, ReferenceId, ReferenceSet, RouteName, SetName, SetVersion, StoreError, Version, VersionState,
    VersionText,
};

/// A version's key in the other tables and what work on its embeddings needs.
pub(super) struct Frozen {
    pub(super) id: i64,
    pub(super) model: String,
}

pub(super) async fn frozen(db: &mut SqliteConnection, set: &SetName, version: Version) -> Result<Frozen, Fault> {
    let draft = sets::draft(db, set).await?;
    let row: Option<(i64, String)> =
        sqlx::query_as("SELECT id, model FROM versions WHERE set_id = $1 AND version = $2")
            .bind(draft.id)
            .bind(number(version))
            .fetch_optional(db)
            .await?;
    let (id, model) = row.ok_or_else(|| unknown(set, version))?;
    Ok(Frozen { id, model })
}

type Row = (u64, u64, String, String, u64, i64, String, String, String);

/// One version of a set, or all of them, newest first.
async fn select(db: &mut SqliteConnection, set: &SetName, version: Option<Version>) -> Result<Vec<SetVersion>, Fault> {
    let draft = sets::draft(db, set).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT version, draft_revision, state, model, prompts, created_at, policy, routes, report
         FROM versions WHERE set_id = $1 AND ($2 IS NULL OR version = $2) ORDER BY version DESC",
    )
    .bind(draft.id)
    .bind(version.map(number))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| read(set, row)).collect()
}

fn read(set: &SetName, row: Row) -> Result<SetVersion, Fault> {
    let (version, draft_revision, state, model, prompts, created_at, policy, routes, report) = row;
    Ok(SetVersion {
        set: set.clone(),
        version,
        draft_revision,
        state: state.parse().map_err(|()| Fault::Damaged(format!("a version's state is {state:?}")))?,
        model: Fingerprint(model),
        policy: from_json("a version's policy", &policy)?,
        routes: from_json("a version's routes", &routes)?,
        prompts,
        created_at,
        report,
    })
}

pub(super) async fn list(db: &mut SqliteConnection, set: &SetName) -> Result<Vec<SetVersion>, Fault> {
    select(db, set, None).await
}

pub(super) async fn get(db: &mut SqliteConnection, set: &SetName, version: Version) -> Result<SetVersion, Fault> {
    select(db, set, Some(version)).await?.pop().ok_or_else(|| unknown(set, version).into())
}

pub(super) async fn freeze(
    db: &mut SqliteConnection,
    set: &SetName,
    model: &Fingerprint,
    anew: bool,
) -> Result<SetVersion, Fault> {
    let draft = sets::get(db, set).await?;
    let set_id = sets::draft(db, set).await?.id;
    if let Some(building) = building(db, set_id).await? {
        if building.draft_revision == draft.revision && building.model == model.0 && building.anew == anew {
            return get(db, set, building.version).await;
        }
        delete(db, building.id).await?;
    }

    let version: Version =
        sqlx::query_scalar("UPDATE sets SET last_version = last_version + 1 WHERE id = $1 RETURNING last_version")
            .bind(set_id)
            .fetch_one(&mut *db)
            .await?;
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO versions
             (set_id, version, draft_revision, state, model, anew, prompts, created_at, policy, routes, report)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '') RETURNING id",
    )
    .bind(set_id)
    .bind(number(version))
    .bind(number(draft.revision))
    .bind(VersionState::Building.as_str())
    .bind(&model.0)
    .bind(anew)
    .bind(number(draft.prompts))
    .bind(unix_now())
    .bind(to_json(&draft.policy)?)
    .bind(to_json(&routes::of_draft(db, set_id).await?)?)
    .fetch_one(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO version_prompts (version_id, id, route, text_hash, purpose)
         SELECT $1, id, route, text_hash, purpose FROM prompts WHERE set_id = $2 ORDER BY id",
    )
    .bind(id)
    .bind(set_id)
    .execute(&mut *db)
    .await?;
    embeddings::note_missing(db, &Frozen { id, model: model.0.clone() }, anew).await?;
    get(db, set, version).await
}

/// Id, route, hash, text and purpose of a prompt.
type TextRow = (String, String, Vec<u8>, String, String);

/// The prompts of a version without their embeddings.
pub(super) async fn texts(
    db: &mut SqliteConnection,
    set: &SetName,
    version: Version,
    after: Option<&ReferenceId>,
    limit: u32,
) -> Result<Vec<VersionText>, Fault> {
    let frozen = frozen(db, set, version).await?;
    let rows: Vec<TextRow> = sqlx::query_as(
        "SELECT p.id, p.route, p.text_hash, t.text, p.purpose
         FROM version_prompts p JOIN texts t ON t.hash = p.text_hash
         WHERE p.version_id = $1 AND p.id > $2 ORDER BY p.id LIMIT $3",
    )
    .bind(frozen.id)
    .bind(after.map_or("", ReferenceId::as_str))
    .bind(limit)
    .fetch_all(db)
    .await?;
    let read = |(id, route, hash, text, purpose): TextRow| {
        let (id, route, purpose) = (ReferenceId::new(&id)?, RouteName::new(&route)?, to_purpose(&purpose)?);
        Ok(VersionText { id, route, text: to_text(&hash, text)?, purpose })
    };
    rows.into_iter().map(read).collect()
}

/// An unfinished version.
struct Building {
    id: i64,
    version: u64,
    draft_revision: u64,
    model: String,
    anew: bool,
}

/// There is at most one of a set, and it is the newest.
async fn building(db: &mut SqliteConnection, set_id: i64) -> Result<Option<Building>, Fault> {
    let row: Option<(i64, u64, u64, String, bool)> = sqlx::query_as(
        "SELECT id, version, draft_revision, model, anew FROM versions WHERE set_id = $1 AND state = $2",
    )
    .bind(set_id)
    .bind(VersionState::Building.as_str())
    .fetch_optional(db)
    .await?;
    Ok(row.map(|(id, version, draft_revision, model, anew)| Building { id, version, draft_revision, model, anew }))
}

pub(super) async fn publish(
    db: &mut SqliteConnection,
    set: &SetName,
    version: Version,
    report: &str,
    keep: u32,
) -> Result<ReferenceSet, Fault> {
    let frozen = frozen(db, set, version).await?;
    embeddings::expect_complete(db, set, version, &frozen).await?;
    sqlx::query("UPDATE versions SET state = $1, report = $2 WHERE id = $3")
        .bind(VersionState::Ready.as_str())
        .bind(report)
        .bind(frozen.id)
        .execute(&mut *db)
        .await?;
    make_live(db, set, version).await?;
    delete_old(db, set, keep).await?;
    collect_garbage(db).await?;
    sets::get(db, set).await
}

pub(super) async fn rollback(
    db: &mut SqliteConnection,
    set: &SetName,
    version: Version,
) -> Result<ReferenceSet, Fault> {
    match get(db, set, version).await?.state {
        VersionState::Building => return Err(StoreError::NotReady { set: set.clone(), version }.into()),
        VersionState::Ready => make_live(db, set, version).await?,
    }
    sets::get(db, set).await
}

/// What is live already stays so, with the previous one that it has.
async fn make_live(db: &mut SqliteConnection, set: &SetName, version: Version) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE sets SET previous = published, published = $2
         WHERE name = $1 AND (published IS NULL OR published <> $2)",
    )
    .bind(set.as_str())
    .bind(number(version))
    .execute(db)
    .await?;
    Ok(())
}

async fn delete_old(db: &mut SqliteConnection, set: &SetName, keep: u32) -> Result<(), Fault> {
    let old: Vec<i64> = sqlx::query_scalar(
        "SELECT v.id FROM versions v JOIN sets s ON s.id = v.set_id
         WHERE s.name = $1 AND v.state = $2
           AND v.version <> coalesce(s.published, 0) AND v.version <> coalesce(s.previous, 0)
           AND v.id NOT IN (SELECT n.id FROM versions n WHERE n.set_id = s.id ORDER BY n.version DESC LIMIT $3)",
    )
    .bind(set.as_str())
    .bind(VersionState::Ready.as_str())
    .bind(keep)
    .fetch_all(&mut *db)
    .await?;
    for id in old {
        delete(db, id).await?;
    }
    Ok(())
}

pub(super) async fn delete_all(db: &mut SqliteConnection, set_id: i64) -> Result<(), Fault> {
    let ids: Vec<i64> =
        sqlx::query_scalar("SELECT id FROM versions WHERE set_id = $1").bind(set_id).fetch_all(&mut *db).await?;
    for id in ids {
        delete(db, id).await?;
    }
    Ok(())
}

async fn delete(db: &mut SqliteConnection, id: i64) -> Result<(), Fault> {
    for statement in [
        "DELETE FROM missing_embeddings WHERE version_id = $1",
        "DELETE FROM decision_models WHERE version_id = $1",
        "DELETE FROM version_prompts WHERE version_id = $1",
        "DELETE FROM versions WHERE id = $1",
    ] {
        sqlx::query(statement).bind(id).execute(&mut *db).await?;
    }
    Ok(())
}

/// Removes texts that no draft or version holds, and embeddings of such texts or of a model that no version has.
pub(super) async fn collect_garbage(db: &mut SqliteConnection) -> Result<(), Fault> {
    for statement in [
        "DELETE FROM texts WHERE id IN (
             SELECT t.id FROM texts t
             WHERE NOT EXISTS (SELECT 1 FROM prompts p WHERE p.text_hash = t.hash)
               AND NOT EXISTS (SELECT 1 FROM version_prompts p WHERE p.text_hash = t.hash))",
        "DELETE FROM embeddings WHERE id IN (
             SELECT e.id FROM embeddings e
             WHERE NOT EXISTS (SELECT 1 FROM texts t WHERE t.hash = e.text_hash)
                OR e.model NOT IN (SELECT v.model FROM versions v))",
    ] {
        sqlx::query(statement).execute(&mut *db).await?;
    }
    Ok(())
}

fn unknown(set: &SetName, version: Version) -> StoreError {
    StoreError::UnknownVersion { set: set.clone(), version }
}
