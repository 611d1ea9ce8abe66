use proptest::prelude::*;

use super::*;
use crate::dispatch::attempt::{Outcome, PassReason};
use crate::dispatch::breaker::BreakerConfig;
use crate::dispatch::breaker::Cause;
use crate::money::{Money, Prices};
use crate::provider::{self, ErrorClass, Usage};
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

#[test]
fn an_attempt_gets_half_of_what_is_left_and_the_last_all_of_it() {
    let check = |attempt_timeout: Option<Duration>, expected: [u32; 3]| {
        let mut world = World::new();
        world.bounds.max_attempts = 3;
        let mut course = world.course(&["a", "b", "c"]);
        course.wants(Manner::Whole, attempt_timeout);
        for seconds in expected {
            let leg = call(&mut course, world.now);
            assert_eq!(leg.until - world.now, SECOND * seconds);
            world.now = leg.until;
            course.fail(&leg, &provider::Error::Timeout { after: SECOND }, world.now, 0.5);
        }
    };
    check(None, [8, 4, 4]);
    check(Some(SECOND * 6), [6, 5, 5]);
    check(Some(SECOND), [1, 1, 1]);
}

#[test]
fn a_target_that_is_known_to_be_quick_is_not_waited_for_long_if_there_are_others() {
    let check = |usual: Duration, names: &[&str], expected: Duration| {
        let world = World::new();
        for _ in 0..50 {
            world.health.of(&target("a"), world.now).record(Manner::Whole, usual);
        }
        let mut course = world.course(names);
        course.wants(Manner::Whole, None);
        let waits = call(&mut course, world.now).until - world.now;
        // What is known of the times is known to a few per cent.
        assert!((waits.as_secs_f64() / expected.as_secs_f64() - 1.0).abs() < 0.1, "{waits:?}, {expected:?}");
    };
    check(Duration::from_millis(20), &["a", "b"], SECOND * 2);
    check(Duration::from_millis(500), &["a", "b"], SECOND * 5);
    check(SECOND * 2, &["a", "b"], SECOND * 8);
    check(Duration::from_millis(20), &["a"], SECOND * 16);
}

#[test]
fn what_follows_from_a_failure() {
    let check = |names: &[&str], class: ErrorClass, status: u16, called: &str, end: &str| {
        let mut world = World::new();
        let found = world.run(names, |name| (name == "a").then(|| refused(status, class)));
        assert_eq!((found.0.concat().as_str(), found.1), (called, end), "{class:?}");
    };
    check(&["a", "b"], ErrorClass::Transient, 503, "ab", "ok");
    check(&["a", "b"], ErrorClass::RateLimited, 429, "ab", "ok");
    check(&["a", "b"], ErrorClass::Authentication, 401, "ab", "ok");
    check(&["a", "b"], ErrorClass::UnknownModel, 404, "ab", "ok");
    check(&["a", "b"], ErrorClass::Invalid, 400, "a", "rejected");
    check(&["a:p/m", "b:q/m", "c:q/n"], ErrorClass::TooLong, 400, "ac", "ok");
    check(&["a:p/m", "b:q/m"], ErrorClass::ContentRefused, 400, "a", "rejected");
    // Alone, what passes is tried again as often as there may be attempts; nothing else is.
    check(&["a"], ErrorClass::Transient, 503, "aaaa", "all_failed");
    check(&["a"], ErrorClass::Authentication, 401, "a", "all_failed");
    check(&["a"], ErrorClass::TooLong, 400, "a", "rejected");
}

#[test]
fn after_all_others_those_that_failed_in_passing_are_tried_again() {
    let mut world = World::new();
    assert_eq!(world.run(&["a", "b", "c"], |_| Some(down())).0.concat(), "abca");
    world.bounds.max_attempts = 1;
    assert_eq!(world.run(&["a", "b", "c"], |_| Some(down())).0.concat(), "a");
}

#[test]
fn the_end_of_a_course_says_why() {
    let world = World::new();
    assert_eq!(ends(&mut world.course(&[]), world.now).kind(), "no_targets");
    let mut late = world.course(&["a", "b"]);
    let leg = call(&mut late, world.now);
    late.fail(&leg, &down(), world.bounds.deadline, 0.5);
    assert_eq!(ends(&mut late, world.bounds.deadline).kind(), "deadline_exceeded");
    assert_eq!(late.progress(), Progress::Failed("deadline_exceeded"));
}

