//! The only place where errors become statuses: code, message, and google.rpc details for machines.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use super::convert::attempts_detail;
use crate::classify::Decision;
use crate::dispatch;
use crate::embed::EmbedError;
use crate::govern::audit::AuditError;
use crate::govern::keys::{Forbidden, KeyError, KeyId};
use crate::govern::{Refused, Unauthenticated};
use crate::learn::CorrectionError;
use crate::publish::{BuildError, Problem};
use crate::reference::{SetName, StoreError};
use crate::telemetry::chain;

/// `ErrorInfo.domain` of every error.
pub(super) const DOMAIN: &str = "semroute";

/// When a refused caller may try again.
const RETRY_SOON: Duration = Duration::from_millis(200);

/// Longest message of a failed dispatch, and of its attempts together. A status travels in headers, where every byte
/// that is not ASCII takes three; clients take 8 or 16 KB of them and give up the whole connection for more.
const MAX_MESSAGE_BYTES: usize = 600;
const MAX_ATTEMPTS_BYTES: usize = 1_500;

/// Most refusals among the details, and bytes of their reasons together: they come where there are no attempts.
const MAX_REFUSALS: usize = 40;
const MAX_REFUSALS_BYTES: usize = 2_000;

/// `ErrorInfo.reason`: stable words that a program can switch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    InvalidField,
    UnknownSet,
    UnknownRoute,
    UnknownReferencePrompt,
    UnknownVersion,
    UnknownReindex,
    UnknownProposal,
    UnknownDecision,
    ProposalClosed,
    ProposalsFull,
    StaleRevision,
    RouteNotEmpty,
    EmptySet,
    AlreadyBuilding,
    BuildRefused,
    ModelMismatch,
    NothingPublished,
    NotServed,
    StoreUnavailable,
    StoreDamaged,
    QueueFull,
    Overloaded,
    TooManyRequests,
    DeadlineExceeded,
    ShuttingDown,
    NoRoute,
    NoAllowedTarget,
    AllTargetsFailed,
    RejectedByProvider,
    BrokenStream,
    AuditUnavailable,
    MissingKey,
    MalformedKey,
    UnknownKey,
    RevokedKey,
    ExpiredKey,
    RoleTooLow,
    MayNotRoute,
    SetNotAllowed,
    RouteNotAllowed,
    KeyRequests,
    KeyTokens,
    KeyConcurrency,
    KeyMoney,
    UnpricedTarget,
    NoSuchKey,
    KeyContended,
    Internal,
}

