//! How far a plan has been carried out, and what follows: it decides and never waits. Pure, every function takes the time
//! and the chance as arguments.
//!
//! What follows from a failure for this request is in [`Course::fail`], for all others in `blame`; which target is next
//! is in `choice`.

mod blame;
mod candidate;
mod choice;
mod leg;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempt::{Attempt, Passed};
use super::breaker::{BreakerState, Permit, Verdict};
use super::budget::RetryConfig;
use super::error::Error;
use super::health::{Health, Manner};
use crate::provider::{self, ErrorClass, Usage};
use crate::routing::{Plan, Refusal, Target};
use candidate::{Candidate, RuledOut};
use choice::Choice;
pub(super) use leg::Leg;
use leg::{Flight, Landing};

/// A probe of a target that may still hang is not given much more time than the target took when it was well.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// What bounds a course.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) deadline: Instant,
    /// Longest time for one attempt (of a stream: until its first text), besides its share of the deadline.
    pub(super) attempt_timeout: Option<Duration>,
    /// At least 1.
    pub(super) max_attempts: u32,
    pub(super) hedge: Option<Hedge>,
    pub(super) retry: Arc<RetryConfig>,
    /// Of the request, as estimated.
    pub(super) input_tokens: u64,
}

/// A second attempt beside a slow one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hedge {
    /// When it begins if no text has come. `None`: after the time in which 95 % of the target's newest streams (or whole
    /// answers) brought their first text; not at all as long as too few are known.
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
        let candidates = targets(plan).iter().map(candidate).collect();
        health.budget(|budget| budget.deposit(now));
        Self {
            bounds,
            manner: Manner::Whole,
            health,
            began: now,
            candidates,
            refused: plan.refused.clone(),
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
        match usual.filter(|_| others && permit.is_probe) {
            Some(usual) => share.min(PROBE_PATIENCE.max(usual * 2)),
            None => share,
        }
    }

    fn has_fresh_beside(&self, position: usize, now: Instant) -> bool {
        self.candidates.iter().enumerate().any(|(at, candidate)| at != position && candidate.is_fresh(now))
    }

    /// When a second attempt is to begin beside this one, if it is to.
    pub(super) fn hedge_at(&self, leg: &Leg) -> Option<Instant> {
        let hedge = self.bounds.hedge?;
        let flight = self.flights.iter().find(|flight| flight.leg.number == leg.number)?;
        let usual = || self.candidates.get(flight.position)?.health.quantile(self.manner, 0.95);
        leg.began.checked_add(hedge.after.or_else(usual)?)
    }

    /// The second attempt, if there may be one: on a target that is well, and that this request has not tried.
    pub(super) fn hedge(&mut self, now: Instant) -> Option<Leg> {
        if self.flights.len() != 1 || self.begun >= self.bounds.max_attempts || now >= self.bounds.deadline {
            return None;
        }
        let (position, candidate) = self.candidates.iter().enumerate().find(|(_, candidate)| {
            let closed = candidate.health.reading(now).state == BreakerState::Closed;
            closed && candidate.is_possible() && candidate.tries == 0 && candidate.not_before <= now
        })?;
        let permit = candidate.health.admit(now).ok()?;
        self.begin(position, permit, true, now)
    }

    /// Records a failure before anything was handed over; [`Self::next`] says how it goes on.
    pub(super) fn fail(&mut self, leg: &Leg, error: &provider::Error, now: Instant, dice: f64) {
        let Some(flight) = self.land(leg, &Landing::Failed(error), now) else { return };
        let class = error.class();
        self.all_its_own &= matches!(class, ErrorClass::Invalid | ErrorClass::TooLong | ErrorClass::ContentRefused);
        match class {
            ErrorClass::Transient => self.leave_provider_alone(&flight, now, dice),
            ErrorClass::RateLimited => {}
            ErrorClass::TooLong | ErrorClass::ContentRefused => self.rule_out_model(&flight.leg.target.model),
            ErrorClass::Authentication | ErrorClass::UnknownModel => {}
            ErrorClass::Invalid => self.rejected = true,
        }
        if !matches!(class, ErrorClass::Transient | ErrorClass::RateLimited)
            && let Some(candidate) = self.candidates.get_mut(flight.position)
        {
            candidate.ruled_out = Some(RuledOut::ByItself);
        }
        self.tell_health(&flight, error, now, dice);
    }

    /// Before the same provider is asked again there is a pause that grows.
    fn leave_provider_alone(&mut self, flight: &Flight, now: Instant, dice: f64) {
        let provider = &flight.leg.target.provider;
        let tries = self.candidates.iter().filter(|it| it.target.provider == *provider).map(|it| it.tries).sum();
        let until = now + self.bounds.retry.pause(tries, dice);
        for candidate in self.candidates.iter_mut().filter(|it| it.target.provider == *provider) {
            candidate.not_before = until;
        }
    }

    fn rule_out_model(&mut self, model: &str) {
        for candidate in self.candidates.iter_mut().filter(|it| it.target.model == *model) {
            candidate.ruled_out.get_or_insert(RuledOut::BySameModel);
        }
    }

    /// The first output has come: from here on there is no other target. Those that were tried beside it are cancelled.
    pub(super) fn commit(&mut self, leg: &Leg, now: Instant) {
        let others: Vec<Leg> =
            self.flights.iter().filter(|it| it.leg.number != leg.number).map(|it| it.leg.clone()).collect();
        for other in others {
            if let Some(flight) = self.land(&other, &Landing::Cancelled, now)
                && let Some(candidate) = self.candidates.get(flight.position)
            {
                candidate.health.settle(flight.permit, Verdict::Void, now, 0.0);
                // It would have taken at least this: without it only quick answers would count as usual.
                candidate.health.record(self.manner, now.saturating_duration_since(other.began));
            }
        }
        if let Some(flight) = self.flights.iter_mut().find(|it| it.leg.number == leg.number) {
            flight.committed = true;
        }
    }

    /// Text was handed over.
    pub(super) fn deliver(&mut self, leg: &Leg, text: &str, now: Instant) {
        let Some(flight) = self.flights.iter_mut().find(|it| it.leg.number == leg.number) else { return };
        flight.delivered_bytes = flight.delivered_bytes.saturating_add(text.len() as u64);
        flight.delivered_chars = flight.delivered_chars.saturating_add(text.chars().count() as u64);
        if flight.first_text.is_none() {
            let time = now.saturating_duration_since(leg.began);
            flight.first_text = Some(time);
            if let (Manner::Streamed, Some(candidate)) = (self.manner, self.candidates.get(flight.position)) {
                candidate.health.record(Manner::Streamed, time);
            }
        }
    }

    /// The answer is whole.
    pub(super) fn succeed(&mut self, leg: &Leg, usage: Option<Usage>, now: Instant, dice: f64) {
        self.commit(leg, now);
        let Some(flight) = self.land(leg, &Landing::Answered(usage), now) else { return };
        self.progress = Progress::Answered;
        let Some(candidate) = self.candidates.get(flight.position) else { return };
        let whole = now.saturating_duration_since(leg.began);
        if self.manner == Manner::Whole {
            candidate.health.record(Manner::Whole, whole);
        }
        let judged = flight.first_text.filter(|_| self.manner == Manner::Streamed).unwrap_or(whole);
        let slow = self.health.breaker_config().slow_after.is_some_and(|limit| judged >= limit);
        candidate.health.settle(flight.permit, if slow { Verdict::Slow } else { Verdict::Good }, now, dice);
    }

    /// Records a failure after text was handed over: that is the end.
    pub(super) fn break_off(&mut self, leg: &Leg, error: &provider::Error, now: Instant, dice: f64) -> Error {
        let flight = self.land(leg, &Landing::Failed(error), now);
        let delivered_chars = flight.as_ref().map_or(0, |flight| flight.delivered_chars);
        let late = now >= self.bounds.deadline;
        if let Some(flight) = &flight {
            if late && matches!(error, provider::Error::Timeout { .. }) {
                // The caller's time was up while text was coming: the target is not to blame.
                if let Some(candidate) = self.candidates.get(flight.position) {
                    candidate.health.settle(flight.permit, Verdict::Void, now, dice);
                }
            } else {
                self.tell_health(flight, error, now, dice);
            }
        }
        let attempts = self.attempts.clone();
        let error =
            if late { Error::DeadlineExceeded { attempts } } else { Error::BrokenStream { attempts, delivered_chars } };
        self.progress = Progress::Failed(error.kind());
        error
    }

    /// The caller has gone: what is under way ends. Nothing happens once the course has ended.
    pub(super) fn abandon(&mut self, now: Instant) {
        if self.progress != Progress::UnderWay {
            return;
        }
        self.progress = Progress::Cancelled;
        for leg in self.flights.iter().map(|flight| flight.leg.clone()).collect::<Vec<_>>() {
            if let Some(flight) = self.land(&leg, &Landing::Cancelled, now)
                && let Some(candidate) = self.candidates.get(flight.position)
            {
                candidate.health.settle(flight.permit, Verdict::Void, now, 0.0);
            }
        }
    }

    /// Takes a leg from those under way and records its attempt.
    fn land(&mut self, leg: &Leg, landing: &Landing<'_>, now: Instant) -> Option<Flight> {
        let at = self.flights.iter().position(|flight| flight.leg.number == leg.number)?;
        let flight = self.flights.remove(at);
        self.attempts.push(flight.land(landing, self.began, self.bounds.input_tokens, now));
        Some(flight)
    }

    fn give_up(&mut self, now: Instant) -> Step {
        let attempts = self.attempts.clone();
        // Coming again is of use only if it was not the request that all found fault with.
        if self.all_its_own && !attempts.is_empty() {
            return self.end(Error::Rejected { attempts });
        }
        let passed = self.candidates.iter().filter_map(|it| it.passed(self.no_budget, now)).collect();
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

/// The only door to a plan's targets.
fn targets(plan: &Plan) -> &[Arc<Target>] {
    &plan.targets
}
