//! Decisions by set, stage and route, what became of the LLM stage, and the time that the steps took.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::{Histogram, IntCounter, IntCounterVec, Result};

use super::book::Book;
use crate::classify::{Decision, LlmOutcome, Stage};
use crate::reference::{RouteName, SetName, Snapshot, SnapshotId};

/// The label `stage` of what was decided already, for an equal prompt.
const CACHE: &str = "cache";

/// The label `route` of decisions for none.
const NO_ROUTE: &str = crate::reference::NO_ROUTE;

pub(super) struct Decisions {
    by_stage: IntCounterVec,
    by_route: IntCounterVec,
    by_llm_outcome: IntCounterVec,
    by_verdict: IntCounterVec,
    times: Times,
    sets: ArcSwap<BTreeMap<SetName, Arc<OfSet>>>,
    /// Routes that are shown. Only for those who read and who look something up for the first time.
    shown: Mutex<BTreeSet<(SetName, RouteName)>>,
}

/// A set's counters, looked up once for each snapshot.
struct OfSet {
    snapshot: SnapshotId,
    computed: Vec<IntCounter>,
    cached: Vec<IntCounter>,
    llm: Vec<IntCounter>,
    routes: Vec<IntCounter>,
    no_route: IntCounter,
    /// Of each route, in the order of [`VERDICTS`].
    verdicts: Vec<[IntCounter; 3]>,
}

/// What the LLM stage said about the first stage's likeliest route.
const VERDICTS: [&str; 3] = ["agrees", "differs", "none_applies"];

impl Decisions {
    pub(super) fn new(book: &Book) -> Result<Self> {
        let by_stage = "Decisions by set, by the stage that they came from (cache: nothing was computed) and by the stage \
                        that decided, now or when it was kept.";
        Ok(Self {
            by_stage: book.counters("semroute_decisions_total", by_stage, &["set", "stage", "decided_by"])?,
            by_route: book.counters("semroute_routed_total", "Decisions by set and route.", &["set", "route"])?,
            by_llm_outcome: book.counters(
                "semroute_llm_outcomes_total",
                "What became of the LLM stage, by set: one for each decision, cached ones included.",
                &["set", "outcome"],
            )?,
            by_verdict: book.counters(
                "semroute_llm_verdicts_total",
                "Verdicts of the LLM stage by set, by the route that the first stage held for the likeliest, and by what \
                 the LLM said: agrees, differs (another route) or none_applies.",
                &["set", "route", "verdict"],
            )?,
            times: Times::new(book)?,
            sets: ArcSwap::default(),
            shown: Mutex::default(),
        })
    }

    pub(super) fn count(&self, decision: &Decision) {
        self.times.record(decision);
        let snapshot = &decision.snapshot;
        let sets = self.sets.load();
        if let Some(set) = sets.get(&snapshot.set).filter(|set| set.snapshot == snapshot.id) {
            return set.count(decision);
        }
        drop(sets);
        // Only names that are not allowed fail, and those have been counted before.
        if let Ok(set) = self.look_up(snapshot) {
            set.count(decision);
        }
    }

