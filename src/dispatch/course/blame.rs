//! What a failure says of its target.

use std::time::{Duration, Instant};

use super::super::breaker::{Cause, Verdict};
use super::super::health::{Health, TargetHealth};
use super::leg::Flight;
use super::{Course, PROBE_PATIENCE};
use crate::provider::{self, ErrorClass};

impl Course {
    /// Tells all other requests.
    pub(super) fn tell_health(&self, flight: &Flight, error: &provider::Error, now: Instant, dice: f64) {
        let Some(candidate) = self.candidates.get(flight.position) else { return };
        let verdict = match error.class() {
            ErrorClass::Transient if self.was_fair(flight, error) => Verdict::Bad,
            _ => Verdict::Void,
        };
        if !flight.judged {
            candidate.health.settle(flight.permit, verdict, now, dice);
        }
        // It fails more often than retries can make good, and eats up what others need.
        if verdict == Verdict::Bad
            && self.has_fresh_beside(flight.position, now)
            && self.health.budget(|budget| budget.is_short(now))
        {
            candidate.health.open_from(self.bounds.retry.ratio, now, dice);
        }
        self.health.blame(&candidate.health, error, now, dice);
    }

    /// Whether the attempt had the time that the target takes: one that a hurried caller cut short says nothing.
    fn was_fair(&self, flight: &Flight, error: &provider::Error) -> bool {
        let provider::Error::Timeout { after } = error else { return true };
        let fair = self.health.breaker_config().fair_time;
        let usual = self.candidates.get(flight.position).and_then(|it| it.health.quantile(self.manner, 0.99));
        let fair = usual.map_or(fair, |usual| fair.min((usual * 4).max(Duration::from_millis(100))));
        // A probe's patience is shorter than that, and was enough for the target when it was well.
        let probed = flight.permit.is_probe && usual.is_some_and(|usual| *after >= PROBE_PATIENCE.max(usual * 2));
        probed || flight.committed || *after >= self.bounds.attempt_timeout.map_or(fair, |timeout| fair.min(timeout))
    }
}

impl Health {
    /// Lets a target rest if the error says that it wants to be left alone, or that only the operator can help. The
    /// operator is told once.
    pub(in crate::dispatch) fn blame(&self, health: &TargetHealth, error: &provider::Error, now: Instant, dice: f64) {
        let asked = error.retry_after();
        match error.class() {
            ErrorClass::RateLimited => {
                health.rest(Cause::RateLimited, asked, now, dice);
            }
            ErrorClass::Transient if asked.is_some() => {
                health.rest(Cause::RateLimited, asked, now, dice);
            }
            ErrorClass::Authentication => self.rest_key(health, error, now, dice),
            ErrorClass::UnknownModel => {
                if health.rest(Cause::UnknownModel, None, now, dice) {
                    let (name, model) = (&health.target().name, &health.target().model);
                    tracing::error!(to = %name, model, %error, "the provider does not know the model: the target rests");
                }
            }
            ErrorClass::Transient | ErrorClass::TooLong | ErrorClass::ContentRefused | ErrorClass::Invalid => {}
        }
    }

    /// A key that is not known, or not paid for, is so for all targets of its provider; one that may not do this may do
    /// other things.
    fn rest_key(&self, health: &TargetHealth, error: &provider::Error, now: Instant, dice: f64) {
        let target = health.target();
        let of_provider = matches!(error.status(), Some(401 | 402));
        let is_news = health.rest(Cause::Authentication, None, now, dice);
        if of_provider {
            for other in self.all().iter().filter(|other| other.target().provider == target.provider) {
                other.rest(Cause::Authentication, None, now, dice);
            }
        }
        if is_news {
            let (name, provider) = (&target.name, &target.provider);
            tracing::error!(to = %name, provider, %error, "the provider refuses the key: its targets rest");
        }
    }
}
