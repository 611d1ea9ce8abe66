//! How the targets are doing, as their calls showed: breakers, usual times, and the budget for retries. Shared by all
//! requests; every function takes the time as an argument, and every lock is held for the length of a few lines.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::breaker::{Bar, Breaker, BreakerConfig, BreakerState, Cause, Permit, Reading, Verdict};
use super::budget::{Budget, RetryConfig};
use super::latencies::Latencies;
use crate::reference::TargetName;
use crate::routing::Target;

/// A cheap handle.
#[derive(Debug, Clone)]
pub struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    breaker: Arc<BreakerConfig>,
    budget: Mutex<Budget>,
    /// Only ever grows, by names of the configuration.
    targets: RwLock<BTreeMap<TargetName, Arc<TargetHealth>>>,
}

/// How one target is doing.
#[derive(Debug)]
pub(super) struct TargetHealth {
    target: Arc<Target>,
    vitals: Mutex<Vitals>,
}

#[derive(Debug)]
struct Vitals {
    breaker: Breaker,
    first_text: Latencies,
    whole: Latencies,
    /// When it was last called.
    called: Instant,
}

/// What is waited for: the two take different times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// A whole answer.
    Whole,
    /// A stream's first text.
    Streamed,
}

/// A target's health for those who look on.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub target: TargetName,
    pub breaker: Reading,
    /// Median and 95th percentile of the time to the first text of the newest streams; `None` if too few are known.
    pub first_text: Option<[Duration; 2]>,
    /// The same of whole answers that were not streamed.
    pub whole: Option<[Duration; 2]>,
}

impl Health {
    pub(super) fn new(breaker: BreakerConfig, retry: &RetryConfig, now: Instant) -> Self {
        let budget = Mutex::new(Budget::new(retry, now));
        Self(Arc::new(Shared { breaker: Arc::new(breaker), budget, targets: RwLock::default() }))
    }

    pub(super) fn of(&self, target: &Arc<Target>, now: Instant) -> Arc<TargetHealth> {
        let known = self.0.targets.read().unwrap_or_else(PoisonError::into_inner).get(&target.name).cloned();
        known.unwrap_or_else(|| {
            let mut targets = self.0.targets.write().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(TargetHealth::new(target.clone(), self.0.breaker.clone(), now));
            targets.entry(target.name.clone()).or_insert_with(fresh).clone()
        })
    }

    pub(super) fn budget<T>(&self, look: impl FnOnce(&mut Budget) -> T) -> T {
        look(&mut self.0.budget.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn all(&self) -> Vec<Arc<TargetHealth>> {
        self.0.targets.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn breaker_config(&self) -> &BreakerConfig {
        &self.0.breaker
    }

    /// Of each target that is known, by name.
    pub fn standings(&self, now: Instant) -> Vec<Standing> {
        self.all().iter().map(|target| target.standing(now)).collect()
    }

    /// Retries that the budget allows at present, and how many it has refused since the start.
    pub fn retry_budget(&self, now: Instant) -> (f64, u64) {
        self.budget(|budget| (budget.level(now), budget.refused()))
    }
}

impl TargetHealth {
    fn new(target: Arc<Target>, config: Arc<BreakerConfig>, now: Instant) -> Self {
        let breaker = Breaker::new(config, now);
        let (first_text, whole) = (Latencies::default(), Latencies::default());
        Self { target, vitals: Mutex::new(Vitals { breaker, first_text, whole, called: now }) }
    }

    fn vitals<T>(&self, look: impl FnOnce(&mut Vitals) -> T) -> T {
        look(&mut self.vitals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    pub(super) fn admit(&self, now: Instant) -> Result<Permit, Bar> {
        self.granted(now, |breaker| breaker.admit(now))
    }

    pub(super) fn admit_as_last_resort(&self, now: Instant) -> Result<Permit, Bar> {
        self.granted(now, |breaker| breaker.admit_as_last_resort(now))
    }

    fn granted(&self, now: Instant, ask: impl FnOnce(&mut Breaker) -> Result<Permit, Bar>) -> Result<Permit, Bar> {
        self.vitals(|vitals| {
            let granted = ask(&mut vitals.breaker)?;
            vitals.called = now;
            Ok(granted)
        })
    }

    pub(super) fn settle(&self, permit: Permit, verdict: Verdict, now: Instant, dice: f64) {
        self.vitals(|vitals| vitals.breaker.settle(permit, verdict, now, dice));
    }

    pub(super) fn open_from(&self, error_ratio: f64, now: Instant, dice: f64) {
        self.vitals(|vitals| vitals.breaker.open_from(error_ratio, now, dice));
    }

    /// Whether that is news.
    pub(super) fn rest(&self, cause: Cause, wanted: Option<Duration>, now: Instant, dice: f64) -> bool {
        self.vitals(|vitals| vitals.breaker.rest(cause, wanted, now, dice))
    }

    pub(super) fn reading(&self, now: Instant) -> Reading {
        self.vitals(|vitals| vitals.breaker.reading(now))
    }

    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.reading(now).state == BreakerState::Open
    }

    /// Whether it waits for a probe that nobody makes.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        self.vitals(|vitals| vitals.breaker.is_forgotten(now))
    }

    /// Time since the last call.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        self.vitals(|vitals| now.saturating_duration_since(vitals.called))
    }

    pub(super) fn record(&self, manner: Manner, latency: Duration) {
        self.vitals(|vitals| vitals.latencies(manner).record(latency));
    }

    /// The time within which a share of the answers came; `None` if too few are known.
    pub(super) fn quantile(&self, manner: Manner, share: f64) -> Option<Duration> {
        self.vitals(|vitals| vitals.latencies(manner).quantile(share))
    }

    fn standing(&self, now: Instant) -> Standing {
        let pair = |manner| Some([self.quantile(manner, 0.5)?, self.quantile(manner, 0.95)?]);
        Standing {
            target: self.target.name.clone(),
            breaker: self.reading(now),
            first_text: pair(Manner::Streamed),
            whole: pair(Manner::Whole),
        }
    }
}

impl Vitals {
    fn latencies(&mut self, manner: Manner) -> &mut Latencies {
        match manner {
            Manner::Whole => &mut self.whole,
            Manner::Streamed => &mut self.first_text,
        }
    }
}
