//! What lies between a decision and its plan: whose rules hold, what is asked of the targets, and what they have shown.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use tonic::{Extensions, Status};

use super::convert::Classification;
use super::status;
use crate::dispatch::{Attempt, Outcome};
use crate::provider::{Capability, ChatRequest};
use crate::reference::TargetName;
use crate::routing::{DataPolicy, RoutingTable};

/// What a decision is to be planned for.
pub(super) struct Errand<'a> {
    pub(super) chat: &'a ChatRequest,
    pub(super) policy: &'a DataPolicy,
    pub(super) needs: BTreeSet<Capability>,
    pub(super) pin: Option<&'a TargetName>,
    pub(super) affinity: Option<&'a str>,
}

/// The policy of the caller's key, where a layer before has found one.
pub(super) fn caller_policy(extensions: &Extensions) -> Option<&DataPolicy> {
    extensions.get()
}

/// Both policies hold.
pub(super) fn add_policy(classification: &mut Classification, caller: Option<&DataPolicy>) {
    if let Some(caller) = caller {
        classification.policy = classification.policy.and(caller);
    }
}

/// Ends with the deadline: counting the tokens of a long prompt takes a while, and others may be before it.
pub(super) async fn in_time<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Result<T, Status> {
    match deadline {
        Some(deadline) => {
            let done = tokio::time::timeout_at(deadline.into(), work).await;
            done.map_err(|_| status::deadline("the prompt's tokens were counted"))
        }
        None => Ok(work.await),
    }
}

/// Tells routing how long the target that answered took.
pub(super) fn observe(routing: &RoutingTable, attempts: &[Attempt], took: impl Fn(&Attempt) -> Option<Duration>) {
    for attempt in attempts.iter().filter(|attempt| attempt.outcome == Outcome::Ok) {
        if let Some(took) = took(attempt) {
            routing.latencies().record(&attempt.target, took, Instant::now());
        }
    }
}
