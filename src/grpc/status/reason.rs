//! The stable words that tell programs what went wrong, and statuses made of them.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// `ErrorInfo.domain` of every error.
pub(in crate::grpc) const DOMAIN: &str = "semroute";

/// When a refused caller may try again.
pub(super) const RETRY_SOON: Duration = Duration::from_millis(200);

/// `ErrorInfo.reason`: stable words that a program can switch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::grpc) enum Reason {
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
    KeyOutdated,
    NoSuchKey,
    KeyContended,
    Internal,
}

impl Reason {
    pub(in crate::grpc) fn as_str(self) -> &'static str {
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
            Self::KeyOutdated => "KEY_OUTDATED",
            Self::NoSuchKey => "NO_SUCH_KEY",
            Self::KeyContended => "KEY_CONTENDED",
            Self::Internal => "INTERNAL",
        }
    }

    pub(in crate::grpc) fn status(self, code: Code, message: impl Into<String>) -> Status {
        self.detailed(code, message, ErrorDetails::new())
    }

    /// Adds ErrorInfo, and RetryInfo where trying again may help.
    pub(super) fn detailed(self, code: Code, message: impl Into<String>, mut details: ErrorDetails) -> Status {
        details.set_error_info(self.as_str(), DOMAIN, HashMap::new());
        if matches!(code, Code::ResourceExhausted) && details.retry_info().is_none() {
            details.set_retry_info(Some(RETRY_SOON));
        }
        Status::with_error_details(code, message, details)
    }

    /// RESOURCE_EXHAUSTED, to be tried again when there will be room.
    pub(super) fn overload(self, message: String, retry_after: Duration) -> Status {
        let mut details = ErrorDetails::new();
        details.set_retry_info(Some(retry_after));
        self.detailed(Code::ResourceExhausted, message, details)
    }

    pub(super) fn resource(self, code: Code, kind: &str, name: &str, message: String) -> Status {
        let mut details = ErrorDetails::new();
        details.set_resource_info(kind, name, "", message.clone());
        self.detailed(code, message, details)
    }
}
