//! When a breaker opens, and how it is tried whether it may close.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

/// `[dispatch.breaker]`: one breaker a target. What opens it are failures of the target's own: no connection, 5xx, time
/// over, broken or malformed answers. What the request itself caused, and calls that the caller cancelled, do not
/// count.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// The newest calls are judged, at most so many, 1 to 10,000. Default: 50, so that at 200 calls a second a target
    /// that is down is left after an eighth of a second.
    pub window_calls: usize,
    /// And none older than this. Default: 30 s.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// Fewer calls are not judged. Default: 10.
    pub min_calls: usize,
    /// Share of failed calls that opens it, above 0 to 1. Default: 0.5.
    pub error_ratio: f64,
    /// A call is slow if its first text, or its whole answer where it is not streamed, takes so long. Default: none,
    /// since that depends on the model.
    #[serde(with = "humantime_serde")]
    pub slow_after: Option<Duration>,
    /// Share of slow calls that opens it, above 0 to 1. Default: 0.8.
    pub slow_ratio: f64,
    /// How long it stays open the first time; each further time doubles it. A jitter takes up to half of it away.
    /// Default: 1 s.
    #[serde(with = "humantime_serde")]
    pub open_time: Duration,
    /// Longest time that it stays open. Default: 2 s, so that a target that has come back is used again after as long.
    #[serde(with = "humantime_serde")]
    pub max_open_time: Duration,
    /// Then it is half open: this share of the requests tries it, above 0 to 1, and at least one a second. Default:
    /// 0.1.
    pub probe_share: f64,
    /// Of these at most so many at once, the first alone, and so many have to succeed until it closes, 1 to 100. A
    /// request that asks for one attempt is none of them while another target is well, unless there was none for 10 s
    /// or the last was answered well. Default: 3.
    pub probes: u32,
    /// A call that was given less time than this, because its caller had no more, says nothing of the target when it
    /// runs out: otherwise callers in a hurry would close the target for all others. Where the target's usual time is
    /// known, four times its 99th percentile is enough. Default: 2 s.
    #[serde(with = "humantime_serde")]
    pub fair_time: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window_calls: 50,
            window: Duration::from_secs(30),
            min_calls: 10,
            error_ratio: 0.5,
            slow_after: None,
            slow_ratio: 0.8,
            open_time: Duration::from_secs(1),
            max_open_time: Duration::from_secs(2),
            probe_share: 0.1,
            probes: 3,
            fair_time: Duration::from_secs(2),
        }
    }
}

const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);

impl BreakerConfig {
    /// Everything that is wrong: field and fault.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut add = |field: &str, what: String| faults.push((field.to_owned(), what));
        if !(1..=10_000).contains(&self.window_calls) {
            add("window_calls", format!("is {}, must be from 1 to 10000", self.window_calls));
        }
        if !(1..=self.window_calls.max(1)).contains(&self.min_calls) {
            add("min_calls", format!("is {}, must be from 1 to window_calls ({})", self.min_calls, self.window_calls));
        }
        if !(1..=100).contains(&self.probes) {
            add("probes", format!("is {}, must be from 1 to 100", self.probes));
        }
        let ratios =
            [("error_ratio", self.error_ratio), ("slow_ratio", self.slow_ratio), ("probe_share", self.probe_share)];
        for (field, ratio) in ratios {
            if !(ratio > 0.0 && ratio <= 1.0) {
                add(field, format!("is {ratio}, must be above 0 and at most 1"));
            }
        }
        let times = [
            ("window", Some(self.window)),
            ("slow_after", self.slow_after),
            ("open_time", Some(self.open_time)),
            ("max_open_time", Some(self.max_open_time)),
            ("fair_time", Some(self.fair_time)),
        ];
        for (field, time) in times.into_iter().filter_map(|(field, time)| Some((field, time?))) {
            if !TIMES.contains(&time) {
                add(field, format!("is {} s, must be from 1 ms to a day", time.as_secs_f64()));
            }
        }
        if self.max_open_time < self.open_time {
            let (most, first) = (self.max_open_time.as_secs_f64(), self.open_time.as_secs_f64());
            add("max_open_time", format!("is {most} s, must not be less than open_time ({first} s)"));
        }
        faults
    }
}
