//! How courses end, and what is known of their attempts then.

use super::*;
use crate::money::Money;
use crate::provider::Usage;

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
