//! The only place where errors become statuses: code, message, and google.rpc details for machines.

mod dispatch;
mod keys;
mod reason;

use prost::Message;
use tonic::{Code, Status};
use uuid::Uuid;

pub(super) use dispatch::from_dispatch;
pub(super) use keys::{forbidden, from_key, outdated_key, refused, unauthenticated};
pub(super) use reason::{DOMAIN, Reason};

use crate::classify::Decision;
use crate::embed::EmbedError;
use crate::govern::audit::AuditError;
use crate::learn::CorrectionError;
use crate::publish::{BuildError, Problem};
use crate::reference::{SetName, StoreError};
use crate::telemetry::chain;

pub(super) fn unknown_set(set: &SetName) -> Status {
    let message = format!("reference set {set} does not exist or was never published");
    Reason::UnknownSet.resource(Code::NotFound, "semroute.v1.ReferenceSet", set.as_str(), message)
}

/// A version is published, and this server cannot serve it; the log and GetStatus say why.
pub(super) fn not_served(set: &SetName, problem: &Problem) -> Status {
    let message = format!("version {} of reference set {set} is published but cannot be served", problem.version);
    Reason::NotServed.resource(Code::Unavailable, "semroute.v1.ReferenceSet", set.as_str(), message)
}

pub(super) fn from_store(error: &StoreError) -> Status {
    let message = error.to_string();
    match error {
        StoreError::UnknownSet { set } => {
            Reason::UnknownSet.resource(Code::NotFound, "semroute.v1.ReferenceSet", set.as_str(), message)
        }
        StoreError::UnknownRoute { route, .. } => {
            Reason::UnknownRoute.resource(Code::NotFound, "semroute.v1.Route", route.as_str(), message)
        }
        StoreError::UnknownPrompt { id, .. } => {
            Reason::UnknownReferencePrompt.resource(Code::NotFound, "semroute.v1.ReferencePrompt", id.as_str(), message)
        }
        StoreError::UnknownProposal { id, .. } => {
            let id = id.to_string();
            Reason::UnknownProposal.resource(Code::NotFound, "semroute.v1.Proposal", &id, message)
        }
        StoreError::ProposalClosed { .. } => Reason::ProposalClosed.status(Code::FailedPrecondition, message),
        StoreError::UnknownVersion { .. } => Reason::UnknownVersion.status(Code::NotFound, message),
        StoreError::Stale { resource, .. } => {
            let resource = resource.clone();
            Reason::StaleRevision.resource(Code::Aborted, "revision", &resource, message)
        }
        StoreError::RouteNotEmpty { .. } => Reason::RouteNotEmpty.status(Code::FailedPrecondition, message),
        StoreError::NotReady { .. } => Reason::NothingPublished.status(Code::FailedPrecondition, message),
        StoreError::Unavailable { .. } => {
            tracing::error!(error = %chain(error), "the store cannot be used");
            Reason::StoreUnavailable.status(Code::Unavailable, "the store cannot be used at present")
        }
        StoreError::Damaged { .. } | StoreError::TooNew { .. } | StoreError::Name(_) => {
            tracing::error!(error = %chain(error), "the store is damaged");
            Reason::StoreDamaged.status(Code::DataLoss, "the store is damaged: see the server's log")
        }
        StoreError::EmbeddingsMissing { .. } => internal(error),
    }
}

/// A store's answer with its error as a status.
pub(super) trait OrStatus<T> {
    fn or_status(self) -> Result<T, Status>;
}

impl<T> OrStatus<T> for crate::reference::Result<T> {
    fn or_status(self) -> Result<T, Status> {
        self.map_err(|error| from_store(&error))
    }
}