#[test]
fn before_the_same_provider_is_asked_again_there_is_a_pause_and_before_another_none() {
    let mut world = World::with(RetryConfig::default());
    world.bounds.max_attempts = 6;
    let mut course = world.course(&["a:p/m", "b:p/n", "c:q/m"]);
    let mut names = String::new();
    let mut now = world.now;
    let mut waits = Vec::new();
    loop {
        match course.next(now, 0.5) {
            Step::Call(leg) => {
                names.push_str(leg.target.name.as_str());
                course.fail(&leg, &down(), now, 0.5);
            }
            Step::Wait(until) => {
                waits.push((until - now).as_millis());
                now = until;
            }
            Step::End(_) => break,
        }
    }
    assert_eq!(names, "acbcac", "a provider that has not just failed goes first");
    assert_eq!(waits, [50, 100], "half of 100 ms, half of 200 ms");
}

#[test]
fn retry_after_holds_for_later_requests_too() {
    let mut world = World::new();
    let first = |name: &str| (name == "a").then(|| limited(Some(SECOND * 9)));
    assert_eq!(world.run(&["a", "b"], first).0.concat(), "ab");
    assert_eq!(world.run(&["a", "b"], |_| None).0.concat(), "b");
    world.now += SECOND * 9;
    assert_eq!(world.run(&["a", "b"], |_| None).0.concat(), "a");
}

#[test]
fn a_rest_that_fits_is_waited_for_and_another_is_not() {
    let world = World::new();
    let mut course = world.course(&["a"]);
    let leg = call(&mut course, world.now);
    course.fail(&leg, &limited(Some(SECOND * 3)), world.now, 0.5);
    let Step::Wait(until) = course.next(world.now, 0.5) else { panic!("it fits") };
    assert_eq!(until, world.now + SECOND * 3);
    assert!(matches!(course.next(until, 0.5), Step::Call(_)));

    let world = World::new();
    let mut course = world.course(&["a"]);
    let leg = call(&mut course, world.now);
    course.fail(&leg, &limited(Some(SECOND * 6)), world.now, 0.5);
    assert_eq!(ends(&mut course, world.now).kind(), "all_failed");
    let error = ends(&mut world.course(&["a"]), world.now);
    let passed = error.passed();
    assert_eq!(passed[0].reason, PassReason::BreakerOpen { cause: Cause::RateLimited, left: SECOND * 6 });
}

#[test]
fn an_open_breaker_puts_its_target_behind_the_others() {
    let mut world = World::new();
    for _ in 0..10 {
        world.run(&["a", "b"], |name| (name == "a").then(down));
    }
    assert_eq!(world.run(&["a", "b"], |_| None).0.concat(), "b");
    let mut course = world.course(&["a", "b"]);
    let leg = call(&mut course, world.now);
    course.succeed(&leg, None, world.now, 0.5);
    assert_eq!(course.passed_before(&leg.target, world.now)[0].target.as_str(), "a");
    world.now += SECOND;
    assert_eq!(world.run(&["a", "b"], |_| None).0.concat(), "a", "half open, one tries it");
}

#[test]
fn when_all_are_down_requests_fail_at_once_and_find_the_first_that_comes_back() {
    let mut world = World::new();
    for _ in 0..20 {
        world.run(&["a", "b"], |_| Some(down()));
    }
    let error = ends(&mut world.course(&["a", "b"]), world.now);
    assert_eq!((error.kind(), error.attempts().len(), error.passed().len()), ("all_failed", 0, 2));
    world.now += Duration::from_millis(250);
    assert_eq!(world.run(&["a", "b"], |name| (name == "a").then(down)).1, "ok", "b is back, and found");
}

#[test]
fn a_refused_key_rests_all_targets_of_its_provider() {
    let mut world = World::new();
    let names = ["a:p/m", "b:p/n", "c:q/m"];
    let key = |name: &str| (name == "a").then(|| refused(401, ErrorClass::Authentication));
    assert_eq!(world.run(&names, key).0.concat(), "ac");
    assert_eq!(world.run(&names, |_| None).0.concat(), "c");

    let mut world = World::new();
    let right = |name: &str| (name == "a").then(|| refused(403, ErrorClass::Authentication));
    assert_eq!(world.run(&names, right).0.concat(), "ab", "it may not do this, and may do other things");
}

#[test]
fn what_the_request_caused_does_not_open_a_breaker() {
    let mut world = World::new();
    for class in [ErrorClass::Invalid, ErrorClass::TooLong, ErrorClass::ContentRefused] {
        for _ in 0..30 {
            world.run(&["a"], |_| Some(refused(400, class)));
        }
    }
    // A caller in a hurry is no judge either.
    world.bounds.deadline = world.now + Duration::from_millis(30);
    for _ in 0..30 {
        let mut course = world.course(&["a"]);
        let leg = call(&mut course, world.now);
        course.fail(&leg, &provider::Error::Timeout { after: leg.until - leg.began }, world.now, 0.5);
    }
    assert_eq!(world.run(&["a"], |_| None).1, "ok");
    assert_eq!(world.health.standings(world.now)[0].breaker.openings, 0);
}

