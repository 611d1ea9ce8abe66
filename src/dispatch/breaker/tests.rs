use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

struct World {
    breaker: Breaker,
    now: Instant,
}

fn world(config: BreakerConfig) -> World {
    let now = Instant::now();
    World { breaker: Breaker::new(Arc::new(config), now), now }
}

impl World {
    /// One call with this result, if there is leave.
    fn call(&mut self, verdict: Verdict) -> Result<Permit, Bar> {
        let permit = self.breaker.admit(self.now)?;
        self.breaker.settle(permit, verdict, self.now, 1.0);
        Ok(permit)
    }

    fn calls(&mut self, count: usize, verdict: Verdict) {
        for _ in 0..count {
            self.call(verdict).unwrap();
        }
    }

    fn state(&self) -> (BreakerState, Option<Cause>) {
        let reading = self.breaker.reading(self.now);
        (reading.state, reading.cause)
    }
}

const CLOSED: (BreakerState, Option<Cause>) = (BreakerState::Closed, None);
const OPEN: (BreakerState, Option<Cause>) = (BreakerState::Open, Some(Cause::Failing));
const HALF_OPEN: (BreakerState, Option<Cause>) = (BreakerState::HalfOpen, Some(Cause::Failing));

#[test]
fn it_opens_by_the_share_of_failures_among_the_newest_calls() {
    let check = |before: usize, failures: usize, expected| {
        let mut world = world(BreakerConfig::default());
        world.calls(before, Verdict::Good);
        world.calls(failures, Verdict::Bad);
        assert_eq!(world.state(), expected, "{failures} failures after {before} good calls");
    };
    check(0, 9, CLOSED);
    check(0, 10, OPEN);
    check(1_000, 24, CLOSED);
    check(1_000, 25, OPEN);

    let mut world = world(BreakerConfig::default());
    world.calls(9, Verdict::Bad);
    world.now += SECOND * 31;
    world.calls(9, Verdict::Bad);
    assert_eq!(world.state(), CLOSED, "old failures are forgotten");
    world.calls(20, Verdict::Void);
    assert_eq!(world.state(), CLOSED, "what says nothing does not count");
}

#[test]
fn it_opens_by_the_share_of_slow_calls() {
    let mut world = world(BreakerConfig::default());
    world.calls(10, Verdict::Good);
    world.calls(39, Verdict::Slow);
    assert_eq!(world.state(), CLOSED);
    world.calls(1, Verdict::Slow);
    assert_eq!(world.state(), (BreakerState::Open, Some(Cause::Slow)));
}

#[test]
fn open_it_lets_nobody_through_and_half_open_a_few() {
    let mut world = world(BreakerConfig::default());
    world.calls(10, Verdict::Bad);
    let until = world.now + SECOND;
    assert_eq!(world.breaker.admit(world.now), Err(Bar::Open { cause: Cause::Failing, until }));
    world.now = until;
    assert_eq!(world.state(), HALF_OPEN);
    let ask = |world: &mut World| (0..100).filter_map(|_| world.breaker.admit(world.now).ok()).collect::<Vec<_>>();
    let [first] = ask(&mut world)[..] else { panic!("the first goes alone") };
    assert!(first.is_probe);
    world.breaker.settle(first, Verdict::Good, world.now, 1.0);
    let probes = ask(&mut world);
    assert_eq!(probes.len(), 3, "at most so many at once");
    for probe in &probes[1..] {
        assert_eq!(world.state(), HALF_OPEN);
        world.breaker.settle(*probe, Verdict::Good, world.now, 1.0);
    }
    assert_eq!(world.state(), CLOSED);
    world.calls(9, Verdict::Bad);
    assert_eq!(world.state(), CLOSED, "it begins anew");
}

