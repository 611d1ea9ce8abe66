//! Courses step by step, with the time and the chance as arguments.

mod bounds;
mod endings;
mod order;
mod probes;
mod times;

use super::*;
use crate::dispatch::breaker::BreakerConfig;
use crate::money::Prices;
use crate::provider::{self, ErrorClass};
use crate::reference::TargetName;

const SECOND: Duration = Duration::from_secs(1);

/// `a` is target `a` of provider and model `a`; `a:p/m` names both.
fn target(words: &str) -> Arc<Target> {
    let (name, place) = words.split_once(':').unwrap_or((words, ""));
    let (provider, model) = place.split_once('/').unwrap_or((name, name));
    let prices = Some(Prices::new(1.0, 1.0));
    Arc::new(Target { prices, ..Target::new(TargetName::new(name).unwrap(), provider, model) })
}

fn plan(names: &[&str]) -> Plan {
    Plan::unjudged(names.iter().map(|name| target(name)))
}

struct World {
    health: Health,
    bounds: Bounds,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self::with(RetryConfig { backoff: Duration::ZERO, ..RetryConfig::default() })
    }

    fn with(retry: RetryConfig) -> Self {
        let now = Instant::now();
        let health = Health::new(BreakerConfig::default(), &retry, now);
        let bounds = Bounds {
            deadline: now + SECOND * 16,
            attempt_timeout: None,
            max_attempts: 4,
            may_probe: true,
            hedge: None,
            retry: Arc::new(retry),
            input_tokens: 10,
        };
        Self { health, bounds, now }
    }

    fn course(&self, names: &[&str]) -> Course {
        Course::new(&plan(names), self.bounds.clone(), self.health.clone(), self.now)
    }

    /// Carries a plan out: each target fails as `fails` says, or answers. What was called, and how it ended.
    fn run(&mut self, names: &[&str], fails: impl Fn(&str) -> Option<provider::Error>) -> (Vec<String>, &'static str) {
        let mut course = self.course(names);
        let mut called = Vec::new();
        loop {
            match course.next(self.now, 0.5) {
                Step::Wait(until) => self.now = until,
                Step::End(error) => return (called, error.kind()),
                Step::Call(leg) => {
                    called.push(leg.target.name.to_string());
                    match fails(leg.target.name.as_str()) {
                        Some(error) => course.fail(&leg, &error, self.now, 0.5),
                        None => {
                            course.succeed(&leg, None, self.now, 0.5);
                            return (called, "ok");
                        }
                    }
                }
            }
        }
    }
}

fn call(course: &mut Course, now: Instant) -> Leg {
    match course.next(now, 0.5) {
        Step::Call(leg) => leg,
        other => panic!("{other:?}"),
    }
}

fn ends(course: &mut Course, now: Instant) -> Error {
    match course.next(now, 0.5) {
        Step::End(error) => error,
        other => panic!("{other:?}"),
    }
}

fn refused(status: u16, class: ErrorClass) -> provider::Error {
    provider::Error::Status { status, class, retry_after: None, message: "no".to_owned() }
}

fn down() -> provider::Error {
    refused(503, ErrorClass::Transient)
}

fn limited(retry_after: Option<Duration>) -> provider::Error {
    provider::Error::Status {
        status: 429,
        class: ErrorClass::RateLimited,
        retry_after,
        message: "slow down".to_owned(),
    }
}
