//! What a run sends, in its order: when each request is due and which prompt it carries.
//!
//! Every thread walks the whole sequence and takes its own part of it, so that a seed gives the same load however many
//! threads send it.

use std::time::Duration;

use super::arrivals::Arrivals;
use super::mix::{Mix, Pick};
use super::profile::{Pace, Profile};

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// From the start of the run; zero in a closed loop, where a request is due as soon as there is a place for it.
    pub(super) at: Duration,
    pub(super) pick: Pick,
}

#[derive(Debug, Clone)]
pub(super) struct Sequence {
    arrivals: Option<Arrivals>,
    mix: Mix,
    /// Requests of other threads before the next of this one.
    skip: usize,
    threads: usize,
}

impl Sequence {
    /// The part of one thread, counted from 0.
    pub(super) fn new(profile: &Profile, thread: usize) -> Self {
        let arrivals = match profile.pace {
            Pace::Open { per_second } => Some(Arrivals::new(per_second, profile.seed)),
            Pace::Closed { .. } => None,
        };
        // Another stream of numbers than the arrivals': prompts must not depend on intervals.
        let mix = Mix::new(profile.repeats, profile.pool, profile.novel_from, profile.seed ^ 0x9e37_79b9_7f4a_7c15);
        Self { arrivals, mix, skip: thread, threads: profile.threads }
    }
}

impl Iterator for Sequence {
    type Item = Due;

    /// `None`: no time that a schedule can name is left.
    fn next(&mut self) -> Option<Due> {
        loop {
            let at = match &mut self.arrivals {
                Some(arrivals) => arrivals.next()?,
                None => Duration::ZERO,
            };
            let due = Due { at, pick: self.mix.pick() };
            if self.skip == 0 {
                self.skip = self.threads.saturating_sub(1);
                return Some(due);
            }
            self.skip -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn threads_share_one_sequence(threads in 1usize..6, seed: u64, open: bool) {
            let pace = if open { Pace::Open { per_second: 100.0 } } else { Pace::Closed { concurrency: 3 } };
            let profile = Profile { pace, seed, repeats: 0.5, pool: 10, ..Profile::default() };
            let whole: Vec<Due> = Sequence::new(&profile, 0).take(60).collect();
            let profile = Profile { threads, ..profile };
            let mut parts: Vec<_> = (0..threads).map(|thread| Sequence::new(&profile, thread)).collect();
            let joined: Vec<Due> = (0..60).map(|at| parts[at % threads].next().unwrap()).collect();
            prop_assert_eq!(whole, joined);
        }
    }
}
