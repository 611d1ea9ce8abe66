//! How far a plan has been carried out, and what follows: pure, every function takes the time as an argument.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempt::{Attempt, Span};
use super::error::Error;
use crate::provider;
use crate::routing::{Plan, Refusal, Target};

/// What bounds a course.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) deadline: Instant,
    /// Longest time for one attempt (of a stream: until its first text), besides its share of the deadline.
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) max_attempts: u32,
}

/// A plan under way.
pub(super) struct Course {
    bounds: Bounds,
    began: Instant,
    /// Those still to be tried.
    targets: std::vec::IntoIter<Arc<Target>>,
    refused: Vec<Refusal>,
    attempts: Vec<Attempt>,
    rejected: bool,
}

/// An attempt that has begun.
pub(super) struct Leg {
    pub(super) target: Arc<Target>,
    pub(super) began: Instant,
    /// When it has to have brought its answer or, of a stream, its first text.
    pub(super) until: Instant,
}

impl Course {
    pub(super) fn new(plan: &Plan, bounds: Bounds, now: Instant) -> Self {
        let most = usize::try_from(bounds.max_attempts.max(1)).unwrap_or(usize::MAX);
        let targets: Vec<_> = plan.targets().iter().take(most).cloned().collect();
        let refused = plan.refused().to_vec();
        let attempts = Vec::with_capacity(targets.len());
        Self { bounds, began: now, targets: targets.into_iter(), refused, attempts, rejected: false }
    }

    /// After it, nothing more may be handed over.
    pub(super) fn deadline(&self) -> Instant {
        self.bounds.deadline
    }

    /// The next attempt, or why there is none.
    pub(super) fn next(&mut self, now: Instant) -> Result<Leg, Error> {
        if self.attempts.is_empty() && self.targets.len() == 0 {
            return Err(Error::NoTargets { refused: std::mem::take(&mut self.refused) });
        }
        let attempts = |course: &mut Self| std::mem::take(&mut course.attempts);
        if self.rejected {
            return Err(Error::Rejected { attempts: attempts(self) });
        }
        if now >= self.bounds.deadline {
            return Err(Error::DeadlineExceeded { attempts: attempts(self) });
        }
        match self.targets.next() {
            Some(target) => Ok(Leg { target, began: now, until: now + self.share(now) }),
            None => Err(Error::AllFailed { attempts: attempts(self) }),
        }
    }

    /// Time for an attempt that begins now: all that is left if it is the last, half of it if others come after.
    fn share(&self, now: Instant) -> Duration {
        let left = self.bounds.deadline.saturating_duration_since(now);
        let share = if self.targets.len() == 0 { left } else { left / 2 };
        self.bounds.attempt_timeout.map_or(share, |timeout| timeout.min(share))
    }

    /// Records a failure before anything was handed over; [`Self::next`] says how it goes on.
    pub(super) fn fail(&mut self, leg: &Leg, error: &provider::Error, now: Instant) {
        self.rejected = !error.retriable();
        let attempt = Attempt::failed(&leg.target, self.span(leg, now), error, false);
        self.attempts.push(attempt);
    }

    /// Records the answer and returns all attempts.
    pub(super) fn succeed(&mut self, leg: &Leg, now: Instant) -> Vec<Attempt> {
        let attempt = Attempt::succeeded(&leg.target, self.span(leg, now));
        self.attempts.push(attempt);
        std::mem::take(&mut self.attempts)
    }

    /// Records a failure after text was handed over: that is the end.
    pub(super) fn break_off(
        &mut self,
        leg: &Leg,
        error: &provider::Error,
        delivered_chars: u64,
        now: Instant,
    ) -> Error {
        let attempt = Attempt::failed(&leg.target, self.span(leg, now), error, true);
        self.attempts.push(attempt);
        let attempts = std::mem::take(&mut self.attempts);
        if now >= self.bounds.deadline {
            Error::DeadlineExceeded { attempts }
        } else {
            Error::BrokenStream { attempts, delivered_chars }
        }
    }

