//! The highest rate that a server sustains, by bisection: each step is a short run, judged by the same few rules.

use serde::Serialize;

use super::report::Report;

/// No slower rate is tried, and none below this share of the first: a server that fails there fails for other reasons.
const LEAST_RATE: f64 = 0.1;
const LEAST_SHARE: f64 = 1.0 / 16.0;

/// Most steps: a measurement that contradicts itself must end, too.
const MOST_STEPS: usize = 24;

/// While no rate has failed, the next is so much higher.
const GROWTH: f64 = 1.5;

/// Of the offered rate, what must come back good.
const LEAST_GOODPUT: f64 = 0.95;

/// Bounds between which the highest sustained rate lies.
#[derive(Debug, Clone)]
pub struct Search {
    first: f64,
    tolerance: f64,
    sustained: Option<f64>,
    failed: Option<f64>,
    steps: usize,
}

impl Search {
    /// `first`: the rate to begin with, above 0. `tolerance`: how far the bounds may be apart at the end, as a share.
    pub fn new(first: f64, tolerance: f64) -> Self {
        Self { first: first.max(LEAST_RATE), tolerance, sustained: None, failed: None, steps: 0 }
    }

    /// The rate to try next; `None`: the search is over.
    pub fn next_rate(&self) -> Option<f64> {
        if self.steps >= MOST_STEPS {
            return None;
        }
        match (self.sustained, self.failed) {
            (None, None) => Some(self.first),
            (Some(sustained), None) => Some(sustained * GROWTH),
            (None, Some(failed)) => (failed > self.least()).then(|| (failed / 2.0).max(self.least())),
            (Some(sustained), Some(failed)) => {
                // The geometric mean: rates are told apart by their ratio.
                (failed / sustained > 1.0 + self.tolerance).then(|| (sustained * failed).sqrt())
            }
        }
    }

    fn least(&self) -> f64 {
        (self.first * LEAST_SHARE).max(LEAST_RATE)
    }

    /// Takes in how a run at `rate` went. A rate that fails pulls the upper bound down, whatever was sustained before:
    /// the worse result counts.
    pub fn observe(&mut self, rate: f64, sustained: bool) {
        self.steps += 1;
        if sustained {
            self.sustained = Some(self.sustained.map_or(rate, |before| before.max(rate)));
        } else {
            self.failed = Some(self.failed.map_or(rate, |before| before.min(rate)));
            self.sustained = self.sustained.filter(|before| *before < rate);
        }
    }

    /// The highest rate that was sustained.
    pub fn sustained(&self) -> Option<f64> {
        self.sustained
    }
}

/// A run of the search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    pub rate_per_second: f64,
    pub sustained: bool,
    /// Why not; empty if it was sustained.
    pub why: String,
    pub p99_ms: Option<f64>,
    pub goodput_per_second: f64,
    pub failed: u64,
}

impl Step {
    pub fn of(report: &Report, verdict: &Verdict) -> Self {
        Self {
            rate_per_second: report.profile.rate_per_second.unwrap_or_default(),
            sustained: matches!(verdict, Verdict::Sustained),
            why: verdict.why(),
            p99_ms: report.latency_ms.map(|latency| latency.p99),
            goodput_per_second: report.throughput.goodput_per_second,
            failed: report.requests.failed,
        }
    }
}

/// Whether a run was one that the server can go on with.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Sustained,
    TooSlow {
        p99_ms: f64,
        slo_ms: f64,
    },
    Failures {
        failed: u64,
    },
    /// The rest was answered late or not at all.
    LowGoodput {
        offered: f64,
        goodput: f64,
    },
    /// Not the server's fault: nothing can be said of this rate.
    Generator {
        p99_lag_ms: f64,
        not_sent: u64,
    },
}

impl Verdict {
    fn why(&self) -> String {
        match self {
            Self::Sustained => String::new(),
            Self::TooSlow { p99_ms, slo_ms } => format!("p99 {p99_ms:.1} ms is above {slo_ms} ms"),
            Self::Failures { failed } => format!("{failed} failed"),
            Self::LowGoodput { offered, goodput } => format!("{goodput:.1} of {offered:.1} a second came back in time"),
            Self::Generator { p99_lag_ms, not_sent } => {
                format!("the generator fell behind (p99 {p99_lag_ms:.1} ms late, {not_sent} not sent)")
            }
        }
    }
}

