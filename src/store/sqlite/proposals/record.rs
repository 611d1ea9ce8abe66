//! One origin more.

use sqlx::SqliteConnection;

use super::super::fault::Fault;
use super::super::value::{from_vector, number};
use super::super::{routes, sets};
use super::read::get;
use crate::reference::{
    MAX_ORIGINS, ProposalEdit, ProposalId, Recorded, ReferenceId, Source, StoreError, TextHash, likeness,
};

pub(in super::super) async fn record(
    db: &mut SqliteConnection,
    edit: &ProposalEdit,
    most_open: u32,
) -> Result<Recorded, Fault> {
    let draft = sets::draft(db, &edit.set).await?;
    routes::get(db, &edit.set, &edit.route).await?;
    let equal = equal_references(db, draft.id, &edit.text).await?;
    let at = match find(db, draft.id, edit).await? {
        Some(found) => Some(found),
        None => {
            if let Some((id, ..)) = equal.iter().find(|(_, route, _)| route == edit.route.as_str()) {
                take_back(db, draft.id, edit, None).await?;
                return Ok(Recorded::Known(ReferenceId::new(id)?));
            }
            // A client who says that a decision was wrong is believed all the same.
            if edit.origin.source == Source::LlmVerdict
                && let Some((id, _)) = became(db, draft.id, &edit.same_as).await?.into_iter().find(of(edit, true))
            {
                return Ok(Recorded::Known(ReferenceId::new(&id)?));
            }
            create(db, draft.id, edit, most_open).await?
        }
    };
    let Some(id) = at else { return Ok(Recorded::Full) };
    take_back(db, draft.id, edit, Some(id)).await?;
    let other = equal.iter().find(|(_, route, _)| route != edit.route.as_str()).map(|(id, ..)| id.as_str());
    let mut changed = add_origin(db, id, edit).await?;
    let accepted = became(db, draft.id, &edit.conflicting_proposals).await?.into_iter().find(of(edit, false));
    let conflicting = other
        .or(edit.conflicting_reference.as_ref().map(ReferenceId::as_str))
        .or(accepted.as_ref().map(|(id, _)| id.as_str()));
    changed |= add_conflicts(db, draft.id, id, edit, conflicting).await?;
    if changed {
        sqlx::query("UPDATE proposals SET revision = revision + 1, updated_at = max(updated_at, $1) WHERE id = $2")
            .bind(edit.origin.at)
            .bind(number(id))
            .execute(&mut *db)
            .await?;
    }
    get(db, &edit.set, id).await.map(|proposal| Recorded::Proposal(Box::new(proposal)))
}

/// Reference prompts of the draft with this very text: id and route.
pub(super) async fn equal_references(
    db: &mut SqliteConnection,
    set_id: i64,
    text: &str,
) -> Result<Vec<(String, String, String)>, Fault> {
    let hash = TextHash::of(text);
    Ok(sqlx::query_as("SELECT id, route, purpose FROM prompts WHERE text_hash = $1 AND set_id = $2 ORDER BY id")
        .bind(hash.0.as_slice())
        .bind(set_id)
        .fetch_all(db)
        .await?)
}

/// What those of the proposals that were accepted have become, as far as that is a reference prompt of the draft and
/// still says the same: id and route, in the order of the proposals.
async fn became(
    db: &mut SqliteConnection,
    set_id: i64,
    proposals: &[ProposalId],
) -> Result<Vec<(String, String)>, Fault> {
    let mut found = Vec::new();
    for id in proposals {
        let reference: Option<(String, String)> = sqlx::query_as(
            "SELECT q.id, q.route FROM proposals p JOIN prompts q ON q.set_id = p.set_id AND q.id = p.reference
                 JOIN texts t ON t.hash = q.text_hash AND t.text = p.text
             WHERE p.id = $1 AND p.set_id = $2 AND p.state = 'accepted' AND q.purpose = 'reference'",
        )
        .bind(number(*id))
        .bind(set_id)
        .fetch_optional(&mut *db)
        .await?;
        found.extend(reference);
    }
    Ok(found)
}

/// Whether a reference prompt is of the edit's route, or else of another.
fn of(edit: &ProposalEdit, same: bool) -> impl Fn(&(String, String)) -> bool {
    move |(_, route)| (route == edit.route.as_str()) == same
}

/// The proposal that the edit is counted at: one with a like text, or the first open one that the caller found to be
/// near.
async fn find(db: &mut SqliteConnection, set_id: i64, edit: &ProposalEdit) -> Result<Option<ProposalId>, Fault> {
    let like: Option<u64> =
        sqlx::query_scalar("SELECT id FROM proposals WHERE set_id = $1 AND likeness = $2 AND route = $3")
            .bind(set_id)
            .bind(likeness(&edit.text).0.as_slice())
            .bind(edit.route.as_str())
            .fetch_optional(&mut *db)
            .await?;
    if like.is_some() {
        return Ok(like);
    }
    for near in &edit.same_as {
        let open: Option<u64> = sqlx::query_scalar(
            "SELECT id FROM proposals WHERE id = $1 AND set_id = $2 AND route = $3 AND state = 'open'",
        )
        .bind(number(*near))
        .bind(set_id)
        .bind(edit.route.as_str())
        .fetch_optional(&mut *db)
        .await?;
        if open.is_some() {
            return Ok(open);
        }
    }
    Ok(None)
}

