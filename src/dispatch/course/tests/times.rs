//! How long an attempt gets, and when a second one begins beside it.

use super::*;
use crate::dispatch::attempt::Outcome;
use crate::money::Money;
use crate::provider::Usage;

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
