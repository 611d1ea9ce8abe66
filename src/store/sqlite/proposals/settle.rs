//! Accepted into the draft, or rejected.

use sqlx::SqliteConnection;

use super::super::fault::Fault;
use super::super::prompts;
use super::super::sets::{self, expect};
use super::super::value::{number, to_purpose};
use super::read::get;
use super::record::{closed, equal_references};
use super::resource;
use crate::reference::{
    MAX_SETTLED, Precondition, PromptEdit, PromptPurpose, Proposal, ProposalId, ProposalState, ReferenceId, SetName,
    Settlement,
};

pub(in super::super) async fn settle(
    db: &mut SqliteConnection,
    set: &SetName,
    id: ProposalId,
    settlement: Settlement,
    precondition: Precondition,
    at: i64,
) -> Result<Proposal, Fault> {
    let draft = sets::draft(db, set).await?;
    let present = get(db, set, id).await?;
    match (settlement, present.state) {
        // It has happened already: whoever asks again, because the answer was lost, is told so.
        (Settlement::Accept, ProposalState::Accepted) | (Settlement::Reject, ProposalState::Rejected) => {
            return Ok(present);
        }
        (Settlement::Reject, ProposalState::Accepted) => return Err(closed(id, present.state.as_str())),
        (Settlement::Accept | Settlement::Reject, ProposalState::Open)
        | (Settlement::Accept, ProposalState::Rejected) => {}
    }
    expect(precondition, present.revision, || resource(id))?;
    let (state, reference) = match settlement {
        Settlement::Accept => (ProposalState::Accepted, Some(write(db, set, draft.id, &present).await?)),
        Settlement::Reject => (ProposalState::Rejected, None),
    };
    sqlx::query(
        "UPDATE proposals SET state = $1, reference = $2, revision = revision + 1, updated_at = max(updated_at, $3)
         WHERE id = $4",
    )
    .bind(state.as_str())
    .bind(reference.as_ref().map(ReferenceId::as_str))
    .bind(at)
    .bind(number(id))
    .execute(&mut *db)
    .await?;
    if let Some(reference) = &reference {
        // What was at odds with the proposal is now at odds with the draft.
        sqlx::query(
            "UPDATE proposals SET conflicting_reference = $1, revision = revision + 1
             WHERE state = 'open' AND id IN (SELECT other_id FROM proposal_conflicts WHERE proposal_id = $2)",
        )
        .bind(reference.as_str())
        .bind(number(id))
        .execute(&mut *db)
        .await?;
    }
    sqlx::query(
        "DELETE FROM proposals WHERE set_id = $1 AND state <> 'open' AND id NOT IN
             (SELECT id FROM proposals WHERE set_id = $1 AND state <> 'open' ORDER BY updated_at DESC, id DESC LIMIT $2)",
    )
    .bind(draft.id)
    .bind(MAX_SETTLED)
    .execute(&mut *db)
    .await?;
    get(db, set, id).await
}

/// Writes the prompt into the draft. A reference prompt with the very same text is given the route: one text with two
/// routes would only make the vote unsure.
async fn write(
    db: &mut SqliteConnection,
    set: &SetName,
    set_id: i64,
    proposal: &Proposal,
) -> Result<ReferenceId, Fault> {
    let equal = equal_references(db, set_id, &proposal.text).await?;
    // An evaluation prompt gets the right route and stays what it is: nothing may be learned from it.
    let known = |(id, _, purpose): &(String, String, String)| Ok((Some(ReferenceId::new(id)?), to_purpose(purpose)?));
    let known = equal.iter().map(known).collect::<Result<Vec<_>, Fault>>()?;
    let known = if known.is_empty() { vec![(None, PromptPurpose::Reference)] } else { known };
    let edits: Vec<PromptEdit> = known
        .into_iter()
        .map(|(id, purpose)| PromptEdit {
            id,
            route: proposal.route.clone(),
            text: proposal.text.clone(),
            purpose,
            precondition: Precondition::None,
        })
        .collect();
    let written = prompts::upsert(db, set, &edits).await?;
    let first = written.into_iter().next().map(|prompt| prompt.id);
    first.ok_or_else(|| Fault::Damaged("a prompt was written and is not there".to_owned()))
}
