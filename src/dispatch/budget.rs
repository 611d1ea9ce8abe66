//! What limits the load that we add to providers: a bucket of tokens that requests fill and retries empty, and pauses
//! before the same provider is asked again. Pure.
//!
//! tower has such a budget (`tower::retry::budget::TpsBudget`), which reads the clock itself and panics on values out of
//! range; ours is as short.

use std::time::{Duration, Instant};

use serde::Deserialize;

/// `[dispatch.retry]`: one budget for all targets. Every attempt but a request's first takes a token out, at whatever
/// target, hedges included. So over any span of time there are at most
///
/// `requests x (1 + ratio) + per_second x seconds + burst`
///
/// attempts, whatever fails. Failover is a retry as well: where two targets are slow, each would otherwise see all
/// requests. Once a breaker is open its requests go to the next target first, which takes nothing out.
///
/// The burst is what carries the failures until a breaker opens. At 200 requests a second to a target that begins to
/// hang, with a second for each attempt, these are the 200 under way and the 25 that open the breaker: 500 carries that
/// twice. A target that fails so seldom that its breaker stays closed, but more often than the budget can carry, is left
/// as well once three quarters of the burst are gone, if there is another one. Where attempts may take longer, or more requests come, it should be
/// `requests a second x seconds an attempt x 1.25`. It starts full, since the failure may be there from the start.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Retries for each request, 0 to 10. Default: 0.1.
    pub ratio: f64,
    /// Retries a second that may be made beside, 0 to 1,000, so that few requests can be retried too. Default: 1.
    pub per_second: f64,
    /// Most retries that can be saved up, 1 to 1,000,000. Default: 500.
    pub burst: u32,
    /// Before the same provider is asked again by one request, it waits a random time from 0 to this, doubled each
    /// further time (full jitter: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>). Before
    /// another one there is no wait. Default: 100 ms.
    #[serde(with = "humantime_serde")]
    pub backoff: Duration,
    /// Longest such wait. Default: 5 s.
    #[serde(with = "humantime_serde")]
    pub max_backoff: Duration,
    /// A request for which only targets are left that rest (Retry-After) waits for one of them so long at most, if its
    /// deadline allows; else it fails at once and its caller is told when to come again. Default: 5 s.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            ratio: 0.1,
            per_second: 1.0,
            burst: 500,
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            max_wait: Duration::from_secs(5),
        }
    }
}

impl RetryConfig {
    /// Everything that is wrong: field and fault.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut add = |field: &str, what: String| faults.push((field.to_owned(), what));
        for (field, value, most) in [("ratio", self.ratio, 10.0), ("per_second", self.per_second, 1_000.0)] {
            if !(0.0..=most).contains(&value) {
                add(field, format!("is {value}, must be from 0 to {most}"));
            }
        }
        if !(1..=1_000_000).contains(&self.burst) {
            add("burst", format!("is {}, must be from 1 to 1000000", self.burst));
        }
        let hour = Duration::from_secs(3_600);
        for (field, time) in [("backoff", self.backoff), ("max_backoff", self.max_backoff), ("max_wait", self.max_wait)]
        {
            if time > hour {
                add(field, format!("is {} s, must be at most an hour", time.as_secs_f64()));
            }
        }
        faults
    }

    /// How long to wait before the `tries`th retry at the same provider, from 1. `dice`: evenly distributed over [0, 1).
    pub(super) fn pause(&self, tries: u32, dice: f64) -> Duration {
        let doublings = tries.saturating_sub(1).min(31);
        self.backoff.saturating_mul(1 << doublings).min(self.max_backoff).mul_f64(dice.clamp(0.0, 1.0))
    }
}

#[derive(Debug)]
pub(super) struct Budget {
    ratio: f64,
    per_second: f64,
    burst: f64,
    tokens: f64,
    as_of: Instant,
    refused: u64,
}

impl Budget {
    pub(super) fn new(config: &RetryConfig, now: Instant) -> Self {
        let burst = f64::from(config.burst);
        let RetryConfig { ratio, per_second, .. } = *config;
        Self { ratio, per_second, burst, tokens: burst, as_of: now, refused: 0 }
    }

    /// A request has come.
    pub(super) fn deposit(&mut self, now: Instant) {
        self.refill(now);
        self.tokens = (self.tokens + self.ratio).min(self.burst);
    }

    /// Whether there may be one more retry; if so it is paid for.
    pub(super) fn withdraw(&mut self, now: Instant) -> bool {
        self.refill(now);
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        } else {
            self.refused += 1;
        }
        has
    }

    /// Retries that may be made now.
    pub(super) fn level(&mut self, now: Instant) -> f64 {
        self.refill(now);
        self.tokens
    }

    /// Whether less than a quarter of the burst is left.
    pub(super) fn is_short(&mut self, now: Instant) -> bool {
        self.level(now) < self.burst / 4.0
    }

    /// Retries that were not made for want of tokens.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.as_of).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.as_of = self.as_of.max(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_carried_and_then_a_share_of_the_requests() {
        let now = Instant::now();
        let mut budget = Budget::new(&RetryConfig { burst: 20, per_second: 0.0, ..RetryConfig::default() }, now);
        let retried = |budget: &mut Budget, requests: u32| {
            (0..requests)
                .filter(|_| {
                    budget.deposit(now);
                    budget.withdraw(now)
                })
                .count()
        };
        assert_eq!(retried(&mut budget, 20), 20);
        let more = retried(&mut budget, 1_000);
        assert!((99..=103).contains(&more), "{more}");
        assert!(budget.refused() > 800);
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_are_all_chance() {
        let config = RetryConfig::default();
        let most: Vec<u128> = (1..=8).map(|tries| config.pause(tries, 1.0).as_millis()).collect();
        assert_eq!(most, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(config.pause(40, 0.5), Duration::from_millis(2500));
        assert_eq!(config.pause(u32::MAX, 0.0), Duration::ZERO);
    }

    #[test]
    fn faults_name_their_fields() {
        let faults = |toml: &str| {
            let faults = toml::from_str::<RetryConfig>(toml).unwrap().faults();
            faults.into_iter().map(|(field, _)| field).collect::<Vec<_>>()
        };
        assert!(faults("ratio = 0.0\nper_second = 0.0\nbackoff = '0s'").is_empty());
        assert_eq!(
            faults("ratio = nan\nper_second = -1.0\nburst = 0\nmax_wait = '2h'"),
            ["ratio", "per_second", "burst", "max_wait"]
        );
    }

    proptest! {
        /// The bound that the documentation gives, for any order of requests, retries and time.
        #[test]
        fn extra_load_is_bounded(
            events in proptest::collection::vec((0_u8..3, 0_u64..500), 0..400),
            ratio in 0.0..2.0_f64, per_second in 0.0..5.0_f64, burst in 1_u32..50,
        ) {
            let config = RetryConfig { ratio, per_second, burst, ..RetryConfig::default() };
            let began = Instant::now();
            let (mut now, mut requests, mut retries) = (began, 0_u32, 0_u32);
            let mut budget = Budget::new(&config, now);
            for (what, ms) in events {
                match what {
                    0 => now += Duration::from_millis(ms),
                    1 => { budget.deposit(now); requests += 1; }
                    _ => retries += u32::from(budget.withdraw(now)),
                }
                let seconds = (now - began).as_secs_f64();
                let bound = f64::from(requests) * ratio + per_second * seconds + f64::from(burst);
                prop_assert!(f64::from(retries) <= bound + 1e-6, "{} retries, at most {} are allowed", retries, bound);
            }
        }
    }
}
