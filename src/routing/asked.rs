//! What a plan is asked for.

use std::collections::BTreeSet;

use super::policy::DataPolicy;
use super::size::Size;
use crate::provider::Capability;
use crate::reference::{Route, SetName, TargetName};

#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub set: &'a SetName,
    pub route: &'a Route,
    /// Only this one of the route's targets.
    pub pin: Option<&'a TargetName>,
    /// Of the request and its caller. Those of the configuration are added to it.
    pub policy: &'a DataPolicy,
    /// What the model must be able to do.
    pub needs: &'a BTreeSet<Capability>,
    pub size: Size,
    /// Requests with the same key go to the same target, where a route's order would share them out.
    pub affinity: Option<&'a str>,
    /// A random number, for orders that draw lots.
    pub lot: u64,
}