impl Reason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidField => "INVALID_FIELD",
            Self::UnknownSet => "UNKNOWN_SET",
            Self::UnknownRoute => "UNKNOWN_ROUTE",
            Self::UnknownReferencePrompt => "UNKNOWN_REFERENCE_PROMPT",
            Self::UnknownVersion => "UNKNOWN_VERSION",
            Self::UnknownReindex => "UNKNOWN_REINDEX",
            Self::UnknownProposal => "UNKNOWN_PROPOSAL",
            Self::UnknownDecision => "UNKNOWN_DECISION",
            Self::ProposalClosed => "PROPOSAL_CLOSED",
            Self::ProposalsFull => "PROPOSALS_FULL",
            Self::StaleRevision => "STALE_REVISION",
            Self::RouteNotEmpty => "ROUTE_NOT_EMPTY",
            Self::EmptySet => "EMPTY_SET",
            Self::AlreadyBuilding => "ALREADY_BUILDING",
            Self::BuildRefused => "BUILD_REFUSED",
            Self::ModelMismatch => "MODEL_MISMATCH",
            Self::NotServed => "NOT_SERVED",
            Self::NothingPublished => "NOTHING_PUBLISHED",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::StoreDamaged => "STORE_DAMAGED",
            Self::QueueFull => "QUEUE_FULL",
            Self::Overloaded => "OVERLOADED",
            Self::TooManyRequests => "TOO_MANY_REQUESTS",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::NoRoute => "NO_ROUTE",
            Self::NoAllowedTarget => "NO_ALLOWED_TARGET",
            Self::AllTargetsFailed => "ALL_TARGETS_FAILED",
            Self::RejectedByProvider => "REJECTED_BY_PROVIDER",
            Self::BrokenStream => "BROKEN_STREAM",
            Self::AuditUnavailable => "AUDIT_UNAVAILABLE",
            Self::MissingKey => "MISSING_KEY",
            Self::MalformedKey => "MALFORMED_KEY",
            Self::UnknownKey => "UNKNOWN_KEY",
            Self::RevokedKey => "REVOKED_KEY",
            Self::ExpiredKey => "EXPIRED_KEY",
            Self::RoleTooLow => "ROLE_TOO_LOW",
            Self::MayNotRoute => "MAY_NOT_ROUTE",
            Self::SetNotAllowed => "SET_NOT_ALLOWED",
            Self::RouteNotAllowed => "ROUTE_NOT_ALLOWED",
            Self::KeyRequests => "KEY_REQUESTS",
            Self::KeyTokens => "KEY_TOKENS",
            Self::KeyConcurrency => "KEY_CONCURRENCY",
            Self::KeyMoney => "KEY_MONEY",
            Self::UnpricedTarget => "UNPRICED_TARGET",
            Self::NoSuchKey => "NO_SUCH_KEY",
            Self::KeyContended => "KEY_CONTENDED",
            Self::Internal => "INTERNAL",
        }
    }

    pub(super) fn status(self, code: Code, message: impl Into<String>) -> Status {
        self.detailed(code, message, ErrorDetails::new())
    }

    /// Adds ErrorInfo, and RetryInfo where trying again may help.
    fn detailed(self, code: Code, message: impl Into<String>, mut details: ErrorDetails) -> Status {
        details.set_error_info(self.as_str(), DOMAIN, HashMap::new());
        if matches!(code, Code::ResourceExhausted) && details.retry_info().is_none() {
            details.set_retry_info(Some(RETRY_SOON));
        }
        Status::with_error_details(code, message, details)
    }

    /// RESOURCE_EXHAUSTED, to be tried again when there will be room.
    fn overload(self, message: String, retry_after: Duration) -> Status {
        let mut details = ErrorDetails::new();
        details.set_retry_info(Some(retry_after));
        self.detailed(Code::ResourceExhausted, message, details)
    }

    fn resource(self, code: Code, kind: &str, name: &str, message: String) -> Status {
        let mut details = ErrorDetails::new();
        details.set_resource_info(kind, name, "", message.clone());
        self.detailed(code, message, details)
    }
}

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

pub(super) fn unauthenticated(why: Unauthenticated) -> Status {
    let reason = match why {
        Unauthenticated::Missing => Reason::MissingKey,
        Unauthenticated::Malformed => Reason::MalformedKey,
        Unauthenticated::Unknown => Reason::UnknownKey,
        Unauthenticated::Revoked => Reason::RevokedKey,
        Unauthenticated::Expired => Reason::ExpiredKey,
    };
    reason.status(Code::Unauthenticated, why.to_string())
}

/// A call came past the door: our bug, and not to be let in.
pub(super) fn nobody() -> Status {
    Reason::Internal.status(Code::Internal, "internal error: it was not asked who calls")
}

pub(super) fn forbidden(why: &Forbidden) -> Status {
    let reason = match why {
        Forbidden::Role { .. } => Reason::RoleTooLow,
        Forbidden::Routing { .. } => Reason::MayNotRoute,
        Forbidden::Set { .. } => Reason::SetNotAllowed,
        Forbidden::Route { .. } => Reason::RouteNotAllowed,
    };
    reason.status(Code::PermissionDenied, why.to_string())
}

