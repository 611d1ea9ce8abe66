//! Which target is next.

use std::time::{Duration, Instant};

use super::super::breaker::{BreakerState, Cause, Permit};
use super::Course;
use super::candidate::Candidate;

/// While others try a target after its rest, a request that has no other target looks again so often.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a course does next.
pub(super) enum Choice {
    /// The candidate at this position.
    Call(usize, Permit),
    Wait(Instant),
    Nothing,
}

impl Course {
    /// The first in the plan's order whose breaker lets it through, those that have not been tried before those that
    /// have. A request that could not go on to another target tries none that may fail, if one is well; only if nobody
    /// else has for long, the first that comes does. If there is none: one whose provider's pause ends in time; else
    /// one whose breaker is open, as a last resort; else one that rests, if it does not rest for long.
    pub(super) fn choose(&mut self, now: Instant, dice: f64) -> Choice {
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        order.sort_by_key(|position| self.candidates.get(*position).map(|candidate| candidate.tries));
        let mut possible: Vec<(usize, &Candidate)> =
            order.iter().filter_map(|at| Some((*at, self.candidates.get(*at)?))).collect();
        possible.retain(|(_, candidate)| candidate.is_possible());

        let ready = possible.iter().filter(|(_, candidate)| candidate.not_before <= now);
        let safe = !self.may_probe(now) && possible.iter().any(|(_, candidate)| candidate.is_well(now));
        let forgotten = |candidate: &Candidate| self.begun == 0 && candidate.health.is_forgotten(now);
        let choices = ready.clone().filter(|(_, it)| !safe || it.is_well(now) || forgotten(it));
        for (position, candidate) in choices {
            if let Ok(permit) = candidate.health.admit(now) {
                return Choice::Call(*position, permit);
            }
        }
        let closed = |candidate: &Candidate| candidate.health.reading(now).state == BreakerState::Closed;
        let pauses = possible.iter().filter(|(_, candidate)| candidate.not_before > now && closed(candidate));
        let pause = pauses.map(|(_, candidate)| candidate.not_before).min();
        if let Some(pause) = pause.filter(|pause| *pause < self.bounds.deadline) {
            return Choice::Wait(pause);
        }
        let mut shut: Vec<_> =
            ready.map(|(at, candidate)| (candidate.health.reading(now).until, *at, candidate)).collect();
        shut.sort_by_key(|(until, at, _)| (*until, *at));
        for (_, position, candidate) in &shut {
            if let Ok(permit) = candidate.health.admit_as_last_resort(now) {
                return Choice::Call(*position, permit);
            }
        }
        let rests = possible.iter().filter_map(|(_, candidate)| {
            let reading = candidate.health.reading(now);
            let limited = reading.cause == Some(Cause::RateLimited);
            limited.then(|| now + reading.until.unwrap_or_else(|| LOOK_AGAIN.mul_f64(0.5 + dice)))
        });
        let rest = rests.min();
        let latest = *self.waiting_since.get_or_insert(now) + self.bounds.retry.max_wait;
        match rest.filter(|rest| *rest < self.bounds.deadline && *rest <= latest) {
            Some(rest) => Choice::Wait(rest),
            None => Choice::Nothing,
        }
    }

    /// Whether the next attempt may be a probe though there is a target that is well: not if none could follow it, be
    /// it that the request wants one attempt only, or has used up the others, or that the retry budget is spent. Where
    /// `dispatch.max_attempts` is 1, none could follow anybody's: there it may.
    fn may_probe(&self, now: Instant) -> bool {
        let more = self.begun == 0 || self.begun + 1 < self.bounds.max_attempts;
        self.bounds.may_probe && more && self.health.budget(|budget| budget.level(now)) >= 1.0
    }
}