/// `None`: as many are open as may be.
async fn create(
    db: &mut SqliteConnection,
    set_id: i64,
    edit: &ProposalEdit,
    most_open: u32,
) -> Result<Option<ProposalId>, Fault> {
    let open: u64 = sqlx::query_scalar("SELECT count(*) FROM proposals WHERE set_id = $1 AND state = 'open'")
        .bind(set_id)
        .fetch_one(&mut *db)
        .await?;
    if open >= u64::from(most_open) {
        return Ok(None);
    }
    let (model, vector) = edit.embedding.as_ref().map(|(model, vector)| (&model.0, from_vector(vector))).unzip();
    let id: u64 = sqlx::query_scalar(
        "INSERT INTO proposals (set_id, likeness, route, text, state, model, vector, created_at, updated_at, revision)
         VALUES ($1, $2, $3, $4, 'open', $5, $6, $7, $7, 0) RETURNING id",
    )
    .bind(set_id)
    .bind(likeness(&edit.text).0.as_slice())
    .bind(edit.route.as_str())
    .bind(&edit.text)
    .bind(model)
    .bind(vector)
    .bind(edit.origin.at)
    .fetch_one(db)
    .await?;
    Ok(Some(id))
}

/// A decision has one right route: a correction that came before, and named another, is taken back, and the open
/// proposals go that nobody makes any more.
async fn take_back(
    db: &mut SqliteConnection,
    set_id: i64,
    edit: &ProposalEdit,
    but: Option<ProposalId>,
) -> Result<(), Fault> {
    if edit.origin.source != Source::Correction {
        return Ok(());
    }
    let before: Vec<u64> = sqlx::query_scalar(
        "SELECT o.proposal_id FROM proposal_origins o JOIN proposals p ON p.id = o.proposal_id
         WHERE o.decision = $1 AND o.source = 'correction' AND p.set_id = $2 AND p.id IS NOT $3",
    )
    .bind(&edit.origin.decision)
    .bind(set_id)
    .bind(but.map(number))
    .fetch_all(&mut *db)
    .await?;
    for id in before {
        sqlx::query("DELETE FROM proposal_origins WHERE proposal_id = $1 AND source = 'correction' AND decision = $2")
            .bind(number(id))
            .bind(&edit.origin.decision)
            .execute(&mut *db)
            .await?;
        sqlx::query("UPDATE proposals SET revision = revision + 1 WHERE id = $1")
            .bind(number(id))
            .execute(&mut *db)
            .await?;
        sqlx::query(
            "DELETE FROM proposals WHERE id = $1 AND state = 'open'
                 AND NOT EXISTS (SELECT 1 FROM proposal_origins WHERE proposal_id = $1)",
        )
        .bind(number(id))
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Whether it was new, or is known by now. A decision counts once for each source. Half of the places are kept for
/// decisions that are known: anybody can name others.
async fn add_origin(db: &mut SqliteConnection, id: ProposalId, edit: &ProposalEdit) -> Result<bool, Fault> {
    let origin = &edit.origin;
    let added = sqlx::query(
        "INSERT INTO proposal_origins (proposal_id, source, decision, known, model, at, note)
         SELECT $1, $2, $3, $4, $5, $6, $7
         WHERE (SELECT count(*) FROM proposal_origins WHERE proposal_id = $1) < $8
         ON CONFLICT (proposal_id, source, decision) DO UPDATE SET known = 1 WHERE excluded.known > known",
    )
    .bind(number(id))
    .bind(origin.source.as_str())
    .bind(&origin.decision)
    .bind(origin.known)
    .bind(&origin.model)
    .bind(origin.at)
    .bind(&origin.note)
    .bind(if origin.known { MAX_ORIGINS } else { MAX_ORIGINS / 2 })
    .execute(db)
    .await?;
    Ok(added.rows_affected() > 0)
}

async fn add_conflicts(
    db: &mut SqliteConnection,
    set_id: i64,
    id: ProposalId,
    edit: &ProposalEdit,
    reference: Option<&str>,
) -> Result<bool, Fault> {
    let mut others: Vec<u64> = sqlx::query_scalar(
        "SELECT id FROM proposals WHERE set_id = $1 AND likeness = $2 AND route <> $3 AND state = 'open'",
    )
    .bind(set_id)
    .bind(likeness(&edit.text).0.as_slice())
    .bind(edit.route.as_str())
    .fetch_all(&mut *db)
    .await?;
    others.extend(&edit.conflicting_proposals);
    let mut changed = 0;
    for other in others.into_iter().filter(|other| *other != id) {
        // One that was deleted meanwhile is no conflict. One that was settled is none that is told, but a rejected one
        // may still be accepted, and then it counts.
        changed += sqlx::query(
            "INSERT INTO proposal_conflicts (proposal_id, other_id)
             SELECT a.id, b.id FROM proposals a, proposals b
             WHERE ((a.id = $1 AND b.id = $2) OR (a.id = $2 AND b.id = $1))
                 AND a.set_id = $3 AND b.set_id = $3 AND a.route <> b.route
             ON CONFLICT DO NOTHING",
        )
        .bind(number(id))
        .bind(number(other))
        .bind(set_id)
        .execute(&mut *db)
        .await?
        .rows_affected();
    }
    if reference.is_some() {
        changed += sqlx::query(
            "UPDATE proposals SET conflicting_reference = $1 WHERE id = $2 AND conflicting_reference IS NOT $1",
        )
        .bind(reference)
        .bind(number(id))
        .execute(db)
        .await?
        .rows_affected();
    }
    Ok(changed > 0)
}

/// For the error of a proposal that cannot be settled so.
pub(super) fn closed(id: ProposalId, state: &'static str) -> Fault {
    StoreError::ProposalClosed { id, state }.into()
}
