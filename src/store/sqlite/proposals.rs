//! Proposals: recorded, listed, and settled into the draft.

mod read;
mod record;
mod settle;

pub(super) use read::{get, list, vectors};
pub(super) use record::record;
pub(super) use settle::settle;

use super::fault::Fault;
use crate::reference::{ProposalId, SetName, StoreError};

fn unknown(set: &SetName, id: ProposalId) -> Fault {
    StoreError::UnknownProposal { set: set.clone(), id }.into()
}

fn resource(id: ProposalId) -> String {
    format!("proposal {id}")
}
