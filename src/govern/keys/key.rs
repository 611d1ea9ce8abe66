//! A virtual key: what an operator sets, and what becomes of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::role::Role;
use super::secret::KeyId;
use crate::money::Money;
use crate::reference::{RouteName, SetName};
use crate::routing::DataPolicy;

/// Longest name in bytes of UTF-8.
pub const MAX_KEY_NAME_BYTES: usize = 128;

/// What an operator sets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyTerms {
    /// For people; need not be unique.
    pub name: String,
    /// For the management API. `None`: nothing there.
    pub role: Option<Role>,
    /// Whether prompts may be sent with it.
    pub may_route: bool,
    /// Sets that prompts may be decided with. `None`: all.
    pub sets: Option<BTreeSet<SetName>>,
    /// Routes that prompts may be sent along. `None`: all.
    pub routes: Option<BTreeSet<RouteName>>,
    /// Holds for every request, together with the request's own.
    pub policy: Option<DataPolicy>,
    pub limits: Limits,
    /// Seconds since the Unix epoch. `None`: never.
    pub expires_at: Option<i64>,
}

/// Each `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// In any 60 seconds; a prompt of a batch is a request.
    pub requests_per_minute: Option<u64>,
    /// In any 60 seconds, read and written together.
    pub tokens_per_minute: Option<u64>,
    /// Under way at once.
    pub max_concurrent: Option<u64>,
    /// Of a day (UTC).
    pub money_per_day: Option<Money>,
    /// Of a calendar month (UTC).
    pub money_per_month: Option<Money>,
}

impl Limits {
    pub(super) fn has_budget(&self) -> bool {
        self.money_per_day.is_some() || self.money_per_month.is_some()
    }
}

/// A key without its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualKey {
    pub id: KeyId,
    pub terms: KeyTerms,
    /// Seconds since the Unix epoch, like all times here.
    pub created_at: i64,
    pub revoked_at: Option<i64>,
    /// One more with every change, from 1.
    pub revision: u64,
}

impl KeyTerms {
    /// Everything that is wrong whatever is configured: field and fault. See [`super::Words`] for the words.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut add = |field: &str, what: String| faults.push((field.to_owned(), what));
        let name = &self.name;
        if name.is_empty() || name.len() > MAX_KEY_NAME_BYTES {
            add("name", format!("has {} bytes, must have 1 to {MAX_KEY_NAME_BYTES}", name.len()));
        } else if name.trim() != name || name.chars().any(char::is_control) {
            add("name", format!("{name:?} holds a control character or white space at its ends"));
        }
        if self.role.is_none() && !self.may_route {
            add("may_route", "is false and there is no role: the key would be good for nothing".to_owned());
        }
        for (field, is_empty) in [
            ("sets", self.sets.as_ref().is_some_and(BTreeSet::is_empty)),
            ("routes", self.routes.as_ref().is_some_and(BTreeSet::is_empty)),
        ] {
            if is_empty {
                add(field, "is empty, which allows none: leave it out to allow all".to_owned());
            }
        }
        let counts = [
            ("requests_per_minute", self.limits.requests_per_minute),
            ("tokens_per_minute", self.limits.tokens_per_minute),
            ("max_concurrent", self.limits.max_concurrent),
        ];
        for (field, _) in counts.into_iter().filter(|(_, limit)| *limit == Some(0)) {
            add(&format!("limits.{field}"), "is 0: revoke the key instead".to_owned());
        }
        let policy = self.policy.iter().flat_map(DataPolicy::faults);
        faults.extend(policy.map(|(field, what)| (format!("policy.{field}"), what)));
        faults
    }
}
