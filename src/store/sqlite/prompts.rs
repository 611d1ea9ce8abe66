//! Reference prompts of a draft. Their texts are kept once each, under their hash.

use std::collections::{HashMap, HashSet};

use sqlx::{QueryBuilder, SqliteConnection};

use super::fault::Fault;
use super::routes;
use super::sets::{self, Draft, expect};
use super::value::{ROWS_PER_STATEMENT, number, push_list, to_hash, to_purpose, to_text};
use crate::reference::{
    Precondition, PromptEdit, PromptFilter, PromptPurpose, ReferenceId, ReferencePrompt, Revision, RouteName, SetName,
    StoreError, TextHash,
};

type Row = (String, String, Vec<u8>, String, u64, String);

fn read(row: Row) -> Result<ReferencePrompt, Fault> {
    let (id, route, hash, text, revision, purpose) = row;
    let (id, route, text) = (ReferenceId::new(&id)?, RouteName::new(&route)?, to_text(&hash, text)?);
    Ok(ReferencePrompt { id, route, text, purpose: to_purpose(&purpose)?, revision })
}

pub(super) async fn list(
    db: &mut SqliteConnection,
    set: &SetName,
    filter: &PromptFilter,
) -> Result<Vec<ReferencePrompt>, Fault> {
    let draft = sets::draft(db, set).await?;
    // The empty text comes before every id. Two statements, because one that leaves the route open has no index.
    let after = filter.after.as_ref().map_or("", ReferenceId::as_str);
    let rows: Vec<Row> = match &filter.route {
        None => sqlx::query_as(
            "SELECT p.id, p.route, p.text_hash, t.text, p.revision, p.purpose
                 FROM prompts p JOIN texts t ON t.hash = p.text_hash WHERE p.set_id = $1 AND p.id > $2 ORDER BY p.id LIMIT $3",
        )
        .bind(draft.id)
        .bind(after)
        .bind(filter.limit)
        .fetch_all(db)
        .await?,
        Some(route) => sqlx::query_as(
            "SELECT p.id, p.route, p.text_hash, t.text, p.revision, p.purpose
                 FROM prompts p JOIN texts t ON t.hash = p.text_hash WHERE p.set_id = $1 AND p.route = $4 AND p.id > $2 ORDER BY p.id LIMIT $3",
        )
        .bind(draft.id)
        .bind(after)
        .bind(filter.limit)
        .bind(route.as_str())
        .fetch_all(db)
        .await?,
    };
    rows.into_iter().map(read).collect()
}

pub(super) async fn get(db: &mut SqliteConnection, set: &SetName, id: &ReferenceId) -> Result<ReferencePrompt, Fault> {
    let draft = sets::draft(db, set).await?;
    let row: Option<Row> = sqlx::query_as(
        "SELECT p.id, p.route, p.text_hash, t.text, p.revision, p.purpose
         FROM prompts p JOIN texts t ON t.hash = p.text_hash WHERE p.set_id = $1 AND p.id = $2",
    )
    .bind(draft.id)
    .bind(id.as_str())
    .fetch_optional(db)
    .await?;
    read(row.ok_or_else(|| unknown(set, id))?)
}

/// An edit whose id and hash are known.
struct Planned<'a> {
    id: ReferenceId,
    hash: TextHash,
    edit: &'a PromptEdit,
}

impl<'a> Planned<'a> {
    fn new(edit: &'a PromptEdit) -> Result<Self, Fault> {
        let hash = TextHash::of(&edit.text);
        let id = match &edit.id {
            Some(id) => id.clone(),
            None => ReferenceId::new(&hash.short())?,
        };
        Ok(Self { id, hash, edit })
    }
}

pub(super) async fn upsert(
    db: &mut SqliteConnection,
    set: &SetName,
    edits: &[PromptEdit],
) -> Result<Vec<ReferencePrompt>, Fault> {
    let draft = sets::draft(db, set).await?;
    let routes: HashSet<RouteName> =
        routes::of_draft(db, draft.id).await?.into_iter().map(|route| route.name).collect();
    let planned = edits.iter().map(Planned::new).collect::<Result<Vec<_>, _>>()?;
    let present = present(db, draft.id, planned.iter().map(|plan| &plan.id)).await?;
    for plan in &planned {
        if !routes.contains(&plan.edit.route) {
            return Err(routes::unknown(set, &plan.edit.route).into());
        }
        let revision = present.get(&plan.id).map_or(0, |present| present.revision);
        expect(plan.edit.precondition, revision, || resource(&plan.id))?;
    }

    let last: HashMap<&ReferenceId, &Planned<'_>> = planned.iter().map(|plan| (&plan.id, plan)).collect();
    let stands = |plan: &Planned<'_>| {
        present.get(&plan.id).filter(|present| {
            let Present { hash, route, purpose, .. } = present;
            *hash == plan.hash && *route == plan.edit.route.as_str() && *purpose == plan.edit.purpose
        })
    };
    let mut changes: Vec<&Planned<'_>> = last.values().copied().filter(|plan| stands(plan).is_none()).collect();
    // Rows that lie beside each other are written together.
    changes.sort_by_key(|plan| &plan.id);
    if !changes.is_empty() {
        write(db, &draft, &changes).await?;
        draft.touch(db).await?;
    }
    let written = planned.iter().filter_map(|plan| last.get(&plan.id)).map(|plan| ReferencePrompt {
        id: plan.id.clone(),
        route: plan.edit.route.clone(),
        text: plan.edit.text.clone(),
        purpose: plan.edit.purpose,
        revision: stands(plan).map_or(draft.next(), |present| present.revision),
    });
    Ok(written.collect())
}

