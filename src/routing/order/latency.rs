//! Least latency: peak EWMA with the power of two choices, as Finagle and tower have it
//! (<https://linkerd.io/2016/03/16/beyond-round-robin-load-balancing-for-latency/>, `tower::load::PeakEwma`).
//!
//! A target's estimate jumps up to any time above it and decays from there, so that a slow answer is believed at once
//! and forgotten slowly; calls under way count as if each took as long. Of two targets drawn by lot the better goes
//! first: always taking the best would send everybody there at once (Mitzenmacher, "The power of two choices in
//! randomized load balancing", 2001).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::reference::TargetName;
use crate::routing::target::Target;

/// Time in which an estimate falls to 1/e of itself, as in Finagle.
const DECAY: Duration = Duration::from_secs(10);

/// What a target that has never answered is taken for while a call to it is under way: else a new one would get every
/// request until its first answer.
const UNTRIED: Duration = Duration::from_secs(1);

/// What is known of the targets' times. A cheap handle: dispatch reports, routing asks.
#[derive(Debug, Clone, Default)]
pub struct Latencies(Arc<Mutex<HashMap<TargetName, Observed>>>);

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Observed {
    /// Seconds, and when it was so.
    estimate: Option<(f64, Instant)>,
    /// Calls under way.
    pending: u32,
}

/// A request under way; ends when it is dropped.
#[derive(Debug)]
pub struct Pending {
    latencies: Latencies,
    target: TargetName,
}

impl Latencies {
    /// That a call of this target's answered (or, of a stream, began to) after this time. Failures are not to be
    /// recorded: one that comes quickly would look good.
    pub fn record(&self, target: &TargetName, took: Duration, now: Instant) {
        self.change(target, |observed| {
            let took = took.as_secs_f64();
            let estimate = match observed.estimate {
                Some((before, at)) if took < before => {
                    let kept = kept(at, now);
                    before * kept + took * (1.0 - kept)
                }
                _ => took,
            };
            observed.estimate = Some((estimate, now));
        });
    }

    /// That a request is on its way to the target.
    pub fn begin(&self, target: &TargetName) -> Pending {
        self.change(target, |observed| observed.pending = observed.pending.saturating_add(1));
        Pending { latencies: self.clone(), target: target.clone() }
    }

    fn change(&self, target: &TargetName, change: impl FnOnce(&mut Observed)) {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match targets.get_mut(target) {
            Some(observed) => change(observed),
            None => change(targets.entry(target.clone()).or_default()),
        }
    }

    /// The better of two targets drawn with `lot` comes first, the others behind it from the best to the worst.
    pub(super) fn ranks(&self, targets: &[Arc<Target>], lot: u64, now: Instant) -> Vec<f64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |target: &Arc<Target>| known.get(&target.name).map_or(0.0, |observed| observed.load(now));
        let mut ranks: Vec<f64> = targets.iter().map(load).collect();
        drop(known);
        let (one, other) = draw_two(targets.len() as u64, lot);
        let loads = ranks.get(one).zip(ranks.get(other));
        let better = if loads.is_some_and(|(one, other)| other < one) { other } else { one };
        if let Some(rank) = ranks.get_mut(better) {
            *rank = f64::NEG_INFINITY;
        }
        ranks
    }
}

impl Observed {
    /// Seconds that one more call may be expected to take. An estimate decays also while nothing is recorded, so that a
    /// target that was slow is tried again.
    fn load(&self, now: Instant) -> f64 {
        let calls = f64::from(self.pending) + 1.0;
        match self.estimate {
            Some((seconds, at)) => seconds * kept(at, now) * calls,
            None if self.pending == 0 => 0.0,
            None => UNTRIED.as_secs_f64() * calls,
        }
    }
}

/// What is left of an estimate, in [0, 1].
fn kept(at: Instant, now: Instant) -> f64 {
    let age = now.saturating_duration_since(at);
    (-age.as_secs_f64() / DECAY.as_secs_f64()).exp()
}

/// Two different numbers below `count`; the same one if there is but one. The two halves of the lot are taken apart.
fn draw_two(count: u64, lot: u64) -> (usize, usize) {
    let count = count.max(1);
    let one = (lot >> 32) % count;
    let step = if count > 1 { 1 + (lot & u64::from(u32::MAX)) % (count - 1) } else { 0 };
    (one as usize, ((one + step) % count) as usize)
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.latencies.change(&self.target, |observed| observed.pending = observed.pending.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn name(at: usize) -> TargetName {
        TargetName::new(&format!("t{at}")).unwrap()
    }

    fn targets(count: usize) -> Vec<Arc<Target>> {
        (0..count).map(|at| Arc::new(Target::new(name(at), "p", "m"))).collect()
    }

    fn load(latencies: &Latencies, at: usize, now: Instant) -> f64 {
        latencies.0.lock().unwrap().get(&name(at)).copied().unwrap_or_default().load(now)
    }

    #[test]
    fn a_peak_is_believed_at_once_and_forgotten_slowly() {
        let (latencies, now) = (Latencies::default(), Instant::now());
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        latencies.record(&name(0), SECOND, now);
        latencies.record(&name(0), SECOND * 5, now);
        near(load(&latencies, 0, now), 5.0);
        near(load(&latencies, 0, now + DECAY), 5.0 / std::f64::consts::E);
        latencies.record(&name(0), SECOND, now + DECAY);
        let kept = 1.0 / std::f64::consts::E;
        near(load(&latencies, 0, now + DECAY), 5.0 * kept + (1.0 - kept));
        // A clock that seems to go back changes nothing.
        near(load(&latencies, 0, now), 5.0 * kept + (1.0 - kept));
    }

    #[test]
    fn calls_under_way_weigh_until_they_end() {
        let (latencies, now) = (Latencies::default(), Instant::now());
        assert_eq!(load(&latencies, 0, now), 0.0, "an untried target is tried");
        let (one, two) = (latencies.begin(&name(0)), latencies.begin(&name(0)));
        assert_eq!(load(&latencies, 0, now), 3.0, "but not by everybody at once");
        latencies.record(&name(0), SECOND / 2, now);
        assert_eq!(load(&latencies, 0, now), 1.5);
        drop((one, two));
        assert_eq!(load(&latencies, 0, now), 0.5);
    }

    #[test]
    fn two_different_targets_are_drawn_and_every_pair_can_be() {
        for count in 2..6 {
            let pairs: HashSet<_> =
                (0..count * count).map(|at| draw_two(count, ((at / count) << 32) | (at % count))).collect();
            assert_eq!(pairs.len() as u64, count * (count - 1));
            assert!(pairs.iter().all(|(one, other)| one != other));
        }
        assert_eq!((draw_two(1, u64::MAX), draw_two(0, 7)), ((0, 0), (0, 0)));
    }

    #[test]
    fn the_quicker_of_the_drawn_goes_first_and_the_slowest_never() {
        let (latencies, now, targets) = (Latencies::default(), Instant::now(), targets(3));
        for at in 0..3 {
            latencies.record(&name(at), SECOND * (at as u32 + 1), now);
        }
        let mut first = [0; 3];
        for lot in 0..600_u64 {
            let ranks = latencies.ranks(&targets, lot.wrapping_mul(0x9e37_79b9_7f4a_7c15), now);
            let least = (0..3).min_by(|one, other| ranks[*one].total_cmp(&ranks[*other])).unwrap();
            first[least] += 1;
        }
        assert_eq!(first[2], 0);
        assert!(first[0] > first[1] && first[1] > 100, "{first:?}");
    }
}
