//! What is to be sent: how fast, for how long, and of what.

use std::time::Duration;

/// Who sets the pace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Open loop: requests are due at times fixed in advance, whatever the server does.
    Open {
        /// Finite and above 0.
        per_second: f64,
    },
    /// Closed loop: so many callers, each of whom waits for its answer before it asks again.
    Closed { concurrency: usize },
}

/// How long the measured part lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Time(Duration),
    Requests(u64),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    pub pace: Pace,
    pub extent: Extent,
    /// Sent before the measured part, with the same pace, and not reported.
    pub warmup: Duration,
    /// Share of requests that repeat a prompt of the pool, 0 to 1.
    pub repeats: f64,
    /// Prompts that are sent once before the run, to be repeated in it; 0 without repeats.
    pub pool: u64,
    /// The first number of a prompt that no run has sent.
    pub novel_from: u64,
    /// A request's deadline, told to the server and kept by the caller.
    pub timeout: Duration,
    /// HTTP/2 connections, at least one a thread.
    pub connections: usize,
    /// Threads that send, from 1.
    pub threads: usize,
    /// Requests under way at once; one more is counted and not sent.
    pub max_in_flight: usize,
    pub seed: u64,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            pace: Pace::Closed { concurrency: 8 },
            extent: Extent::Time(Duration::from_secs(10)),
            warmup: Duration::from_secs(2),
            repeats: 0.0,
            pool: 0,
            novel_from: 0,
            timeout: Duration::from_secs(10),
            connections: 4,
            threads: 1,
            max_in_flight: 10_000,
            seed: 1,
        }
    }
}

impl Profile {
    /// When the measured part ends, from the start of the run; `None` if its length is not a time.
    pub(super) fn ends(&self) -> Option<Duration> {
        match self.extent {
            Extent::Time(time) => Some(self.warmup + time),
            Extent::Requests(_) => None,
        }
    }

    /// Connections of one thread, counted from 0.
    pub(super) fn connections_of(&self, thread: usize) -> usize {
        let (threads, all) = (self.threads.max(1), self.connections.max(self.threads));
        all / threads + usize::from(thread < all % threads)
    }

    /// The part of `whole` that falls to one thread, counted from 0.
    pub(super) fn share_of(&self, thread: usize, whole: usize) -> usize {
        whole / self.threads.max(1) + usize::from(thread < whole % self.threads.max(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_lost_in_sharing_out(threads in 1usize..9, whole in 0usize..100) {
            let profile = Profile { threads, connections: whole, ..Profile::default() };
            prop_assert_eq!((0..threads).map(|at| profile.share_of(at, whole)).sum::<usize>(), whole);
            let connections: Vec<usize> = (0..threads).map(|at| profile.connections_of(at)).collect();
            prop_assert_eq!(connections.iter().sum::<usize>(), whole.max(threads));
            prop_assert!(connections.iter().all(|count| *count > 0));
        }
    }
}
