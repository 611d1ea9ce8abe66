//! Requests that try whether a target has come back.

use super::*;
use crate::dispatch::attempt::Outcome;
use crate::dispatch::breaker::BreakerState;

const MS: Duration = Duration::from_millis(1);

/// `a` took 20 ms while it was well; then it failed, and now its breaker is half open.
fn half_open() -> World {
    let mut world = World::new();
    let health = world.health.of(&target("a"), world.now);
    (0..100).for_each(|_| health.record(Manner::Whole, MS * 20));
    for _ in 0..10 {
        world.run(&["a", "b"], |name| (name == "a").then(down));
    }
    world.now += SECOND;
    world
}

fn state(world: &World) -> BreakerState {
    world.health.of(&target("a"), world.now).reading(world.now).state
}

#[test]
fn beside_a_probe_that_is_late_another_target_is_asked_and_the_loser_is_judged() {
    let world = half_open();
    let mut course = world.course(&["a", "b"]);
    let probe = call(&mut course, world.now);
    assert_eq!((probe.target.name.as_str(), probe.until), ("a", world.now + SECOND));
    let late = course.hedge_at(&probe).unwrap();
    assert_eq!(late, world.now + PROBE_LEAST);
    let second = course.hedge(late).unwrap();
    assert_eq!(course.hedge_at(&second), None);
    course.succeed(&second, None, late + MS * 20, 0.5);
    let [loser, winner] = course.attempts() else { panic!("{:?}", course.attempts()) };
    assert_eq!((&loser.outcome, loser.is_probe), (&Outcome::Cancelled, true));
    assert_eq!((&winner.outcome, winner.is_probe, winner.is_hedge), (&Outcome::Ok, false, true));
    assert_eq!(state(&world), BreakerState::Open, "it has not come back");
}

#[test]
fn a_probe_that_is_late_and_still_the_first_to_answer_counts_as_good() {
    let mut world = half_open();
    for _ in 0..3 {
        world.now += SECOND;
        let mut course = world.course(&["a", "b"]);
        let probe = call(&mut course, world.now);
        let second = course.hedge(world.now + PROBE_LEAST).unwrap();
        assert_eq!(second.target.name.as_str(), "b");
        course.succeed(&probe, None, world.now + MS * 300, 0.5);
    }
    assert_eq!(state(&world), BreakerState::Closed);
}

#[test]
fn probes_get_more_time_the_more_of_them_were_late() {
    let mut world = half_open();
    let mut patience = Vec::new();
    for _ in 0..24 {
        let mut course = world.course(&["a", "b"]);
        let probe = call(&mut course, world.now);
        let late = course.hedge_at(&probe).unwrap();
        patience.push((late - world.now).as_millis());
        let second = course.hedge(late).unwrap();
        course.succeed(&second, None, late + MS * 20, 0.5);
        world.now += SECOND * 3;
        world.bounds.deadline = world.now + SECOND * 16;
    }
    assert_eq!(patience[..6], [100; 6], "a short outage costs each of the few callers as little");
    assert!(patience.is_sorted() && patience[23] >= 800, "one that is slow for good has its chance: {patience:?}");
}

#[test]
fn where_little_is_known_a_probe_gets_a_fair_trial() {
    let mut world = World::new();
    for _ in 0..10 {
        world.run(&["a", "b"], |name| (name == "a").then(down));
    }
    world.now += SECOND;
    let mut course = world.course(&["a", "b"]);
    let probe = call(&mut course, world.now);
    assert_eq!(course.hedge_at(&probe), Some(world.now + BreakerConfig::default().fair_time));
}

#[test]
fn a_request_that_cannot_go_on_to_another_target_is_no_probe_unless_none_is_well() {
    let mut world = half_open();
    world.bounds.may_probe = false;
    assert_eq!(world.run(&["a", "b"], |_| None).0.concat(), "b");
    let mut course = world.course(&["a"]);
    let probe = call(&mut course, world.now);
    assert_eq!((probe.target.name.as_str(), course.hedge_at(&probe)), ("a", None), "there is no other");
    course.succeed(&probe, None, world.now, 0.5);

    let spent = RetryConfig { ratio: 0.0, per_second: 0.0, burst: 10, ..RetryConfig::default() };
    let mut world = World::with(spent);
    for _ in 0..10 {
        world.run(&["a", "b"], |name| (name == "a").then(down));
    }
    world.now += SECOND;
    assert_eq!(world.run(&["a", "b"], |_| None).0.concat(), "b", "the retry budget is spent");
}

#[test]
fn the_first_probe_goes_alone() {
    let world = half_open();
    let first = |course: &mut Course| call(course, world.now).target.name.to_string();
    let mut courses: Vec<Course> = (0..100).map(|_| world.course(&["a", "b"])).collect();
    let probes = courses.iter_mut().map(first).filter(|name| name == "a").count();
    assert_eq!(probes, 1);
}
