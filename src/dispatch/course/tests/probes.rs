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

/// The next request's probe of `a`, and when another target is asked beside it; then the breaker's rest is over again.
fn probed(world: &mut World, answers_after: Option<Duration>) -> Duration {
    let mut course = world.course(&["a", "b"]);
    let probe = call(&mut course, world.now);
    let patience = course.hedge_at(&probe).unwrap() - world.now;
    assert!(patience <= probe.until - world.now, "{patience:?}");
    match answers_after.filter(|after| *after < patience) {
        Some(after) => course.succeed(&probe, None, world.now + after, 0.5),
        None => {
            let late = world.now + patience;
            let second = course.hedge(late).unwrap();
            course.succeed(&second, None, late + MS * 20, 0.5);
        }
    }
    world.now += patience + SECOND * 3;
    world.bounds.deadline = world.now + SECOND * 16;
    patience
}

#[test]
fn a_few_of_many_late_probes_get_more_time_up_to_a_fair_trial() {
    let mut world = half_open();
    let patience: Vec<u128> = (0..400).map(|_| probed(&mut world, None).as_millis()).collect();
    let patient: Vec<u128> = patience.iter().copied().filter(|ms| *ms > 100).collect();
    assert!(patience[..7] == [100; 7], "a short outage costs each of the few callers as little: {patience:?}");
    assert_eq!(patient, [vec![200, 400, 800, 1_600], vec![2_000; 46]].concat());
    let usual = world.health.of(&target("a"), world.now).quantile(Manner::Whole, 0.99);
    assert_eq!(usual, Some(MS * 20), "what lost probes took is no answer's time");
}

#[test]
fn a_target_that_is_slow_for_good_comes_back() {
    for (answers_after, most) in [(MS * 90, 3), (MS * 300, 18), (MS * 1_900, 42)] {
        let mut world = half_open();
        let probes = (0..most).find(|_| {
            probed(&mut world, Some(answers_after));
            state(&world) == BreakerState::Closed
        });
        assert!(probes.is_some(), "{answers_after:?}");
    }
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
    let fair = BreakerConfig::default().fair_time;
    assert_eq!(course.hedge_at(&probe), Some(world.now + fair));
    course.abandon(world.now);
    world.now += SECOND;
    let most = (0..100).map(|_| probed(&mut world, None)).max();
    assert_eq!(most, Some(fair * PROBE_MOST), "it may always have been slow");
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
fn a_target_that_nobody_else_tries_is_tried_all_the_same() {
    let spent = RetryConfig { ratio: 0.0, per_second: 0.0, burst: 10, ..RetryConfig::default() };
    for (retry, max_attempts) in [(RetryConfig::default(), 1), (spent, 4)] {
        let mut world = World::with(retry);
        for _ in 0..10 {
            world.run(&["a", "b"], |name| (name == "a").then(down));
        }
        (world.bounds.may_probe, world.bounds.max_attempts) = (max_attempts > 1, max_attempts);
        let ask = |world: &mut World, is_well: bool| {
            world.now += SECOND;
            world.bounds.deadline = world.now + SECOND * 16;
            world.run(&["a", "b"], |name| (name == "a" && !is_well).then(down))
        };
        let failed = (0..100).filter(|_| ask(&mut world, false).1 != "ok").count();
        assert!((7..=10).contains(&failed), "one in ten seconds, and a rest: {failed}");
        let back = (0..20).find(|_| {
            ask(&mut world, true);
            state(&world) == BreakerState::Closed
        });
        assert!(back.is_some());
    }
}

#[test]
fn the_first_probe_goes_alone() {
    let world = half_open();
    let first = |course: &mut Course| call(course, world.now).target.name.to_string();
    let mut courses: Vec<Course> = (0..100).map(|_| world.course(&["a", "b"])).collect();
    let probes = courses.iter_mut().map(first).filter(|name| name == "a").count();
    assert_eq!(probes, 1);
}
