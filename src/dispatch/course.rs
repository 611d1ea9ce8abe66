//! How far a plan has been carried out, and what follows: it decides and never waits. Pure, every function takes the
//! time and the chance as arguments.
//!
//! What follows from a failure for this request is in `ending`, for all others in `blame`; which target is next is
//! in `choice`.

mod blame;
mod candidate;
mod choice;
mod ending;
mod leg;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempt::{Attempt, PassReason, Passed};
use super::breaker::{Permit, Verdict};
use super::budget::RetryConfig;
use super::error::Error;
use super::health::{Health, Manner};
use crate::routing::{Plan, Refusal, Target};
use candidate::Candidate;
use choice::Choice;
use leg::Flight;
pub(super) use leg::Leg;

/// A probe of a target that may still hang is not given much more time than the target took when it was well.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// And long before that another target is asked beside it, so that its caller hardly notices: after so many times what
/// 95 % of its target's newest answers took, and not before [`PROBE_LEAST`]. So one that hangs for minutes costs few
/// callers a tenth of a second each.
const PROBE_UNUSUAL: u32 = 2;
const PROBE_LEAST: Duration = Duration::from_millis(100);

/// A target that has become slow for good has to come back in the end. Each time that so many openings in succession
/// have ended in a probe that lost, the probes of one are patient: the first time for twice as long as others, then for
/// four times, and so on up to what is a fair trial of any target, or [`PROBE_MOST`] times the others' patience. The
/// others stay as they are, so that in a long outage it is one caller in a dozen seconds who waits for more than a
/// tenth of a second. What lost probes took is no answer's time, and is recorded nowhere.
const PROBE_ROUND: u32 = 8;
const PROBE_MOST: u32 = 4;

/// An attempt with other targets after it is given up after so many times what 99 % of its target's newest answers
/// took, and not before [`PATIENCE`]. A caller with a long deadline would else wait for half of it, and before the
/// first of them has failed, so many would wait that the retry budget could not carry them over: 200 a second for 2 s
/// are 400.
const UNUSUAL: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(2);

/// What bounds a course.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) deadline: Instant,
    /// Longest time for one attempt (of a stream: until its first text), besides its share of the deadline.
    pub(super) attempt_timeout: Option<Duration>,
    /// At least 1.
    pub(super) max_attempts: u32,
    /// Whether it may try a target whose breaker is half open though another one is well, with a second call beside it.
    pub(super) may_probe: bool,
    pub(super) hedge: Option<Hedge>,
    pub(super) retry: Arc<RetryConfig>,
    /// Of the request, as estimated.
    pub(super) input_tokens: u64,
}

/// A second attempt beside a slow one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hedge {
    /// When it begins if no text has come. `None`: after the time in which 95 % of the target's newest streams (or
    /// whole answers) brought their first text; not at all as long as too few are known.
    pub after: Option<Duration>,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Step {
    Call(Leg),
    /// Nothing may be called before then.
    Wait(Instant),
    End(Error),
}

/// How a dispatch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    UnderWay,
    Answered,
    /// With the word of [`Error::kind`].
    Failed(&'static str),
    /// The caller has gone.
    Cancelled,
}

/// A plan under way.
pub(super) struct Course {
    bounds: Bounds,
    manner: Manner,
    health: Health,
    began: Instant,
    /// In the plan's order. Nothing else is ever called.
    candidates: Vec<Candidate>,
    refused: Vec<Refusal>,
    flights: Vec<Flight>,
    attempts: Vec<Attempt>,
    begun: u32,
    rejected: bool,
    /// Whether each failure so far was the request's own.
    all_its_own: bool,
    no_budget: bool,
    /// When it began to wait for a target that rests.
    waiting_since: Option<Instant>,
    progress: Progress,
}

impl Course {
    pub(super) fn new(plan: &Plan, bounds: Bounds, health: Health, now: Instant) -> Self {
        let candidate = |target: &Arc<Target>| Candidate::new(target.clone(), health.of(target, now), now);
        let candidates = plan.targets().iter().map(candidate).collect();
        health.budget(|budget| budget.deposit(now));
        Self {
            bounds,
            manner: Manner::Whole,
            health,
            began: now,
            candidates,
            refused: plan.refused().to_vec(),
            flights: Vec::new(),
            attempts: Vec::new(),
            begun: 0,
            rejected: false,
            all_its_own: true,
            no_budget: false,
            waiting_since: None,
            progress: Progress::UnderWay,
        }
    }

    /// How the answer comes, and how long an attempt may take for it.
    pub(super) fn wants(&mut self, manner: Manner, attempt_timeout: Option<Duration>) {
        (self.manner, self.bounds.attempt_timeout) = (manner, attempt_timeout);
    }

    /// After it, nothing more may be handed over.
    pub(super) fn deadline(&self) -> Instant {
        self.bounds.deadline
    }

    /// What follows now that nothing is under way. `dice`: evenly distributed over [0, 1).
    pub(super) fn next(&mut self, now: Instant, dice: f64) -> Step {
        if self.candidates.is_empty() {
            return self.end(Error::NoTargets { refused: self.refused.clone() });
        }
        if self.rejected {
            return self.end(Error::Rejected { attempts: self.attempts.clone() });
        }
        if now >= self.bounds.deadline {
            return self.end(Error::DeadlineExceeded { attempts: self.attempts.clone() });
        }
        if self.begun >= self.bounds.max_attempts {
            return self.give_up(now);
        }
        match self.choose(now, dice) {
            Choice::Call(position, permit) => match self.begin(position, permit, false, now) {
                Some(leg) => Step::Call(leg),
                None => self.give_up(now),
            },
            Choice::Wait(until) => Step::Wait(until),
            Choice::Nothing => self.give_up(now),
        }
    }

