//! Who may not call, and why not now.

use tonic::{Code, Status};

use super::reason::{RETRY_SOON, Reason};
use super::{from_store, internal};
use crate::govern::keys::{Forbidden, KeyError, KeyId};
use crate::govern::{Refused, Unauthenticated};

pub(in crate::grpc) fn unauthenticated(why: Unauthenticated) -> Status {
    let reason = match why {
        Unauthenticated::Missing => Reason::MissingKey,
        Unauthenticated::Malformed => Reason::MalformedKey,
        Unauthenticated::Unknown => Reason::UnknownKey,
        Unauthenticated::Revoked => Reason::RevokedKey,
        Unauthenticated::Expired => Reason::ExpiredKey,
    };
    reason.status(Code::Unauthenticated, why.to_string())
}

pub(in crate::grpc) fn forbidden(why: &Forbidden) -> Status {
    let reason = match why {
        Forbidden::Role { .. } => Reason::RoleTooLow,
        Forbidden::Routing { .. } => Reason::MayNotRoute,
        Forbidden::Set { .. } => Reason::SetNotAllowed,
        Forbidden::Route { .. } => Reason::RouteNotAllowed,
    };
    reason.status(Code::PermissionDenied, why.to_string())
}

/// A limit of the caller's key. RetryInfo is true; there is none where no waiting helps.
pub(in crate::grpc) fn refused(why: &Refused) -> Status {
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

/// What the key forbids cannot be told from what it allows: nothing may be sent.
pub(in crate::grpc) fn outdated_key(provider: &str) -> Status {
    let message =
        format!("the key denies provider {provider:?}, which is configured no more: an admin has to update it");
    Reason::KeyOutdated.status(Code::FailedPrecondition, message)
}

pub(in crate::grpc) fn from_key(error: &KeyError) -> Status {
    let message = error.to_string();
    let about =
        |reason: Reason, code: Code, id: &KeyId| reason.resource(code, "semroute.v1.Key", id.as_str(), message.clone());
    match error {
        KeyError::Unknown(id) => about(Reason::NoSuchKey, Code::NotFound, id),
        KeyError::Revoked(id) => about(Reason::RevokedKey, Code::FailedPrecondition, id),
        KeyError::Contended(id) => about(Reason::KeyContended, Code::Aborted, id),
        KeyError::Faults(faults) => super::super::violation::fields("terms", faults),
        KeyError::Random(_) => internal(error),
        KeyError::Store(error) => from_store(error),
    }
}
