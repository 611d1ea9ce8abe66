//! Sends every case to every target and judges what comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, LocalBoxStream, StreamExt};

use super::answer::{Answer, NoAnswer};
use super::golden::Case;
use super::trial::{Judged, Trial};
use crate::dispatch::{Dispatcher, Limits};
use crate::provider::ChatRequest;
use crate::reference::{NameError, Route, RouteName, SetName, TargetName};
use crate::routing::{Asked, DataPolicy, Plan, RoutingTable, Size};

/// The least that a call waits before it is made again.
const LEAST_REST: Duration = Duration::from_millis(10);

/// Calls pinned targets.
pub struct Replay {
    pub routing: RoutingTable,
    pub dispatcher: Dispatcher,
    pub targets: Vec<TargetName>,
    pub terms: Terms,
}

/// How cases are sent.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Calls under way at once at each target; 0 counts as 1.
    pub concurrency: usize,
    /// How often each case is sent to each target.
    pub repeat: u32,
    /// A call that takes longer has failed.
    pub timeout: Duration,
    /// A call whose target rests, as its provider asked, waits so long at most, in all; then it has failed.
    pub max_rest: Duration,
    pub is_streamed: bool,
}

/// What a run brought.
#[derive(Debug, Default)]
pub struct Trials {
    /// By target, case and repeat.
    pub trials: Vec<Trial>,
    /// Whether all calls were made.
    pub is_complete: bool,
}

impl Replay {
    /// All targets are called side by side, so that they are measured at the same time and none waits for another.
    /// At `stop` it ends at once with what there is; calls under way are closed. `progress` is told the calls made.
    pub async fn run(&self, cases: &[Case], stop: impl Future<Output = ()>, mut progress: impl FnMut(u64)) -> Trials {
        let at_each = self.targets.iter().enumerate().map(|(at, name)| self.trials(cases, at, name));
        let mut coming = stream::select_all(at_each);
        let mut stop = std::pin::pin!(stop);
        let mut trials = Vec::new();
        let is_complete = loop {
            tokio::select! {
                biased;
                () = &mut stop => break false,
                trial = coming.next() => match trial {
                    Some(trial) => trials.push(trial),
                    None => break true,
                },
            }
            progress(trials.len() as u64);
        };
        trials.sort_unstable_by_key(|trial| (trial.target, trial.case, trial.repeat));
        Trials { trials, is_complete }
    }

    /// All cases once, then all of them again.
    fn trials<'a>(&'a self, cases: &'a [Case], target: usize, name: &'a TargetName) -> LocalBoxStream<'a, Trial> {
        let every = move |repeat| cases.iter().enumerate().map(move |(at, case)| (repeat, at, case));
        let calls = (0..self.terms.repeat).flat_map(every).map(move |(repeat, at, case)| async move {
            let (answer, rested) = self.send_rested(name, &case.request).await;
            let outcome = answer.map(|answer| Judged::of(case, answer));
            Trial { case: at, target, repeat, rested, outcome }
        });
        stream::iter(calls).buffer_unordered(self.terms.concurrency.max(1)).boxed_local()
    }

    /// Again after each rest that the provider asks for: a limit of its own says nothing of its answers. And whether it
    /// came to that.
    async fn send_rested(&self, target: &TargetName, request: &Arc<ChatRequest>) -> (Result<Answer, NoAnswer>, bool) {
        let mut rested = Duration::ZERO;
        loop {
            let outcome = self.send(target, request).await;
            let wanted = outcome.as_ref().err().and_then(|none| none.rest);
            match wanted.filter(|rest| rested.saturating_add(*rest) <= self.terms.max_rest) {
                None => return (outcome, !rested.is_zero()),
                Some(rest) => {
                    tracing::info!(to = %target, ?rest, "a call waits: the provider asks for a rest");
                    // At least a moment, so that it ends whatever is asked for.
                    let rest = rest.max(LEAST_REST);
                    tokio::time::sleep(rest).await;
                    rested = rested.saturating_add(rest);
                }
            }
        }
    }

    /// The one place that makes a plan and carries it out: this target, one attempt.
    async fn send(&self, target: &TargetName, request: &Arc<ChatRequest>) -> Result<Answer, NoAnswer> {
        let begun = Instant::now();
        let limits = Limits { max_attempts: Some(1), ..Limits::until(begun + self.terms.timeout) };
        let plan = self.plan(target, request).map_err(|error| NoAnswer::new("unnamed", error.to_string()))?;
        let dispatch = self.dispatcher.begin(&plan, Arc::clone(request), limits);
        if self.terms.is_streamed {
            return Answer::gathered(dispatch.stream(), begun).await;
        }
        Ok(Answer::whole(dispatch.complete().await?, begun.elapsed()))
    }

    /// As for a route that names this target alone: the configuration's rules hold here too.
    fn plan(&self, target: &TargetName, request: &ChatRequest) -> Result<Plan, NameError> {
        let route = Route { targets: vec![target.clone()], ..Route::named(RouteName::new("replay")?) };
        let asked = Asked {
            set: &SetName::new("replay")?,
            route: &route,
            pin: None,
            policy: &DataPolicy::default(),
            needs: &request.needs(),
            size: Size::default(),
            affinity: None,
            lot: 0,
        };
        Ok(self.routing.plan(&asked, Instant::now()))
    }
}

#[cfg(test)]
mod tests;
