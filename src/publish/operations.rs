//! Builds that run in the background of a server: one a set at a time, tracked, and remembered for a while.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::builder::{BuildRequest, Builder};
use super::error::BuildError;
use super::live::LiveSets;
use super::progress::Counters;
use super::report::BuildReport;
use crate::reference::{ReferenceSet, SetName};

/// Operations remembered.
const REMEMBERED: usize = 100;

/// A build, under way or ended.
#[derive(Clone)]
pub struct Operation {
    pub id: Uuid,
    pub set: SetName,
    pub started_at: SystemTime,
    counters: Arc<Counters>,
    ended: watch::Receiver<Option<Ended>>,
}

/// How an operation ended.
#[derive(Clone)]
pub struct Ended {
    pub at: SystemTime,
    pub result: Result<Done, Arc<BuildError>>,
}

/// What is remembered of a build: not its snapshot, which would keep every old version in memory.
#[derive(Debug, Clone)]
pub struct Done {
    pub set: ReferenceSet,
    pub report: BuildReport,
}

impl Operation {
    /// Texts to embed, and embedded so far.
    pub fn progress(&self) -> (u64, u64) {
        (self.counters.to_embed.load(Ordering::Relaxed), self.counters.embedded.load(Ordering::Relaxed))
    }

    /// `None` while it runs.
    pub fn ended(&self) -> Option<Ended> {
        // A task that was torn down without a word has ended too, or its set could never be built again.
        let gone = || self.ended.has_changed().is_err();
        let stopped = || Ended { at: self.started_at, result: Err(Arc::new(BuildError::Stopped)) };
        self.ended.borrow().clone().or_else(|| gone().then(stopped))
    }

    /// Waits for its end. Whoever stops waiting does not stop the operation.
    pub async fn wait(&mut self) -> Result<Done, Arc<BuildError>> {
        match self.ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.as_ref().map_or(Err(Arc::new(BuildError::Stopped)), |ended| ended.result.clone()),
            Err(_) => Err(Arc::new(BuildError::Stopped)),
        }
    }
}

/// Clone it freely.
#[derive(Clone)]
pub struct Operations {
    builder: Builder,
    live: LiveSets,
    tasks: TaskTracker,
    stop: CancellationToken,
    known: Arc<Mutex<VecDeque<Operation>>>,
}

impl Operations {
    pub fn new(builder: Builder, live: LiveSets, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { builder, live, tasks, stop, known: Arc::default() }
    }

    /// Starts building `set` and serving what was built. `UnknownSet`; `AlreadyBuilding` if a build of it is under way
    /// here.
    pub async fn start(&self, set: &SetName, request: BuildRequest) -> Result<Operation, BuildError> {
        self.builder.expect_set(set).await?;
        let (end, ended) = watch::channel(None);
        let counters = Arc::new(Counters::default());
        let operation = Operation {
            id: Uuid::now_v7(),
            set: set.clone(),
            started_at: SystemTime::now(),
            counters: Arc::clone(&counters),
            ended,
        };
        self.remember(&operation)?;

        let (builder, live, stop, set) = (self.builder.clone(), self.live.clone(), self.stop.clone(), set.clone());
        self.tasks.spawn(async move {
            let result = tokio::select! {
                () = stop.cancelled() => Err(BuildError::Stopped),
                built = builder.build(&set, &request, counters.as_ref()) => built,
            };
            let result = result.map(|built| {
                live.serve(built.snapshot);
                Done { set: built.set, report: built.report }
            });
            end.send_replace(Some(Ended { at: SystemTime::now(), result: result.map_err(Arc::new) }));
        });
        Ok(operation)
    }

    fn remember(&self, operation: &Operation) -> Result<(), BuildError> {
        let mut known = self.lock();
        if known.iter().any(|known| known.set == operation.set && known.ended().is_none()) {
            return Err(BuildError::AlreadyBuilding { set: operation.set.clone() });
        }
        known.push_front(operation.clone());
        let mut place = 0;
        // One that runs is never forgotten: it is what keeps a second build of its set away.
        known.retain(|known| {
            place += 1;
            place <= REMEMBERED || known.ended().is_none()
        });
        Ok(())
    }

    pub fn get(&self, id: Uuid) -> Option<Operation> {
        self.lock().iter().find(|operation| operation.id == id).cloned()
    }

    /// Newest first.
    pub fn list(&self) -> Vec<Operation> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Operation>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