/// Judges a run against the bound on its 99th percentile.
pub fn verdict(report: &Report, slo_ms: f64) -> Verdict {
    let requests = report.requests;
    if requests.failed > 0 {
        return Verdict::Failures { failed: requests.failed };
    }
    let p99_ms = report.latency_ms.map_or(f64::INFINITY, |latency| latency.p99);
    // A sender that was late and met the bound all the same has proved what was asked.
    if p99_ms > slo_ms || requests.not_sent > 0 {
        if !report.generator.kept_schedule {
            let p99_lag_ms = report.generator.lag_ms.map_or(0.0, |lag| lag.p99);
            return Verdict::Generator { p99_lag_ms, not_sent: requests.not_sent };
        }
        return Verdict::TooSlow { p99_ms, slo_ms };
    }
    // Of what was due, not of the rate that was asked for: the number of arrivals of a short run varies.
    let (offered, goodput) = (report.throughput.offered_per_second, report.throughput.goodput_per_second);
    if goodput < offered * LEAST_GOODPUT {
        return Verdict::LowGoodput { offered, goodput };
    }
    Verdict::Sustained
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::load::report::samples;

    #[test]
    fn runs_are_judged_by_failures_then_time_then_goodput() {
        let with = |change: &dyn Fn(&mut Report)| {
            let mut report = samples::report();
            change(&mut report);
            verdict(&report, 25.0)
        };
        let slow = |report: &mut Report| report.latency_ms = Some(samples::quantiles(26.0));
        let behind = |report: &mut Report| report.generator.kept_schedule = false;
        assert_eq!(with(&|_| ()), Verdict::Sustained);
        assert_eq!(with(&slow), Verdict::TooSlow { p99_ms: 26.0, slo_ms: 25.0 });
        assert_eq!(with(&|report| report.requests.failed = 1), Verdict::Failures { failed: 1 });
        let low = with(&|report| report.throughput.goodput_per_second = 50.0);
        assert_eq!(low, Verdict::LowGoodput { offered: 60.0, goodput: 50.0 });
        // A generator that falls behind is to blame for what is slow, not for what is fast.
        assert_eq!(with(&behind), Verdict::Sustained);
        let blamed = with(&|report| {
            slow(report);
            behind(report);
        });
        assert_eq!(blamed, Verdict::Generator { p99_lag_ms: 0.25, not_sent: 0 });
        assert!(matches!(with(&|report| report.latency_ms = None), Verdict::TooSlow { .. }));
    }

    fn searched(first: f64, tolerance: f64, sustains: impl Fn(f64) -> bool) -> (Search, usize) {
        let (mut search, mut steps) = (Search::new(first, tolerance), 0);
        while let Some(rate) = search.next_rate() {
            search.observe(rate, sustains(rate));
            steps += 1;
        }
        (search, steps)
    }

    #[test]
    fn a_server_that_sustains_nothing_is_given_up() {
        let (search, steps) = searched(100.0, 0.05, |_| false);
        assert_eq!(search.sustained(), None);
        assert_eq!(steps, 5);
    }

    #[test]
    fn a_search_ends_without_a_bound() {
        let (search, steps) = searched(1.0, 0.05, |_| true);
        assert!(search.sustained().unwrap() > 1_000.0 && steps == MOST_STEPS, "{search:?}");
    }

    #[test]
    fn the_worse_of_two_results_counts() {
        let mut search = Search::new(100.0, 0.05);
        search.observe(100.0, true);
        search.observe(100.0, false);
        assert_eq!((search.sustained(), search.next_rate()), (None, Some(50.0)));
    }

    proptest! {
        #[test]
        fn the_bound_is_found(limit in 0.2f64..100_000.0, off in 0.2f64..10.0) {
            let (search, steps) = searched(limit * off, 0.05, |rate| rate <= limit);
            let found = search.sustained().unwrap();
            prop_assert!(found <= limit && found * 1.051 >= limit, "{found} for {limit} in {steps} steps");
            prop_assert!(steps <= 14, "{steps} steps");
        }

        #[test]
        fn a_search_always_ends(answers in prop::collection::vec(any::<bool>(), 30), first in 0.1f64..1e5) {
            let (mut search, mut answers) = (Search::new(first, 0.02), answers.into_iter());
            while let Some(rate) = search.next_rate() {
                prop_assert!(rate.is_finite() && rate >= LEAST_RATE);
                search.observe(rate, answers.next().unwrap());
            }
        }
    }
}
