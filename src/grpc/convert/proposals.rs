//! Feedback and proposals.

use prost_types::Timestamp;
use tonic::Status;
use uuid::Uuid;

use super::super::pb;
use super::super::violation::{Violations, name};
use super::request::Input;
use super::sets::route_name;
use crate::learn::Correction;
use crate::reference::{
    MAX_NOTE_BYTES, Origin, Proposal, ProposalFilter, ProposalState, Recorded, RouteName, SetName, Source,
};

const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1_000;

/// `max_bytes` bounds the texts of the input.
pub(crate) fn correction(request: pb::FeedbackRequest, max_bytes: usize) -> Result<Correction, Status> {
    let mut violations = Violations::default();
    let decision = violations.take("decision_id", Uuid::parse_str(&request.decision_id));
    let route = route_name(&mut violations, "right_route", &request.right_route);
    if request.note.len() > MAX_NOTE_BYTES {
        let bytes = request.note.len();
        violations.add("note", format!("has {bytes} bytes, at most {MAX_NOTE_BYTES} are allowed"));
    }
    let input = request.input.map(|input| Input::new(&mut violations, Some(input), max_bytes));
    let set = (!request.reference_set.is_empty())
        .then(|| name(&mut violations, "reference_set", &request.reference_set, SetName::new))
        .flatten();
    if set.is_some() && input.is_none() {
        violations.add("reference_set", "is given without `input`");
    }
    let text = input.flatten().map(|input| input.prompt.text());
    let note = request.note;
    let correction = |(decision, route)| Correction { decision, route, note, text, set, default_set: None };
    violations.finish(decision.zip(route).map(correction))
}

pub(in crate::grpc) fn feedback(recorded: Recorded) -> pb::FeedbackResponse {
    match recorded {
        Recorded::Proposal(proposal) => {
            pb::FeedbackResponse { proposal: Some((*proposal).into()), known_reference: String::new() }
        }
        Recorded::Known(id) => pb::FeedbackResponse { proposal: None, known_reference: id.to_string() },
        Recorded::Full => pb::FeedbackResponse::default(),
    }
}

pub(in crate::grpc) fn proposal_filter(
    request: &pb::ListProposalsRequest,
) -> Result<(SetName, ProposalFilter), Status> {
    let mut violations = Violations::default();
    let set = name(&mut violations, "set", &request.set, SetName::new);
    let route =
        (!request.route.is_empty()).then(|| name(&mut violations, "route", &request.route, RouteName::new)).flatten();
    let state = match request.state() {
        pb::ProposalState::Unspecified => None,
        pb::ProposalState::Open => Some(ProposalState::Open),
        pb::ProposalState::Accepted => Some(ProposalState::Accepted),
        pb::ProposalState::Rejected => Some(ProposalState::Rejected),
    };
    if pb::ProposalState::try_from(request.state).is_err() {
        violations.add("state", format!("{} is not a ProposalState", request.state));
    }
    let after = match request.page_token.as_str() {
        "" => Some(0),
        token => violations.take("page_token", token.parse::<u64>()),
    };
    if request.page_size > MAX_PAGE {
        violations.add("page_size", format!("is {}, at most {MAX_PAGE} are allowed", request.page_size));
    }
    let limit = if request.page_size == 0 { DEFAULT_PAGE } else { request.page_size };
    let filter = after.map(|after| ProposalFilter { state, route, agreeing: 0, after, limit });
    violations.finish(set.zip(filter))
}

impl From<Proposal> for pb::Proposal {
    fn from(proposal: Proposal) -> Self {
        let state = match proposal.state {
            ProposalState::Open => pb::ProposalState::Open,
            ProposalState::Accepted => pb::ProposalState::Accepted,
            ProposalState::Rejected => pb::ProposalState::Rejected,
        };
        let id = |id: Option<crate::reference::ReferenceId>| id.map(String::from).unwrap_or_default();
        Self {
            id: proposal.id,
            set: proposal.set.to_string(),
            route: proposal.route.to_string(),
            text: proposal.text,
            state: state.into(),
            verdicts: proposal.verdicts,
            corrections: proposal.corrections,
            conflicting_reference: id(proposal.conflicting_reference),
            conflicting_proposals: proposal.conflicting_proposals,
            reference_id: id(proposal.reference),
            origins: proposal.origins.into_iter().map(Into::into).collect(),
            created_at: Some(at(proposal.created_at)),
            updated_at: Some(at(proposal.updated_at)),
            revision: proposal.revision,
        }
    }
}

impl From<Origin> for pb::ProposalOrigin {
    fn from(origin: Origin) -> Self {
        let source = match origin.source {
            Source::LlmVerdict => pb::ProposalSource::LlmVerdict,
            Source::Correction => pb::ProposalSource::Correction,
        };
        Self {
            source: source.into(),
            decision_id: origin.decision,
            decision_known: origin.known,
            model: origin.model,
            at: Some(at(origin.at)),
            note: origin.note,
        }
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}
