//! What lies between a decision and its plan: whose rules hold, what is asked of the targets, and what they have shown.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tonic::Status;

use super::convert::Classification;
use super::status;
use crate::dispatch::{Observer, Outcome};
use crate::govern::Caller;
use crate::provider::{Capability, ChatRequest};
use crate::reference::TargetName;
use crate::routing::{DataPolicy, Known, RoutingTable};

/// What a decision is to be planned for.
pub(super) struct Errand<'a> {
    pub(super) chat: &'a ChatRequest,
    pub(super) policy: &'a DataPolicy,
    pub(super) needs: BTreeSet<Capability>,
    pub(super) pin: Option<&'a TargetName>,
    pub(super) affinity: Option<&'a str>,
}

/// The policies of the request and of its caller both hold.
///
/// # Errors
/// FAILED_PRECONDITION if what the caller's policy denies is known no more.
pub(super) fn add_policy(classification: &mut Classification, caller: &Caller, known: &Known) -> Result<(), Status> {
    let Some(policy) = caller.policy() else { return Ok(()) };
    if let Some(provider) = known.denied_in_vain(policy) {
        return Err(status::outdated_key(provider));
    }
    classification.policy = classification.policy.and(policy);
    Ok(())
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

/// Tells routing how long each target takes that answers, or does not in time: until its first text, or for a whole
/// answer.
pub(super) fn learning(routing: &Arc<RoutingTable>) -> Observer {
    let routing = Arc::clone(routing);
    Arc::new(move |attempt| {
        // One that hangs would else look quicker the longer nobody is sent there.
        let counts = matches!(attempt.outcome, Outcome::Ok | Outcome::Failed { kind: "timeout", .. });
        if counts {
            let took = attempt.first_text.unwrap_or(attempt.duration);
            routing.latencies().record(&attempt.target, took, Instant::now());
        }
    })
}
