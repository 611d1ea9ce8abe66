//! How attempts end, and with them perhaps the course.

use std::time::{Duration, Instant};

use super::super::breaker::Verdict;
use super::super::error::Error;
use super::super::health::Manner;
use super::candidate::RuledOut;
use super::leg::{Flight, Landing};
use super::{Course, Leg, Progress};
use crate::provider::{self, ErrorClass, Usage};

/// Shorter than this, nobody is said to hang.
const HANGING: Duration = Duration::from_millis(100);

impl Course {
    /// Records a failure before anything was handed over; [`Self::next`] says how it goes on.
    pub(in crate::dispatch) fn fail(&mut self, leg: &Leg, error: &provider::Error, now: Instant, dice: f64) {
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
    pub(in crate::dispatch) fn commit(&mut self, leg: &Leg, now: Instant) {
        let others: Vec<Leg> =
            self.flights.iter().filter(|it| it.leg.number != leg.number).map(|it| it.leg.clone()).collect();
        for other in others {
            if let Some(flight) = self.land(&other, &Landing::Cancelled, now)
                && let Some(candidate) = self.candidates.get(flight.position)
            {
                let took = now.saturating_duration_since(other.began);
                let is_probe = flight.permit.is_probe;
                let usual = candidate.health.quantile(self.manner, 0.99);
                let hangs = match is_probe {
                    true => took >= self.probe_patience(flight.position, flight.permit),
                    false => usual.is_some_and(|usual| took >= (usual * 4).max(HANGING)),
                };
                let hangs = hangs && flight.first_text.is_none();
                // Whoever hedges never waits for it to fail: without this a target that hangs would never be left.
                let verdict = if hangs { Verdict::Bad } else { Verdict::Void };
                candidate.health.settle(flight.permit, verdict, now, 0.5);
                // It would have taken at least this: without it only quick answers would count as usual. Of a probe it
                // says nothing: it may be of a target that hangs.
                if !is_probe && !hangs {
                    candidate.health.record(self.manner, took);
                }
            }
        }
        if let Some(flight) = self.flights.iter_mut().find(|it| it.leg.number == leg.number) {
            flight.committed = true;
        }
    }

    /// Text was handed over.
    pub(in crate::dispatch) fn deliver(&mut self, leg: &Leg, text: &str, now: Instant) {
        let Some(flight) = self.flights.iter_mut().find(|it| it.leg.number == leg.number) else { return };
        flight.delivered_bytes = flight.delivered_bytes.saturating_add(text.len() as u64);
        flight.delivered_chars = flight.delivered_chars.saturating_add(text.chars().count() as u64);
        if flight.first_text.is_none() {
            let time = now.saturating_duration_since(leg.began);
            flight.first_text = Some(time);
            if let (Manner::Streamed, Some(candidate)) = (self.manner, self.candidates.get(flight.position)) {
                candidate.health.record(Manner::Streamed, time);
                // A probe has shown what it was to show: others need not wait for the end of a long answer.
                if flight.permit.is_probe && !flight.judged {
                    flight.judged = true;
                    let slow = self.health.breaker_config().slow_after.is_some_and(|limit| time >= limit);
                    candidate.health.settle(flight.permit, if slow { Verdict::Slow } else { Verdict::Good }, now, 0.5);
                }
            }
        }
    }

    /// The answer is whole.
    pub(in crate::dispatch) fn succeed(&mut self, leg: &Leg, usage: Option<Usage>, now: Instant, dice: f64) {
        self.commit(leg, now);
        let Some(flight) = self.land(leg, &Landing::Answered(usage), now) else { return };
        self.progress = Progress::Answered;
        let Some(candidate) = self.candidates.get(flight.position) else { return };
        let whole = now.saturating_duration_since(leg.began);
        if self.manner == Manner::Whole {
            candidate.health.record(Manner::Whole, whole);
        }
        if flight.judged {
            return;
        }
        let judged = flight.first_text.filter(|_| self.manner == Manner::Streamed).unwrap_or(whole);
        let slow = self.health.breaker_config().slow_after.is_some_and(|limit| judged >= limit);
        candidate.health.settle(flight.permit, if slow { Verdict::Slow } else { Verdict::Good }, now, dice);
    }

    /// Records a failure after text was handed over: that is the end.
    pub(in crate::dispatch) fn break_off(
        &mut self,
        leg: &Leg,
        error: &provider::Error,
        now: Instant,
        dice: f64,
    ) -> Error {
        let flight = self.land(leg, &Landing::Failed(error), now);
        let delivered_chars = flight.as_ref().map_or(0, |flight| flight.delivered_chars);
        let late = now >= self.bounds.deadline;
        if let Some(flight) = &flight {
            if late && matches!(error, provider::Error::Timeout { .. }) {
                // The caller's time was up while text was coming: the target is not to blame.
                if let Some(candidate) = self.candidates.get(flight.position).filter(|_| !flight.judged) {
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
    pub(in crate::dispatch) fn abandon(&mut self, now: Instant) {
        if self.progress != Progress::UnderWay {
            return;
        }
        self.progress = Progress::Cancelled;
        for leg in self.flights.iter().map(|flight| flight.leg.clone()).collect::<Vec<_>>() {
            if let Some(flight) = self.land(&leg, &Landing::Cancelled, now)
                && let Some(candidate) = self.candidates.get(flight.position).filter(|_| !flight.judged)
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
}