struct Present {
    route: String,
    hash: TextHash,
    purpose: PromptPurpose,
    revision: Revision,
}

/// What stands in the draft under those ids.
async fn present(
    db: &mut SqliteConnection,
    set_id: i64,
    ids: impl Iterator<Item = &ReferenceId>,
) -> Result<HashMap<ReferenceId, Present>, Fault> {
    let ids: Vec<&ReferenceId> = ids.collect();
    let mut present = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(ROWS_PER_STATEMENT) {
        let mut query =
            QueryBuilder::new("SELECT id, route, text_hash, revision, purpose FROM prompts WHERE set_id = ");
        query.push_bind(set_id).push(" AND id IN ");
        push_list(&mut query, ids.iter().map(|id| id.as_str()));
        let rows: Vec<(String, String, Vec<u8>, u64, String)> =
            query.build_query_as().persistent(false).fetch_all(&mut *db).await?;
        for (id, route, hash, revision, purpose) in rows {
            let (hash, purpose) = (to_hash(&hash)?, to_purpose(&purpose)?);
            present.insert(ReferenceId::new(&id)?, Present { route, hash, purpose, revision });
        }
    }
    Ok(present)
}

async fn write(db: &mut SqliteConnection, draft: &Draft, changes: &[&Planned<'_>]) -> Result<(), Fault> {
    for changes in changes.chunks(ROWS_PER_STATEMENT) {
        let mut texts = QueryBuilder::new("INSERT INTO texts (hash, text) ");
        texts.push_values(changes, |mut row, plan| {
            row.push_bind(plan.hash.0.as_slice()).push_bind(plan.edit.text.as_str());
        });
        texts.push(" ON CONFLICT (hash) DO NOTHING");
        texts.build().persistent(false).execute(&mut *db).await?;

        let mut prompts = QueryBuilder::new("INSERT INTO prompts (set_id, id, route, text_hash, revision, purpose) ");
        prompts.push_values(changes, |mut row, plan| {
            row.push_bind(draft.id).push_bind(plan.id.as_str()).push_bind(plan.edit.route.as_str());
            row.push_bind(plan.hash.0.as_slice()).push_bind(number(draft.next()));
            row.push_bind(plan.edit.purpose.as_str());
        });
        prompts.push(
            " ON CONFLICT (set_id, id) DO UPDATE SET
                 route = excluded.route, text_hash = excluded.text_hash, revision = excluded.revision,
                 purpose = excluded.purpose",
        );
        prompts.build().persistent(false).execute(&mut *db).await?;
    }
    Ok(())
}

pub(super) async fn delete(
    db: &mut SqliteConnection,
    set: &SetName,
    ids: &[(ReferenceId, Precondition)],
) -> Result<(), Fault> {
    let draft = sets::draft(db, set).await?;
    let present = present(db, draft.id, ids.iter().map(|(id, _)| id)).await?;
    for (id, precondition) in ids {
        let revision = present.get(id).ok_or_else(|| unknown(set, id))?.revision;
        expect(*precondition, revision, || resource(id))?;
    }
    for ids in ids.chunks(ROWS_PER_STATEMENT) {
        let mut query = QueryBuilder::new("DELETE FROM prompts WHERE set_id = ");
        query.push_bind(draft.id).push(" AND id IN ");
        push_list(&mut query, ids.iter().map(|(id, _)| id.as_str()));
        query.build().persistent(false).execute(&mut *db).await?;
    }
    if ids.is_empty() { Ok(()) } else { draft.touch(db).await }
}

fn unknown(set: &SetName, id: &ReferenceId) -> StoreError {
    StoreError::UnknownPrompt { set: set.clone(), id: id.clone() }
}

fn resource(id: &ReferenceId) -> String {
    format!("reference prompt {id}")
}