    /// Shows what is served, from its first moment, and nothing else.
    pub(super) fn keep_only(&self, served: &[Arc<Snapshot>]) {
        for snapshot in served {
            let known = self.sets.load().get(&snapshot.set).is_some_and(|set| set.snapshot == snapshot.id);
            if !known {
                let _ = self.look_up(snapshot);
            }
        }
        self.sets.rcu(|sets| {
            let is_served = |set: &SetName| served.iter().any(|snapshot| snapshot.set == *set);
            let gone: Vec<SetName> = sets.keys().filter(|set| !is_served(set)).cloned().collect();
            if gone.is_empty() {
                return Arc::clone(sets);
            }
            gone.iter().for_each(|set| self.forget(set));
            Arc::new(sets.iter().filter(|(set, _)| is_served(set)).map(|(set, of)| (set.clone(), of.clone())).collect())
        });
        let is_served = |set: &SetName, route: &RouteName| {
            served.iter().any(|snapshot| snapshot.set == *set && snapshot.find_route(route.as_str()).is_some())
        };
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).retain(|(set, route)| {
            let stays = is_served(set, route);
            if !stays {
                let _ = self.by_route.remove_label_values(&[set.as_str(), route.as_str()]);
                for verdict in VERDICTS {
                    let _ = self.by_verdict.remove_label_values(&[set.as_str(), route.as_str(), verdict]);
                }
            }
            stays
        });
    }

    fn look_up(&self, snapshot: &Snapshot) -> Result<Arc<OfSet>> {
        let set = snapshot.set.as_str();
        let stages = |from: fn(Stage) -> &'static str| -> Result<Vec<IntCounter>> {
            let one = |stage: Stage| self.by_stage.get_metric_with_label_values(&[set, from(stage), stage.as_str()]);
            Stage::ALL.into_iter().map(one).collect()
        };
        let route = |route: &str| self.by_route.get_metric_with_label_values(&[set, route]);
        let verdict = |route: &str, verdict| self.by_verdict.get_metric_with_label_values(&[set, route, verdict]);
        let verdicts = |route: &str| -> Result<[IntCounter; 3]> {
            let [agrees, differs, none] = VERDICTS.map(|said| verdict(route, said));
            Ok([agrees?, differs?, none?])
        };
        let outcome = |outcome: LlmOutcome| self.by_llm_outcome.get_metric_with_label_values(&[set, outcome.as_str()]);
        let found = Arc::new(OfSet {
            snapshot: snapshot.id,
            computed: stages(Stage::as_str)?,
            cached: stages(|_| CACHE)?,
            llm: LlmOutcome::ALL.into_iter().map(outcome).collect::<Result<_>>()?,
            routes: snapshot.routes.iter().map(|known| route(known.name.as_str())).collect::<Result<_>>()?,
            no_route: route(NO_ROUTE)?,
            verdicts: snapshot.routes.iter().map(|known| verdicts(known.name.as_str())).collect::<Result<_>>()?,
        });
        let names = snapshot.routes.iter().map(|route| (snapshot.set.clone(), route.name.clone()));
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
        self.sets.rcu(|sets| {
            let mut sets = BTreeMap::clone(sets);
            sets.insert(snapshot.set.clone(), Arc::clone(&found));
            sets
        });
        Ok(found)
    }

    fn forget(&self, set: &SetName) {
        let set = set.as_str();
        for stage in Stage::ALL {
            for from in [stage.as_str(), CACHE] {
                let _ = self.by_stage.remove_label_values(&[set, from, stage.as_str()]);
            }
        }
        for outcome in LlmOutcome::ALL {
            let _ = self.by_llm_outcome.remove_label_values(&[set, outcome.as_str()]);
        }
        let _ = self.by_route.remove_label_values(&[set, NO_ROUTE]);
    }
}

impl OfSet {
    fn count(&self, decision: &Decision) {
        let stages = if decision.cached { &self.cached } else { &self.computed };
        let route = match decision.route {
            Some(route) => self.routes.get(route as usize),
            None => Some(&self.no_route),
        };
        let counters =
            [stages.get(decision.stage as usize), self.llm.get(decision.llm as usize), route, self.verdict(decision)];
        counters.into_iter().flatten().for_each(IntCounter::inc);
    }

    fn verdict(&self, decision: &Decision) -> Option<&IntCounter> {
        let likeliest = decision.scores().first()?.route;
        let [agrees, differs, none_applies] = self.verdicts.get(likeliest as usize)?;
        Some(match decision.verdict?.route {
            Some(chosen) if chosen == likeliest => agrees,
            Some(_) => differs,
            None => none_applies,
        })
    }
}

struct Times {
    computed: Vec<Histogram>,
    cached: Histogram,
    queue: Histogram,
    embed: Histogram,
    search: Histogram,
    llm: Histogram,
}

impl Times {
    fn new(book: &Book) -> Result<Self> {
        let name = "semroute_decision_duration_seconds";
        let total = book.times_by(name, "Time to decide, by the stage that the decision came from.", &["stage"])?;
        let of = |stage: &str| total.get_metric_with_label_values(&[stage]);
        let queue = "Time that a prompt waited for an embedding worker, or for an equal prompt before it.";
        let embed = "Time of the forward pass of the batch that a prompt was part of.";
        Ok(Self {
            computed: Stage::ALL.into_iter().map(|stage| of(stage.as_str())).collect::<Result<_>>()?,
            cached: of(CACHE)?,
            queue: book.times("semroute_queue_wait_seconds", queue)?,
            embed: book.times("semroute_embed_duration_seconds", embed)?,
            search: book
                .times("semroute_search_duration_seconds", "Time of the search in the index, and of the vote.")?,
            llm: book.times("semroute_llm_duration_seconds", "Time of the LLM stage, where it was asked.")?,
        })
    }

    fn record(&self, decision: &Decision) {
        let timings = &decision.timings;
        let total = if decision.cached { Some(&self.cached) } else { self.computed.get(decision.stage as usize) };
        let steps = [
            (total, Some(timings.total)),
            (Some(&self.queue), timings.queue),
            (Some(&self.embed), timings.embed),
            (Some(&self.search), timings.search),
            (Some(&self.llm), timings.llm),
        ];
        for (histogram, time) in steps {
            if let Some((histogram, time)) = histogram.zip(time) {
                histogram.observe(Duration::as_secs_f64(&time));
            }
        }
    }
}
