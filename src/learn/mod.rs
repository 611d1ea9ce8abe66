//! What is learned while serving: the LLM stage's verdicts and the corrections that clients send become proposals for
//! reference prompts. A person or a rule takes them into a set's draft; nothing is published by itself.
//!
//! The request path only remembers (in memory, bounded) and hands over (to a bounded queue, without waiting). What is
//! written is written by a task of its own, or by the call that brings a correction.

mod accuracy;
mod config;
mod correction;
mod counts;
mod memory;
mod near;
mod recorder;
mod rule;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use accuracy::{Examination, Examined, Example};
pub use config::{AcceptConfig, FeedbackConfig};
pub use correction::{Correction, CorrectionError};
use counts::Counts;
pub use counts::{LearningStats, Outcomes};
use memory::Memory;
pub use memory::Remembered;
use recorder::Recorder;
pub use recorder::RecorderParts;
use rule::Rule;

use crate::calendar::{unix_now, unix_seconds};
use crate::classify::Decision;
use crate::reference::{
    MAX_TEXT_BYTES, Origin, Precondition, Proposal, ProposalId, Recorded, Result as StoreResult, RouteName, SetName,
    Settlement, Source, StoreError,
};

/// How often the rule looks at what is proposed.
const RULE_EVERY: Duration = Duration::from_secs(10);

/// It rests so many times as long as it has worked: prompts are to be decided on the same cores.
const REST: u32 = 20;

/// A verdict on its way to the store.
#[derive(Debug)]
struct Verdict {
    decision: Uuid,
    set: SetName,
    route: RouteName,
    text: Arc<str>,
    at: SystemTime,
}

/// Clone it freely.
#[derive(Clone)]
pub struct Learning(Arc<Inner>);

struct Inner {
    config: FeedbackConfig,
    /// The model of the LLM stage; empty without one.
    llm: String,
    memory: Memory,
    recorder: Recorder,
    verdicts: mpsc::Sender<Verdict>,
    /// Taken by [`Learning::run`].
    waiting: Mutex<Option<mpsc::Receiver<Verdict>>>,
    from_verdicts: Counts,
    from_corrections: Counts,
    accepted: AtomicU64,
    accepted_by_rule: AtomicU64,
    rejected: AtomicU64,
}

impl Learning {
    /// `config`: without one nothing is remembered, and verdicts are not recorded.
    pub fn new(config: Option<FeedbackConfig>, llm: Option<&str>, parts: RecorderParts) -> Self {
        let config = config.unwrap_or_else(FeedbackConfig::off);
        let (verdicts, waiting) = mpsc::channel(config.queue_capacity.max(1));
        let inner = Inner {
            memory: Memory::new(&config),
            recorder: Recorder::new(parts, &config),
            llm: llm.unwrap_or_default().to_owned(),
            config,
            verdicts,
            waiting: Mutex::new(Some(waiting)),
            from_verdicts: Counts::default(),
            from_corrections: Counts::default(),
            accepted: AtomicU64::default(),
            accepted_by_rule: AtomicU64::default(),
            rejected: AtomicU64::default(),
        };
        Self(Arc::new(inner))
    }