#[test]
fn of_many_requests_a_share_probes_and_of_few_each() {
    let mut world = world(BreakerConfig { probes: 100, ..BreakerConfig::default() });
    world.calls(10, Verdict::Bad);
    world.now += SECOND;
    world.call(Verdict::Good).unwrap();
    let granted = (0..499).filter(|_| world.breaker.admit(world.now).is_ok()).count();
    assert_eq!(granted, 49);
    for _ in 0..5 {
        world.now += SECOND;
        assert!(world.breaker.admit(world.now).is_ok());
    }
}

#[test]
fn it_is_forgotten_if_nobody_tries_it_after_its_rest() {
    let mut world = world(BreakerConfig::default());
    let later = |world: &World, time: Duration| world.breaker.is_forgotten(world.now + time);
    assert!(!later(&world, FORGOTTEN_AFTER * 100), "it is closed");
    world.calls(10, Verdict::Bad);
    assert!(!later(&world, FORGOTTEN_AFTER) && later(&world, SECOND + FORGOTTEN_AFTER));
    world.now += SECOND * 5;
    let probe = world.breaker.admit(world.now).unwrap();
    assert!(!later(&world, SECOND * 9) && later(&world, FORGOTTEN_AFTER), "counted from the last probe");
    world.breaker.settle(probe, Verdict::Good, world.now, 1.0);
    assert!(later(&world, Duration::ZERO), "after a good one others need not wait");
}

#[test]
fn each_failed_probe_opens_it_for_longer_up_to_a_limit() {
    let config = BreakerConfig { max_open_time: SECOND * 5, ..BreakerConfig::default() };
    let mut world = world(config);
    world.calls(10, Verdict::Bad);
    for seconds in [1, 2, 4, 5, 5] {
        let open = world.breaker.reading(world.now).until.unwrap();
        assert_eq!(open, SECOND * seconds);
        world.now += open;
        world.call(Verdict::Bad).unwrap();
    }
    assert_eq!(world.breaker.reading(world.now).openings, 6);
}

#[test]
fn calls_from_before_it_opened_change_nothing() {
    let mut world = world(BreakerConfig::default());
    let early: Vec<_> = (0..20).map(|_| world.breaker.admit(world.now).unwrap()).collect();
    for permit in &early {
        world.breaker.settle(*permit, Verdict::Bad, world.now, 1.0);
    }
    assert_eq!(world.breaker.reading(world.now).openings, 1);
    world.now += SECOND;
    world.breaker.admit(world.now).unwrap();
    world.breaker.settle(early[0], Verdict::Bad, world.now, 1.0);
    world.breaker.settle(early[1], Verdict::Good, world.now, 1.0);
    assert_eq!(world.state(), HALF_OPEN);
}

#[test]
fn where_nothing_else_is_left_it_is_tried_early() {
    let mut world = world(BreakerConfig::default());
    world.calls(10, Verdict::Bad);
    assert!(world.breaker.admit_as_last_resort(world.now).is_err(), "but not at once");
    world.now += LAST_RESORT_AFTER;
    let probes = [(); 4].map(|()| world.breaker.admit_as_last_resort(world.now));
    assert_eq!(probes.map(|probe| probe.is_ok_and(|probe| probe.is_probe)), [true, true, true, false]);
    let probe = probes[0].unwrap();
    world.breaker.settle(probe, Verdict::Bad, world.now, 1.0);
    assert_eq!(world.state(), OPEN);
    assert!(world.breaker.admit_as_last_resort(world.now).is_err());
}

#[test]
fn a_rest_is_kept_to_its_end_and_followed_by_a_probe() {
    let mut world = world(BreakerConfig::default());
    assert!(world.breaker.rest(Cause::RateLimited, Some(SECOND * 7), world.now, 1.0));
    assert!(!world.breaker.rest(Cause::RateLimited, Some(SECOND * 3), world.now, 1.0), "no news, and no longer rest");
    for _ in 0..7 {
        assert!(world.breaker.admit_as_last_resort(world.now).is_err());
        world.now += SECOND;
    }
    assert!(world.breaker.admit(world.now).unwrap().is_probe);

    // What a provider asks for beyond reason is cut.
    world.breaker.rest(Cause::RateLimited, Some(SECOND * 1_000_000), world.now, 1.0);
    assert_eq!(world.breaker.reading(world.now).until, Some(MAX_LIMITED_REST));
}