    fn span(&self, leg: &Leg, now: Instant) -> Span {
        Span {
            started: leg.began.saturating_duration_since(self.began),
            duration: now.saturating_duration_since(leg.began),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::TargetName;

    const SECOND: Duration = Duration::from_secs(1);

    fn plan(names: &[&str]) -> Plan {
        let target = |name: &&str| Arc::new(Target::new(TargetName::new(name).unwrap(), "p", "m"));
        Plan::unjudged(names.iter().map(target))
    }

    fn course(names: &[&str], seconds: u32, attempt_timeout: Option<Duration>, now: Instant) -> Course {
        let bounds = Bounds { deadline: now + SECOND * seconds, attempt_timeout, max_attempts: 4 };
        Course::new(&plan(names), bounds, now)
    }

    fn status(status: u16) -> provider::Error {
        provider::Error::Status { status, retry_after: Some(SECOND), message: "no".to_owned() }
    }

    #[test]
    fn an_attempt_gets_half_of_what_is_left_and_the_last_all_of_it() {
        let check = |attempt_timeout: Option<Duration>, expected: [u32; 3]| {
            let begin = Instant::now();
            let mut now = begin;
            let mut course = course(&["a", "b", "c"], 16, attempt_timeout, begin);
            for seconds in expected {
                let leg = course.next(now).unwrap();
                assert_eq!(leg.until - now, SECOND * seconds);
                now = leg.until;
                course.fail(&leg, &provider::Error::Timeout { after: SECOND }, now);
            }
        };
        check(None, [8, 4, 4]);
        check(Some(SECOND * 6), [6, 5, 5]);
        check(Some(SECOND), [1, 1, 1]);
    }

    #[test]
    fn a_quick_failure_leaves_its_time_to_the_next() {
        let now = Instant::now();
        let mut course = course(&["a", "b"], 16, None, now);
        let leg = course.next(now).unwrap();
        course.fail(&leg, &status(503), now);
        assert_eq!(course.next(now).unwrap().until, now + SECOND * 16);
    }

    #[test]
    fn the_end_of_a_course_says_why() {
        let now = Instant::now();
        let check = |names: &[&str], failure: Option<u16>, at: Instant, expected: &str| {
            let mut course = course(names, 1, None, now);
            if let Some(failure) = failure {
                let leg = course.next(now).unwrap();
                course.fail(&leg, &status(failure), at);
            }
            let Err(error) = course.next(at) else { panic!("{expected}: it goes on") };
            assert_eq!(error.kind(), expected);
        };
        check(&[], None, now, "no_targets");
        check(&["a"], Some(500), now, "all_failed");
        check(&["a", "b"], Some(400), now, "rejected");
        check(&["a", "b"], Some(429), now + SECOND, "deadline_exceeded");
        check(&["a"], None, now + SECOND, "deadline_exceeded");
    }

    #[test]
    fn attempts_are_limited_but_there_is_always_one() {
        let now = Instant::now();
        for (max_attempts, expected) in [(0, 1), (1, 1), (2, 2), (9, 3)] {
            let bounds = Bounds { deadline: now + SECOND, attempt_timeout: None, max_attempts };
            let mut course = Course::new(&plan(&["a", "b", "c"]), bounds, now);
            let error = loop {
                match course.next(now) {
                    Ok(leg) => course.fail(&leg, &status(500), now),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.attempts().len(), expected);
        }
    }

    #[test]
    fn an_attempt_records_what_happened() {
        let now = Instant::now();
        let mut course = course(&["a", "b"], 10, None, now);
        let leg = course.next(now + SECOND).unwrap();
        course.fail(&leg, &status(429), now + SECOND * 3);
        let leg = course.next(now + SECOND * 3).unwrap();
        let attempts = course.succeed(&leg, now + SECOND * 4);
        assert_eq!((attempts[0].started, attempts[0].duration), (SECOND, SECOND * 2));
        assert_eq!((attempts[0].status, attempts[0].retry_after), (Some(429), Some(SECOND)));
        assert_eq!((attempts[0].committed, attempts[1].committed), (false, true));
        assert_eq!(attempts[1].target.as_str(), "b");
    }
}
