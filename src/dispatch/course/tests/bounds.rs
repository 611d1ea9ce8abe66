//! Many requests whatever happens: none goes beyond what it may.

use proptest::prelude::*;

use super::*;

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
    /// Many requests on shared health, whatever happens to them: no call outside of the plan, no more calls than
    /// allowed, none that is given time past the deadline, and no more of them together than the budget allows.
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
