//! Why a call is turned away.

use std::time::Duration;

use super::role::Role;
use super::secret::KeyId;
use crate::money::Money;
use crate::reference::{RouteName, SetName};

/// Who calls is not known. Says nothing of what a key of that id would be: only its owner learns that it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unauthenticated {
    #[error("a key is needed: send it as `authorization: Bearer <key>`")]
    Missing,
    #[error("what was sent has not the form of a key: send one as `authorization: Bearer <key>`")]
    Malformed,
    #[error("the key is not known")]
    Unknown,
    #[error("the key has been revoked or replaced")]
    Revoked,
    #[error("the key has expired")]
    Expired,
}

impl Unauthenticated {
    pub const ALL: [Self; 5] = [Self::Missing, Self::Malformed, Self::Unknown, Self::Revoked, Self::Expired];

    /// For metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// Who calls is known, and may not do this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("this method needs a key with role {needed}, the key {key} has {}", .has.map_or("none", Role::as_str))]
    Role { key: KeyId, needed: Role, has: Option<Role> },
    #[error("the key {key} may not send prompts")]
    Routing { key: KeyId },
    #[error("the key {key} may not use reference set {set}")]
    Set { key: KeyId, set: SetName },
    #[error("the key {key} may not use route {route}, to which the prompt was decided")]
    Route { key: KeyId, route: RouteName },
}

/// He may, and has had his share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `retry_after` is `None` where it never would: a batch is larger than the limit.
    #[error("the key's {limit} requests a minute do not hold {needed} more")]
    Requests { limit: u64, needed: u64, retry_after: Option<Duration> },
    #[error("the key's {limit} tokens a minute are used up: this request may take {needed}")]
    Tokens { limit: u64, needed: u64, retry_after: Duration },
    #[error("as many requests of the key are under way as it is allowed: {limit}")]
    Concurrency { limit: u64 },
    /// `retry_after` is `None` where it never would: a request costs more than the whole budget.
    #[error(
        "this request may cost {needed}, and of the key's {limit} a {period} {left} is left, less what is reserved for \
         requests under way"
    )]
    Money { period: Period, limit: Money, left: Money, needed: Money, retry_after: Option<Duration> },
    #[error("the key has a budget, and what the target costs is not known: configure its prices")]
    Unpriced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    Day,
    Month,
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Month => "month",
        })
    }
}

impl Refused {
    pub const KINDS: [&str; 6] = ["requests", "tokens", "concurrency", "money_day", "money_month", "unpriced"];

    /// One of [`Refused::KINDS`], for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Requests { .. } => "requests",
            Self::Tokens { .. } => "tokens",
            Self::Concurrency { .. } => "concurrency",
            Self::Money { period: Period::Day, .. } => "money_day",
            Self::Money { period: Period::Month, .. } => "money_month",
            Self::Unpriced => "unpriced",
        }
    }
}
