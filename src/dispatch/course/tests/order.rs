//! Which target is next, for this request and for later ones.

use super::*;
use crate::dispatch::attempt::PassReason;
use crate::dispatch::breaker::Cause;

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
