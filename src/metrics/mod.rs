//! What is counted and measured for Prometheus: see the golden list of names in `tests/golden/metrics.txt`.
//!
//! Requests only add to counters that were looked up before: no lock, no allocation. What others count for themselves
//! (the queue, the cache, the snapshots) is read when somebody asks. Labels are names of methods, codes, stages,
//! of configured targets, and of the sets and routes that are served; never anything that a caller writes.

mod audit;
mod book;
mod calls;
mod decisions;
mod keys;
mod learning;
mod llm;
mod process;
mod prompts;
mod readings;
mod targets;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus::{Registry, TextEncoder};

use book::Book;
pub use calls::{Call, Calls};
use decisions::Decisions;
use process::Process;
pub use prompts::Asked;
use prompts::Prompts;
use readings::Readings;
use targets::Targets;

use crate::classify::{Budget, ExactCache};
use crate::dispatch::{Attempt, Health};
use crate::embed::EmbedQueue;
use crate::govern::Keys;
use crate::govern::audit::Audit;
use crate::learn::Learning;
use crate::publish::LiveSets;
use crate::routing::Target;

/// What [`Metrics::text`] is.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// A name that is taken or not allowed: a bug that the first test finds.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be set up")]
pub struct MetricsError(#[from] prometheus::Error);

/// Where the figures are that others count.
pub struct Sources {
    pub live: LiveSets,
    pub queue: EmbedQueue,
    pub cache: Option<ExactCache>,
    /// Of the LLM stage.
    pub budget: Option<Budget>,
    pub learning: Learning,
    pub audit: Audit,
    /// Of the targets.
    pub health: Health,
    pub keys: Keys,
    /// Name of the embedding model.
    pub model: String,
}

/// Clone it freely.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    calls: Calls,
    prompts: Prompts,
    decisions: Decisions,
    process: Process,
    readings: Readings,
    targets: Targets,
    sources: Sources,
    /// One reads at a time: readings are put together from several sources.
    reading: Mutex<()>,
}

impl Metrics {
    /// `methods`: the paths of the methods that are counted one by one, such as `/package.Service/Method`.
    pub fn new(sources: Sources, methods: impl IntoIterator<Item = String>) -> Result<Self, MetricsError> {
        let book = Book::default();
        let inner = Inner {
            calls: Calls::new(&book, methods)?,
            prompts: Prompts::new(&book)?,
            decisions: Decisions::new(&book)?,
            process: Process::new(&book)?,
            readings: Readings::new(&book, &sources.model)?,
            targets: Targets::new(&book)?,
            registry: book.registry(),
            sources,
            reading: Mutex::new(()),
        };
        Ok(Self(Arc::new(inner)))
    }

    pub fn calls(&self) -> &Calls {
        &self.0.calls
    }

    /// A prompt has come to be decided.
    pub fn asked(&self, deadline: Option<Instant>) -> Asked {
        Asked::new(self.clone(), deadline)
    }

    /// A request was sent away because too many were under way.
    pub fn refused_for_concurrency(&self) {
        self.0.prompts.refused_for_concurrency();
    }

    /// These targets are shown from now on.
    pub fn expect_targets(&self, targets: &[Arc<Target>]) {
        targets.iter().for_each(|target| self.0.targets.expect(target.name.as_str()));
    }

    /// A call of a target has ended.
    pub fn attempted(&self, attempt: &Attempt) {
        self.0.targets.count(attempt);
    }

    /// Everything as of now, in the text format 0.0.4.
    pub fn text(&self) -> Result<String, MetricsError> {
        let inner = &self.0;
        let _alone = inner.reading.lock().unwrap_or_else(PoisonError::into_inner);
        inner.process.read();
        inner.readings.read(&inner.sources);
        inner.targets.read(&inner.sources.health);
        inner.decisions.keep_only(&inner.sources.live.snapshots().all());
        Ok(TextEncoder::new().encode_to_string(&inner.registry.gather())?)
    }
}
