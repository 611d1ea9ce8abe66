//! Who makes a call: the holder of a key, or anyone where keys are not asked for.

use std::sync::Arc;

use tokio::sync::SetOnce;

use super::account::Account;
use super::error::{Forbidden, Unauthenticated};
use super::key::{Limits, VirtualKey};
use super::role::Role;
use super::secret::KeyId;
use crate::reference::{RouteName, SetName};
use crate::routing::DataPolicy;

/// Clone it freely. Keeps the rights and limits that the key had when the call came.
#[derive(Debug, Clone)]
pub struct Caller(Option<Arc<Holder>>);

/// A key in use.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) key: VirtualKey,
    pub(super) account: Arc<Account>,
    /// Set when the key is revoked, expires or gets a new secret.
    pub(super) ended: Arc<SetOnce<Unauthenticated>>,
}

impl Caller {
    /// Where keys are not asked for: everything is allowed, without limits.
    pub fn anyone() -> Self {
        Self(None)
    }

    pub(super) fn holding(holder: Arc<Holder>) -> Self {
        Self(Some(holder))
    }

    pub(super) fn holder(&self) -> Option<&Arc<Holder>> {
        self.0.as_ref()
    }

    pub fn key_id(&self) -> Option<&KeyId> {
        self.0.as_ref().map(|holder| &holder.key.id)
    }

    /// What the key's owner allows to be done with its prompts.
    pub fn policy(&self) -> Option<&DataPolicy> {
        self.0.as_ref()?.key.terms.policy.as_ref()
    }

    pub(super) fn limits(&self) -> Limits {
        self.0.as_ref().map_or_else(Limits::default, |holder| holder.key.terms.limits)
    }

    /// Whether its tokens or its money are limited.
    pub fn is_limited(&self) -> bool {
        let limits = self.limits();
        limits.has_budget() || limits.tokens_per_minute.is_some()
    }

    pub fn check_routing(&self) -> Result<(), Forbidden> {
        match &self.0 {
            Some(holder) if !holder.key.terms.may_route => Err(Forbidden::Routing { key: holder.key.id.clone() }),
            _ => Ok(()),
        }
    }

    pub fn check_role(&self, needed: Role) -> Result<(), Forbidden> {
        let Some(holder) = &self.0 else { return Ok(()) };
        let has = holder.key.terms.role;
        if has >= Some(needed) { Ok(()) } else { Err(Forbidden::Role { key: holder.key.id.clone(), needed, has }) }
    }

    pub fn check_set(&self, set: &SetName) -> Result<(), Forbidden> {
        match &self.0 {
            Some(holder) if holder.key.terms.sets.as_ref().is_some_and(|sets| !sets.contains(set)) => {
                Err(Forbidden::Set { key: holder.key.id.clone(), set: set.clone() })
            }
            _ => Ok(()),
        }
    }

    pub fn check_route(&self, route: &RouteName) -> Result<(), Forbidden> {
        match &self.0 {
            Some(holder) if holder.key.terms.routes.as_ref().is_some_and(|routes| !routes.contains(route)) => {
                Err(Forbidden::Route { key: holder.key.id.clone(), route: route.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Waits until the key ends, and says how; for ever if it does not. No call outlives its key.
    pub async fn ended(&self) -> Unauthenticated {
        match &self.0 {
            Some(holder) => *holder.ended.wait().await,
            None => std::future::pending().await,
        }
    }
}