/// A limit of the caller's key. RetryInfo is true; there is none where no waiting helps.
pub(super) fn refused(why: &Refused) -> Status {
    let message = why.to_string();
    match why {
        Refused::Requests { retry_after: Some(retry_after), .. } => Reason::KeyRequests.overload(message, *retry_after),
        Refused::Requests { retry_after: None, .. } => Reason::KeyRequests.status(Code::FailedPrecondition, message),
        Refused::Tokens { retry_after, .. } => Reason::KeyTokens.overload(message, *retry_after),
        Refused::Concurrency { .. } => Reason::KeyConcurrency.overload(message, RETRY_SOON),
        Refused::Money { retry_after: Some(retry_after), .. } => Reason::KeyMoney.overload(message, *retry_after),
        Refused::Money { retry_after: None, .. } => Reason::KeyMoney.status(Code::FailedPrecondition, message),
        Refused::Unpriced => Reason::UnpricedTarget.status(Code::FailedPrecondition, message),
    }
}

pub(super) fn from_key(error: &KeyError) -> Status {
    let message = error.to_string();
    let about =
        |reason: Reason, code: Code, id: &KeyId| reason.resource(code, "semroute.v1.Key", id.as_str(), message.clone());
    match error {
        KeyError::Unknown(id) => about(Reason::NoSuchKey, Code::NotFound, id),
        KeyError::Revoked(id) => about(Reason::RevokedKey, Code::FailedPrecondition, id),
        KeyError::Contended(id) => about(Reason::KeyContended, Code::Aborted, id),
        KeyError::Faults(faults) => super::violation::fields("terms", faults),
        KeyError::Random(_) => internal(error),
        KeyError::Store(error) => from_store(error),
    }
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

fn shortened(mut text: String, most_bytes: usize) -> String {
    if text.len() > most_bytes {
        text.truncate(text.floor_char_boundary(most_bytes));
        text.push_str(" ...");
    }
    text
}

/// With every attempt, and every target that was refused or passed over, among the details. `currency`: of the
/// configured prices.
pub(super) fn from_dispatch(error: &dispatch::Error, currency: &str) -> Status {
    let (reason, code) = match error {
        dispatch::Error::NoTargets { .. } => (Reason::NoAllowedTarget, Code::FailedPrecondition),
        dispatch::Error::AllFailed { .. } => (Reason::AllTargetsFailed, Code::Unavailable),
        dispatch::Error::Rejected { .. } => (Reason::RejectedByProvider, Code::FailedPrecondition),
        dispatch::Error::DeadlineExceeded { .. } => (Reason::DeadlineExceeded, Code::DeadlineExceeded),
        dispatch::Error::BrokenStream { .. } => (Reason::BrokenStream, Code::Unavailable),
    };
    let mut details = ErrorDetails::new();
    // How long the providers asked us to stay away: until then another try is in vain.
    let asked = error.attempts().iter().filter_map(|attempt| attempt.retry_after);
    let rests = error.passed().iter().filter_map(|passed| passed.reason.left());
    if let Some(pause) = asked.chain(rests).min() {
        details.set_retry_info(Some(pause));
    }
    let status = reason.detailed(code, shortened(error.to_string(), MAX_MESSAGE_BYTES), details);
    let mut message = to_message(&status);
    let mut tried = attempts_detail(error, currency);
    let share = MAX_ATTEMPTS_BYTES / tried.attempts.len().max(1);
    for attempt in &mut tried.attempts {
        attempt.message = shortened(std::mem::take(&mut attempt.message), share);
    }
    tried.refused.truncate(MAX_REFUSALS);
    let share = MAX_REFUSALS_BYTES / tried.refused.len().max(1);
    for refusal in &mut tried.refused {
        refusal.reason = shortened(std::mem::take(&mut refusal.reason), share);
    }
    let detail = prost_types::Any {
        type_url: "type.googleapis.com/semroute.v1.AttemptsDetail".to_owned(),
        value: tried.encode_to_vec(),
    };
    message.details.push(detail);
    Status::with_details(code, status.message(), message.encode_to_vec().into())
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