pub(super) fn from_correction(error: &CorrectionError) -> Status {
    let message = error.to_string();
    match error {
        CorrectionError::UnknownDecision { id, .. } => {
            Reason::UnknownDecision.resource(Code::NotFound, "semroute.v1.Decision", &id.to_string(), message)
        }
        CorrectionError::TooLong { .. } => super::violation::field("input", message),
        CorrectionError::Full { .. } => Reason::ProposalsFull.status(Code::ResourceExhausted, message),
        CorrectionError::Store(error) => from_store(error),
    }
}

pub(super) fn from_embed(error: &EmbedError) -> Status {
    match error {
        EmbedError::QueueFull { retry_after, .. } => Reason::QueueFull.overload(error.to_string(), *retry_after),
        EmbedError::WouldExpire { retry_after, .. } | EmbedError::WaitTooLong { retry_after, .. } => {
            Reason::Overloaded.overload(error.to_string(), *retry_after)
        }
        EmbedError::DeadlineExceeded => deadline("embedding the prompt"),
        EmbedError::Stopped => shutting_down(),
        _ => internal(error),
    }
}

pub(super) fn from_build(error: &BuildError) -> Status {
    let message = error.to_string();
    match error {
        BuildError::Store(error) => from_store(error),
        BuildError::EmptySet { .. } => Reason::EmptySet.status(Code::FailedPrecondition, message),
        BuildError::StaleDraft { set, .. } => {
            Reason::StaleRevision.resource(Code::Aborted, "revision", set.as_str(), message)
        }
        BuildError::AlreadyBuilding { .. } | BuildError::Superseded { .. } => {
            Reason::AlreadyBuilding.status(Code::Aborted, message)
        }
        BuildError::OtherModel { .. } => Reason::ModelMismatch.status(Code::FailedPrecondition, message),
        BuildError::LowRecall { .. } | BuildError::Disagreement { .. } | BuildError::UnknownDefaultRoute { .. } => {
            Reason::BuildRefused.status(Code::FailedPrecondition, message)
        }
        BuildError::Stopped => shutting_down(),
        BuildError::StoredEmbedding { .. } => {
            tracing::error!(error = %chain(error), "a stored embedding is damaged");
            Reason::StoreDamaged.status(Code::DataLoss, chain(error))
        }
        BuildError::Describe { .. } | BuildError::Embed { .. } => internal(error),
    }
}

/// `stage`: what was under way.
pub(super) fn deadline(stage: &str) -> Status {
    Reason::DeadlineExceeded.status(Code::DeadlineExceeded, format!("the deadline passed while {stage}"))
}

/// What must be recorded and cannot be is not answered. The log says where the trouble lies.
pub(super) fn from_audit(error: &AuditError) -> Status {
    match error {
        AuditError::Closed => shutting_down(),
        AuditError::Failing { .. } | AuditError::TooSlow { .. } => {
            Reason::AuditUnavailable.status(Code::Unavailable, "the audit log cannot be written to at present")
        }
    }
}

pub(super) fn shutting_down() -> Status {
    Reason::ShuttingDown.status(Code::Unavailable, "the server is shutting down")
}

/// A call came past the door: our bug, and not to be let in.
pub(super) fn nobody() -> Status {
    Reason::Internal.status(Code::Internal, "internal error: it was not asked who calls")
}

/// Our bug: the caller gets an id, the log the cause.
pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Status {
    let id = Uuid::now_v7();
    tracing::error!(%id, error = %chain(error), "internal error");
    Reason::Internal.status(Code::Internal, format!("internal error {id}: the server's log has the cause"))
}

/// The set's policy gives no route: there is nowhere to send a completion.
pub(super) fn no_route(decision: &Decision) -> Status {
    Reason::NoRoute.status(Code::FailedPrecondition, format!("no route applies: {}", decision.reason()))
}

/// A status as a message: what it carries in its details, or its code and text if it has none.
pub(super) fn to_message(status: &Status) -> tonic_types::Status {
    tonic_types::Status::decode(status.details()).ok().filter(|message| !message.details.is_empty()).unwrap_or_else(
        || tonic_types::Status {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Vec::new(),
        },
    )
}