#[test]
fn a_refused_key_rests_for_minutes() {
    let mut world = world(BreakerConfig::default());
    assert!(world.breaker.rest(Cause::Authentication, None, world.now, 1.0));
    assert!(!world.breaker.rest(Cause::RateLimited, None, world.now, 1.0));
    assert_eq!(world.breaker.reading(world.now).until, Some(REFUSED_REST));
    world.now += REFUSED_REST;
    assert!(world.breaker.admit(world.now).is_ok());
    assert!(world.breaker.rest(Cause::Authentication, None, world.now, 1.0));
    assert_eq!(world.breaker.reading(world.now).until, Some(REFUSED_REST * 2));
}

#[derive(Debug, Clone)]
enum Event {
    Pass(u16),
    Ask { last_resort: bool },
    Settle { which: u8, verdict: u8 },
    Rest(u16),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => any::<u16>().prop_map(Event::Pass),
        6 => any::<bool>().prop_map(|last_resort| Event::Ask { last_resort }),
        6 => any::<(u8, u8)>().prop_map(|(which, verdict)| Event::Settle { which, verdict }),
        1 => any::<u16>().prop_map(Event::Rest),
    ]
}

proptest! {
    /// Whatever happens in whatever order: an open breaker lets nobody through before its time (but for a last resort),
    /// it never stays open longer than the limit unless the provider asked for it, and it can always close again.
    #[test]
    fn it_keeps_its_word(events in proptest::collection::vec(event(), 0..200), dice in 0.0..1.0_f64) {
        let mut world = world(BreakerConfig::default());
        let (mut permits, mut asked_until) = (Vec::new(), world.now);
        for event in events {
            let before = world.breaker.reading(world.now);
            match event {
                Event::Pass(ms) => world.now += Duration::from_millis(u64::from(ms) / 16),
                Event::Ask { last_resort: false } => {
                    let granted = world.breaker.admit(world.now);
                    prop_assert!(before.state != BreakerState::Open || granted.is_err());
                    prop_assert!(before.state != BreakerState::Closed || granted.is_ok());
                    permits.extend(granted.ok());
                }
                Event::Ask { last_resort: true } => {
                    let granted = world.breaker.admit_as_last_resort(world.now);
                    let bound = before.state == BreakerState::Open && before.cause == Some(Cause::RateLimited);
                    prop_assert!(!bound || granted.is_err());
                    permits.extend(granted.ok());
                }
                Event::Settle { which, verdict } if !permits.is_empty() => {
                    let permit = permits.swap_remove(usize::from(which) % permits.len());
                    let verdict = [Verdict::Good, Verdict::Slow, Verdict::Bad, Verdict::Void][usize::from(verdict) % 4];
                    world.breaker.settle(permit, verdict, world.now, dice);
                }
                Event::Settle { .. } => {}
                Event::Rest(ms) => {
                    let wanted = Duration::from_millis(u64::from(ms));
                    asked_until = asked_until.max(world.now + wanted);
                    world.breaker.rest(Cause::RateLimited, Some(wanted), world.now, dice);
                }
            }
            if let Some(open) = world.breaker.reading(world.now).until {
                prop_assert!(world.now + open <= asked_until.max(world.now + BreakerConfig::default().max_open_time));
            }
        }
        world.now += SECOND * 70;
        for _ in 0..3 {
            world.now += SECOND;
            world.call(Verdict::Good).unwrap();
        }
        prop_assert_eq!(world.state().0, BreakerState::Closed);
    }
}