    /// Begins a call, if the budget allows: the first of a request is free.
    fn begin(&mut self, position: usize, permit: Permit, is_hedge: bool, now: Instant) -> Option<Leg> {
        let candidate = self.candidates.get(position)?;
        if self.begun > 0 && !self.health.budget(|budget| budget.withdraw(now)) {
            candidate.health.settle(permit, Verdict::Void, now, 0.0);
            self.no_budget = true;
            return None;
        }
        let share = self.share(position, permit, now);
        let candidate = self.candidates.get_mut(position)?;
        candidate.tries += 1;
        let leg = Leg { number: self.begun, target: candidate.target.clone(), began: now, until: now + share };
        self.begun += 1;
        self.waiting_since = None;
        self.flights.push(Flight::new(leg.clone(), position, permit, is_hedge));
        Some(leg)
    }

    /// Time for an attempt that begins now: all that is left if it is the last, half of it if others may come after.
    fn share(&self, position: usize, permit: Permit, now: Instant) -> Duration {
        let left = self.bounds.deadline.saturating_duration_since(now);
        let others = self.begun + 1 < self.bounds.max_attempts && self.has_fresh_beside(position, now);
        let share = if others { left / 2 } else { left };
        let share = self.bounds.attempt_timeout.map_or(share, |timeout| timeout.min(share));
        let usual = self.candidates.get(position).and_then(|it| it.health.quantile(self.manner, 0.99));
        match usual.filter(|_| others) {
            Some(usual) if permit.is_probe => {
                share.min(PROBE_PATIENCE.max(usual.saturating_mul(2)).max(self.probe_patience(position, permit)))
            }
            Some(usual) => share.min(PATIENCE.max(usual.saturating_mul(UNUSUAL))),
            None => share,
        }
    }

    fn has_fresh_beside(&self, position: usize, now: Instant) -> bool {
        self.candidates.iter().enumerate().any(|(at, candidate)| at != position && candidate.is_fresh(now))
    }

    /// When a second attempt is to begin beside this one, if it is to: as the request wishes, or since this one is a
    /// probe that its caller must not wait for.
    pub(super) fn hedge_at(&self, leg: &Leg) -> Option<Instant> {
        let flight = self.flights.iter().find(|flight| flight.leg.number == leg.number)?;
        let usual = || self.candidates.get(flight.position)?.health.quantile(self.manner, 0.95);
        let wished = self.bounds.hedge.and_then(|hedge| hedge.after.or_else(usual));
        // One that may not probe is one nonetheless where no target is well; nothing is called beside it.
        let probed = self.bounds.may_probe && flight.permit.is_probe;
        let probed = probed.then(|| self.probe_patience(flight.position, flight.permit));
        leg.began.checked_add(wished.into_iter().chain(probed).min()?)
    }

    /// How long a probe is alone. Where too little is known of its target: as long as makes a fair trial.
    fn probe_patience(&self, position: usize, probe: Permit) -> Duration {
        let usual = self.candidates.get(position).and_then(|it| it.health.quantile(self.manner, 0.95));
        let fair = self.health.breaker_config().fair_time;
        let patience = usual.map_or(fair, |usual| PROBE_LEAST.max(usual.saturating_mul(PROBE_UNUSUAL)));
        let round = probe.trips / PROBE_ROUND;
        if round == 0 || !probe.trips.is_multiple_of(PROBE_ROUND) {
            return patience;
        }
        let most = fair.max(patience.saturating_mul(PROBE_MOST));
        patience.saturating_mul(2_u32.saturating_pow(round)).min(most)
    }

    /// The second attempt, if there may be one: on a target that is well, and that this request has not tried.
    pub(super) fn hedge(&mut self, now: Instant) -> Option<Leg> {
        if self.flights.len() != 1 || self.begun >= self.bounds.max_attempts || now >= self.bounds.deadline {
            return None;
        }
        let (position, candidate) = self.candidates.iter().enumerate().find(|(_, it)| it.is_well(now))?;
        let permit = candidate.health.admit(now).ok()?;
        self.begin(position, permit, true, now)
    }

    fn give_up(&mut self, now: Instant) -> Step {
        let attempts = self.attempts.clone();
        let passed: Vec<Passed> = self.candidates.iter().filter_map(|it| it.passed(self.no_budget, now)).collect();
        let resting = passed.iter().any(|it| it.reason != PassReason::SameModel);
        // Coming again is of use only if it was not the request that all found fault with.
        if self.all_its_own && !attempts.is_empty() && !resting {
            return self.end(Error::Rejected { attempts });
        }
        self.end(Error::AllFailed { attempts, passed })
    }

    fn end(&mut self, error: Error) -> Step {
        self.progress = Progress::Failed(error.kind());
        Step::End(error)
    }

    pub(super) fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// Characters handed over so far, by whichever attempt.
    pub(super) fn delivered_chars(&self) -> u64 {
        self.flights.iter().map(|flight| flight.delivered_chars).sum()
    }

    /// Targets that come before `winner` in the plan and were not called.
    pub(super) fn passed_before(&self, winner: &Target, now: Instant) -> Vec<Passed> {
        let before = self.candidates.iter().take_while(|it| it.target.name != winner.name);
        before.filter_map(|it| it.passed(false, now)).collect()
    }
}