    /// A decision was made on `text`. Neither waits nor writes.
    pub fn decided(&self, decision: &Decision, text: &Arc<str>) {
        let inner = &self.0;
        if text.len() > MAX_TEXT_BYTES {
            return;
        }
        let remembered = Remembered { set: decision.snapshot.set.clone(), text: Arc::clone(text) };
        inner.memory.keep(decision.id, remembered, Instant::now());
        let Some(route) = decision.route().filter(|_| self.is_news(decision)) else { return };
        let verdict = Verdict {
            decision: decision.id,
            set: decision.snapshot.set.clone(),
            route: route.name.clone(),
            text: Arc::clone(text),
            at: SystemTime::now(),
        };
        if inner.verdicts.try_send(verdict).is_err() {
            inner.from_verdicts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the LLM was asked for this very decision, and is sure of its answer as far as it says. Verdicts that
    /// were kept or shared agree with nobody but themselves.
    fn is_news(&self, decision: &Decision) -> bool {
        let sure = |probability: f32| probability >= self.0.config.min_probability;
        self.0.config.verdicts
            && decision
                .verdict
                .is_some_and(|verdict| verdict.asked && verdict.route.is_some() && verdict.probability.is_none_or(sure))
    }

    /// The set of a decision that is remembered.
    pub fn set_of(&self, decision: Uuid) -> Option<SetName> {
        self.0.memory.recall(decision, Instant::now()).map(|remembered| remembered.set)
    }

    /// Records what a client says. Saying the same again changes nothing.
    pub async fn correct(&self, correction: Correction) -> Result<Recorded, CorrectionError> {
        let inner = &self.0;
        let id = correction.decision;
        let remembered = inner.memory.recall(id, Instant::now());
        // What it was about, too: an id alone would vouch for any prompt.
        let known = remembered.as_ref().is_some_and(|remembered| {
            correction.text.as_ref().is_none_or(|text| *text == remembered.text)
                && correction.set.as_ref().is_none_or(|set| *set == remembered.set)
        });
        let text = correction.text.or_else(|| remembered.as_ref().map(|remembered| Arc::clone(&remembered.text)));
        let set = correction.set.or_else(|| remembered.map(|remembered| remembered.set)).or(correction.default_set);
        let (Some(text), Some(set)) = (text, set) else {
            let why = match inner.config.keep {
                0 => "this server remembers none (feedback.keep); send the prompt with it",
                _ => "it is too old, of another server, or none of ours; send the prompt with it",
            };
            return Err(CorrectionError::UnknownDecision { id, why });
        };
        if text.len() > MAX_TEXT_BYTES {
            return Err(CorrectionError::TooLong { bytes: text.len() });
        }
        let origin = Origin {
            source: Source::Correction,
            decision: id.to_string(),
            known,
            model: String::new(),
            at: unix_now(),
            note: correction.note,
        };
        let recorded = inner.recorder.record(&set, &correction.route, &text, origin).await;
        inner.from_corrections.count(&recorded);
        match recorded? {
            Recorded::Full => Err(CorrectionError::Full { most: inner.config.max_open }),
            recorded => Ok(recorded),
        }
    }

    /// A person's word on a proposal.
    pub async fn settle(
        &self,
        set: &SetName,
        id: ProposalId,
        settlement: Settlement,
        precondition: Precondition,
    ) -> StoreResult<Proposal> {
        let store = self.0.recorder.store();
        let settled = store.settle_proposal(set, id, settlement, precondition, unix_now()).await?;
        let counter = match settlement {
            Settlement::Accept => &self.0.accepted,
            Settlement::Reject => &self.0.rejected,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(settled)
    }

    /// Records verdicts and applies the rule until `stop`; then what still waits is recorded. Runs once.
    pub async fn run(self, stop: CancellationToken) {
        let Some(waiting) = self.take_waiting() else { return };
        // Beside each other: the rule may look for long, and verdicts are not to wait for it, and be lost.
        tokio::join!(self.record_all(waiting, &stop), self.look_again_and_again(&stop));
    }

    async fn record_all(&self, mut waiting: mpsc::Receiver<Verdict>, stop: &CancellationToken) {
        while let Some(Some(verdict)) = stop.run_until_cancelled(waiting.recv()).await {
            self.record(verdict).await;
        }
        waiting.close();
        while let Ok(verdict) = waiting.try_recv() {
            self.record(verdict).await;
        }
    }

    async fn look_again_and_again(&self, stop: &CancellationToken) {
        let mut rule = self.0.config.accept.as_ref().map(Rule::new);
        let mut rest = Duration::ZERO;
        while rule.is_some() && stop.run_until_cancelled(tokio::time::sleep(rest)).await.is_some() {
            let begun = Instant::now();
            if stop.run_until_cancelled(self.apply(&mut rule)).await.is_none() {
                break;
            }
            rest = RULE_EVERY.max(begun.elapsed().saturating_mul(REST));
        }
    }

    /// Does at once what [`Learning::run`] does in the course of time: records what waits, and applies the rule until
    /// it accepts no more. For simulations, which have no time; does nothing beside a running one.
    pub async fn catch_up(&self) {
        let Some(mut waiting) = self.take_waiting() else { return };
        while let Ok(verdict) = waiting.try_recv() {
            self.record(verdict).await;
        }
        let mut rule = self.0.config.accept.as_ref().map(Rule::new);
        while self.apply(&mut rule).await {}
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).replace(waiting);
    }

    fn take_waiting(&self) -> Option<mpsc::Receiver<Verdict>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether another look may come to more.
    async fn apply(&self, rule: &mut Option<Rule>) -> bool {
        let Some(rule) = rule else { return false };
        let looked = rule.apply(&self.0.recorder).await;
        self.0.accepted_by_rule.fetch_add(looked.accepted, Ordering::Relaxed);
        looked.more
    }

    async fn record(&self, verdict: Verdict) {
        let origin = Origin {
            source: Source::LlmVerdict,
            decision: verdict.decision.to_string(),
            known: true,
            model: self.0.llm.clone(),
            at: unix_seconds(verdict.at),
            note: String::new(),
        };
        let recorded = self.0.recorder.record(&verdict.set, &verdict.route, &verdict.text, origin).await;
        self.0.from_verdicts.count(&recorded);
        match recorded {
            // The set or the route was deleted since.
            Ok(_) | Err(StoreError::UnknownSet { .. } | StoreError::UnknownRoute { .. }) => {}
            Err(error) => {
                tracing::warn!(error = %crate::telemetry::chain(&error), "a verdict could not be recorded");
            }
        }
    }

    pub fn stats(&self) -> LearningStats {
        let inner = &self.0;
        let (remembered, remembered_bytes) = inner.memory.size();
        LearningStats {
            verdicts: inner.from_verdicts.outcomes(),
            corrections: inner.from_corrections.outcomes(),
            waiting: (inner.verdicts.max_capacity() - inner.verdicts.capacity()) as u64,
            accepted: inner.accepted.load(Ordering::Relaxed),
            accepted_by_rule: inner.accepted_by_rule.load(Ordering::Relaxed),
            rejected: inner.rejected.load(Ordering::Relaxed),
            remembered,
            remembered_bytes,
        }
    }
}