#[test]
fn without_budget_there_is_one_attempt() {
    let mut world = World::with(RetryConfig { ratio: 0.0, per_second: 0.0, burst: 1, ..RetryConfig::default() });
    assert_eq!(world.run(&["a", "b"], |name| (name == "a").then(down)).0.concat(), "ab");
    let mut course = world.course(&["a", "b"]);
    let leg = call(&mut course, world.now);
    course.fail(&leg, &down(), world.now, 0.5);
    let error = ends(&mut course, world.now);
    assert_eq!(error.passed()[0].reason, PassReason::RetryBudget);
    assert_eq!(world.health.retry_budget(world.now).1, 1);
}

#[test]
fn a_hedge_begins_beside_a_slow_attempt_and_the_loser_is_cancelled() {
    let mut world = World::new();
    world.bounds.hedge = Some(Hedge { after: Some(SECOND) });
    let mut course = world.course(&["a", "b"]);
    course.wants(Manner::Streamed, None);
    let first = call(&mut course, world.now);
    assert_eq!(course.hedge_at(&first), Some(world.now + SECOND));
    let later = world.now + SECOND;
    let second = course.hedge(later).unwrap();
    assert_eq!(second.target.name.as_str(), "b");
    assert!(course.hedge(later).is_none(), "no third");
    course.commit(&second, later + SECOND);
    course.deliver(&second, "text", later + SECOND);
    course.succeed(&second, Some(Usage::new(1_000_000, 0)), later + SECOND * 2, 0.5);
    let [loser, winner] = course.attempts() else { panic!("{:?}", course.attempts()) };
    assert_eq!((&loser.outcome, loser.is_hedge, loser.usage_is_estimated), (&Outcome::Cancelled, false, true));
    assert_eq!((&winner.outcome, winner.is_hedge, winner.committed), (&Outcome::Ok, true, true));
    assert_eq!((winner.first_text, winner.duration), (Some(SECOND), SECOND * 2));
    assert_eq!((winner.cost, loser.usage), (Some(Money(1_000_000_000)), Some(Usage::new(10, 0))));
}

#[test]
fn without_a_time_a_hedge_waits_for_what_is_usual() {
    let mut world = World::new();
    world.bounds.hedge = Some(Hedge::default());
    let mut course = world.course(&["a", "b"]);
    course.wants(Manner::Streamed, None);
    let leg = call(&mut course, world.now);
    assert_eq!(course.hedge_at(&leg), None, "too little is known");
    let health = world.health.of(&leg.target, world.now);
    (1..=100).for_each(|ms| health.record(Manner::Streamed, Duration::from_millis(ms)));
    assert_eq!(course.hedge_at(&leg), Some(world.now + Duration::from_millis(95)));
}

#[test]
fn usage_of_what_was_cut_off_is_estimated() {
    let world = World::new();
    let mut course = world.course(&["a"]);
    course.wants(Manner::Streamed, None);
    let leg = call(&mut course, world.now);
    course.commit(&leg, world.now);
    course.deliver(&leg, "twelve bytes", world.now);
    course.abandon(world.now + SECOND);
    course.abandon(world.now + SECOND * 2);
    let [attempt] = course.attempts() else { panic!("{:?}", course.attempts()) };
    assert_eq!((attempt.usage, attempt.usage_is_estimated), (Some(Usage::new(10, 3)), true));
    assert_eq!((attempt.duration, attempt.cost), (SECOND, Some(Money(13_000))));
    assert_eq!(course.progress(), Progress::Cancelled);

    let mut course = world.course(&["a"]);
    let leg = call(&mut course, world.now);
    course.fail(&leg, &down(), world.now, 0.5);
    assert_eq!(course.attempts()[0].usage, None, "what was refused costs nothing");
}

#[test]
fn a_stream_that_breaks_after_text_is_at_its_end() {
    let world = World::new();
    let mut course = world.course(&["a", "b"]);
    let leg = call(&mut course, world.now);
    course.commit(&leg, world.now);
    course.deliver(&leg, "Grüezi", world.now);
    let error = course.break_off(&leg, &provider::Error::Truncated, world.now, 0.5);
    assert!(matches!(error, Error::BrokenStream { delivered_chars: 6, .. }), "{error:?}");
    assert_eq!(error.attempts().len(), 1);
}

#[derive(Debug, Clone)]
enum Fate {
    Fails(ErrorClass, u16, Option<u16>),
    Hangs,
    Answers,
}

