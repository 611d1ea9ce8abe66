//! Sends every case to every target and judges what comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, LocalBoxStream, StreamExt};

use super::answer::{Answer, NoAnswer};
use super::golden::Case;
use super::trial::{Judged, Trial};
use crate::dispatch::Dispatcher;
use crate::provider::ChatRequest;
use crate::reference::TargetName;
use crate::routing::Catalogue;

/// Calls pinned targets.
pub struct Replay {
    pub catalogue: Catalogue,
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
            let outcome = self.send(name, &case.request).await.map(|answer| Judged::of(case, answer));
            Trial { case: at, target, repeat, outcome }
        });
        stream::iter(calls).buffer_unordered(self.terms.concurrency.max(1)).boxed_local()
    }

    /// The one place that makes a plan and carries it out: this target, one attempt.
    async fn send(&self, target: &TargetName, request: &Arc<ChatRequest>) -> Result<Answer, NoAnswer> {
        let plan = self.catalogue.plan(None, std::slice::from_ref(target));
        let begun = Instant::now();
        let (deadline, attempts) = (begun + self.terms.timeout, Some(1));
        if self.terms.is_streamed {
            let events = self.dispatcher.stream(&plan, Arc::clone(request), deadline, attempts);
            return Answer::gathered(events, begun).await;
        }
        let dispatched = self.dispatcher.complete(&plan, request, deadline, attempts).await?;
        Ok(Answer::whole(dispatched, begun.elapsed()))
    }
}

#[cfg(test)]
mod tests;
