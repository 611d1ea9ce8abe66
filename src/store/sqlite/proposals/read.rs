//! What stands there.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, SqliteConnection};

use super::super::fault::Fault;
use super::super::sets;
use super::super::value::{number, to_vector};
use super::unknown;
use crate::reference::{
    Fingerprint, Origin, Proposal, ProposalFilter, ProposalId, ProposalVector, ReferenceId, RouteName, SetName,
};

/// Origins and conflicts that are told of a proposal.
const SHOWN: i64 = 20;

struct Found {
    id: u64,
    route: String,
    text: String,
    state: String,
    verdicts: u64,
    corrections: u64,
    conflicting_reference: Option<String>,
    reference: Option<String>,
    created_at: i64,
    updated_at: i64,
    revision: u64,
}

impl FromRow<'_, SqliteRow> for Found {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            route: row.try_get("route")?,
            text: row.try_get("text")?,
            state: row.try_get("state")?,
            verdicts: row.try_get("verdicts")?,
            corrections: row.try_get("corrections")?,
            conflicting_reference: row.try_get("conflicting_reference")?,
            reference: row.try_get("reference")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            revision: row.try_get("revision")?,
        })
    }
}

/// Bound: set, id or null, state or null, route or null, agreeing, after, limit.
const SELECT: &str = "
    SELECT p.id, p.route, p.text, p.state, p.conflicting_reference, p.reference, p.created_at, p.updated_at,
        p.revision,
        (SELECT count(*) FROM proposal_origins o WHERE o.proposal_id = p.id AND o.source = 'llm_verdict') AS verdicts,
        (SELECT count(*) FROM proposal_origins o WHERE o.proposal_id = p.id AND o.source = 'correction') AS corrections
    FROM proposals p
    WHERE p.set_id = $1 AND ($2 IS NULL OR p.id = $2) AND ($3 IS NULL OR p.state = $3)
        AND ($4 IS NULL OR p.route = $4)
        AND ($5 = 0 OR (
            SELECT sum(o.known) + min(1, sum(1 - o.known)) FROM proposal_origins o WHERE o.proposal_id = p.id
        ) >= $5)
        AND p.id > $6
    ORDER BY p.id LIMIT $7";

async fn select(
    db: &mut SqliteConnection,
    set: &SetName,
    id: Option<ProposalId>,
    filter: &ProposalFilter,
) -> Result<Vec<Proposal>, Fault> {
    let draft = sets::draft(db, set).await?;
    let found: Vec<Found> = sqlx::query_as(SELECT)
        .bind(draft.id)
        .bind(id.map(number))
        .bind(filter.state.map(|state| state.as_str()))
        .bind(filter.route.as_ref().map(RouteName::as_str))
        .bind(filter.agreeing)
        .bind(number(filter.after))
        .bind(filter.limit)
        .fetch_all(&mut *db)
        .await?;
    let mut proposals = Vec::with_capacity(found.len());
    for found in found {
        proposals.push(whole(db, set, found).await?);
    }
    Ok(proposals)
}

async fn whole(db: &mut SqliteConnection, set: &SetName, found: Found) -> Result<Proposal, Fault> {
    let id = number(found.id);
    let conflicts: Vec<u64> = sqlx::query_scalar(
        "SELECT c.other_id FROM proposal_conflicts c JOIN proposals p ON p.id = c.other_id
         WHERE c.proposal_id = $1 AND p.state = 'open' ORDER BY c.other_id LIMIT $2",
    )
    .bind(id)
    .bind(SHOWN)
    .fetch_all(&mut *db)
    .await?;
    let origins: Vec<(String, String, bool, String, i64, String)> = sqlx::query_as(
        "SELECT source, decision, known, model, at, note FROM proposal_origins
         WHERE proposal_id = $1 ORDER BY at DESC, decision DESC LIMIT $2",
    )
    .bind(id)
    .bind(SHOWN)
    .fetch_all(&mut *db)
    .await?;
    let reference = |id: Option<String>| id.as_deref().map(ReferenceId::new).transpose();
    Ok(Proposal {
        id: found.id,
        set: set.clone(),
        route: RouteName::new(&found.route)?,
        text: found.text,
        state: found.state.parse().map_err(|()| damaged("a proposal's state", &found.state))?,
        verdicts: found.verdicts,
        corrections: found.corrections,
        conflicting_reference: reference(found.conflicting_reference)?,
        conflicting_proposals: conflicts,
        reference: reference(found.reference)?,
        origins: origins.into_iter().map(origin).collect::<Result<_, _>>()?,
        created_at: found.created_at,
        updated_at: found.updated_at,
        revision: found.revision,
    })
}

fn origin(row: (String, String, bool, String, i64, String)) -> Result<Origin, Fault> {
    let (source, decision, known, model, at, note) = row;
    let source = source.parse().map_err(|()| damaged("a proposal's source", &source))?;
    Ok(Origin { source, decision, known, model, at, note })
}

fn damaged(what: &str, found: &str) -> Fault {
    Fault::Damaged(format!("{what} is {found:?}"))
}

pub(in super::super) async fn list(
    db: &mut SqliteConnection,
    set: &SetName,
    filter: &ProposalFilter,
) -> Result<Vec<Proposal>, Fault> {
    select(db, set, None, filter).await
}

pub(in super::super) async fn get(db: &mut SqliteConnection, set: &SetName, id: ProposalId) -> Result<Proposal, Fault> {
    let one = ProposalFilter { limit: 1, ..ProposalFilter::default() };
    select(db, set, Some(id), &one).await?.pop().ok_or_else(|| unknown(set, id))
}

pub(in super::super) async fn vectors(
    db: &mut SqliteConnection,
    set: &SetName,
    model: &Fingerprint,
    after: ProposalId,
    limit: u32,
) -> Result<Vec<ProposalVector>, Fault> {
    let draft = sets::draft(db, set).await?;
    let rows: Vec<(u64, String, Vec<u8>)> = sqlx::query_as(
        "SELECT id, route, vector FROM proposals
         WHERE set_id = $1 AND state IN ('open', 'accepted') AND id > $2 AND model = $3 AND vector IS NOT NULL
         ORDER BY id LIMIT $4",
    )
    .bind(draft.id)
    .bind(number(after))
    .bind(&model.0)
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(id, route, vector)| {
            Ok(ProposalVector { id, route: RouteName::new(&route)?, embedding: to_vector(&vector) })
        })
        .collect()
}