fn fate() -> impl Strategy<Value = Fate> {
    use ErrorClass::{Authentication, ContentRefused, Invalid, RateLimited, TooLong, Transient, UnknownModel};
    let class = prop_oneof![
        6 => Just((Transient, 503)), 2 => Just((RateLimited, 429)), 1 => Just((TooLong, 413)),
        1 => Just((ContentRefused, 400)), 1 => Just((Authentication, 401)), 1 => Just((UnknownModel, 404)),
        1 => Just((Invalid, 400)),
    ];
    prop_oneof![
        6 => (class, proptest::option::of(any::<u16>())).prop_map(|((class, status), ms)| Fate::Fails(class, status, ms)),
        1 => Just(Fate::Hangs),
        3 => Just(Fate::Answers),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    /// Many requests on shared health, whatever happens to them: no call outside of the plan, no more calls than allowed,
    /// none that is given time past the deadline, and no more of them together than the budget allows.
    #[test]
    fn every_request_keeps_within_its_bounds(
        requests in proptest::collection::vec(
            (proptest::collection::vec(0_usize..5, 0..5), 1_u32..5, any::<bool>(), 0_u64..300, 1_u64..20),
            1..40,
        ),
        fates in proptest::collection::vec(fate(), 1..60),
        dice in 0.0..1.0_f64,
    ) {
        const ALL: [&str; 5] = ["a:p/m", "b:p/n", "c:q/m", "d:q/n", "e:r/o"];
        let retry = RetryConfig { burst: 8, ..RetryConfig::default() };
        let mut world = World::with(retry.clone());
        let began = world.now;
        let (mut fates, mut calls, mut count) = (fates.iter().cycle(), 0_u32, 0_u32);
        for (targets, max_attempts, hedges, pause, seconds) in &requests {
            world.now += Duration::from_millis(*pause);
            let names: Vec<&str> = targets.iter().map(|at| ALL[*at]).collect();
            world.bounds.deadline = world.now + SECOND * u32::try_from(*seconds).unwrap();
            world.bounds.max_attempts = *max_attempts;
            world.bounds.hedge = hedges.then_some(Hedge { after: Some(Duration::from_millis(50)) });
            let mut course = world.course(&names);
            let allowed: Vec<TargetName> = names.iter().map(|name| target(name).name.clone()).collect();
            let (mut mine, mut steps) = (0_usize, 0);
            count += 1;
            let mut under_way: Vec<Leg> = Vec::new();
            loop {
                steps += 1;
                prop_assert!(steps < 2_000, "it never ends");
                if under_way.is_empty() {
                    match course.next(world.now, dice) {
                        Step::Call(leg) => under_way.push(leg),
                        Step::Wait(until) => {
                            prop_assert!(until > world.now && until < world.bounds.deadline);
                            world.now = until;
                            continue;
                        }
                        Step::End(error) => {
                            prop_assert_eq!(error.attempts().len(), mine);
                            break;
                        }
                    }
                } else if let Some(at) = course.hedge_at(&under_way[0]) {
                    if at > world.now && at < under_way[0].until {
                        world.now = at;
                    }
                    under_way.extend(course.hedge(world.now));
                }
                mine = course.attempts().len() + under_way.len();
                prop_assert!(mine as u32 <= *max_attempts);
                for leg in &under_way {
                    prop_assert!(allowed.contains(&leg.target.name));
                    prop_assert!(leg.until <= world.bounds.deadline && leg.began <= leg.until);
                }
                let leg = under_way.remove(0);
                match fates.next().unwrap() {
                    Fate::Answers => {
                        course.succeed(&leg, None, world.now, dice);
                        under_way.clear();
                        prop_assert_eq!(course.attempts().len(), mine);
                        break;
                    }
                    Fate::Hangs => {
                        world.now = world.now.max(leg.until);
                        course.fail(&leg, &provider::Error::Timeout { after: leg.until - leg.began }, world.now, dice);
                    }
                    Fate::Fails(class, status, ms) => {
                        let retry_after = ms.map(|ms| Duration::from_millis(u64::from(ms)));
                        let error = provider::Error::Status {
                            status: *status, class: *class, retry_after, message: String::new(),
                        };
                        course.fail(&leg, &error, world.now, dice);
                    }
                }
            }
            calls += course.attempts().len() as u32;
            let seconds = (world.now - began).as_secs_f64();
            let bound = f64::from(count) * (1.0 + retry.ratio) + retry.per_second * seconds + f64::from(retry.burst);
            prop_assert!(f64::from(calls) <= bound + 1e-6, "{} calls, at most {} are allowed", calls, bound);
        }
    }
}
