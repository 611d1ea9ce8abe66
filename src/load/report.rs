//! The report of a run. Its JSON is for scripts: names are only added, never changed.

use serde::Serialize;

/// Milliseconds. Quantiles by nearest rank, to three digits; mean and max exact.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
}

/// Counts are of requests that were due in the measured part, rates of what happened within it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub server: String,
    pub method: &'static str,
    pub profile: Told,
    pub requests: Requests,
    pub throughput: Throughput,
    /// Of requests answered with OK, from when they were due.
    pub latency_ms: Option<Quantiles>,
    /// The same from when they were really sent.
    pub service_ms: Option<Quantiles>,
    /// Of streams, from when they were due.
    pub first_event_ms: Option<Quantiles>,
    pub first_text_ms: Option<Quantiles>,
    /// By code, the commonest first.
    pub errors: Vec<Failed>,
    /// What decided, the commonest first.
    pub stages: Vec<StageShare>,
    pub prompts: PromptsTold,
    pub generator: GeneratorTold,
    /// What makes the figures above doubtful; empty if nothing does.
    pub warnings: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// `open` or `closed`.
    pub r#loop: &'static str,
    pub rate_per_second: Option<f64>,
    pub concurrency: Option<usize>,
    pub connections: usize,
    pub threads: usize,
    pub warmup_seconds: f64,
    /// Length of the measured part.
    pub seconds: f64,
    pub timeout_ms: f64,
    pub repeats: f64,
    pub pool: u64,
    pub seed: u64,
    /// Somebody ended it early.
    pub interrupted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Requests {
    pub due: u64,
    pub sent: u64,
    /// Too many were under way.
    pub not_sent: u64,
    pub ok: u64,
    /// Of these: later than the deadline, counted from when they were due.
    pub ok_late: u64,
    pub failed: u64,
    /// Of the failed: the server said nothing.
    pub unanswered: u64,
    /// Under way when the run was stopped.
    pub unfinished: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Throughput {
    pub offered_per_second: f64,
    /// Whatever the answer was.
    pub answered_per_second: f64,
    /// OK within the deadline.
    pub goodput_per_second: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failed {
    pub code: &'static str,
    pub count: u64,
    /// Of these: the server said nothing, and the code is this process's own.
    pub unanswered: u64,
    pub latency_ms: Option<Quantiles>,
    pub service_ms: Option<Quantiles>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageShare {
    /// `cached`, `no_decision`, or as in the API, in lower case and without `STAGE_`.
    pub stage: String,
    pub count: u64,
    pub share: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PromptsTold {
    pub source: String,
    /// Different texts in the source.
    pub distinct: usize,
    pub novel: u64,
    pub repeated: u64,
    /// Of the novel: with a mark at the end, since the source had no new ones left.
    pub marked: u64,
    /// The first number of a prompt that has not been sent: where another run with the same seed may begin.
    pub next: u64,
    pub mean_tokens: Option<f64>,
    pub most_tokens: u32,
    /// Answered from a part of the prompt (`input_seen` below 1).
    pub truncated: u64,
    pub truncated_share: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GeneratorTold {
    /// How much later than due requests were sent; absent in a closed loop.
    pub lag_ms: Option<Quantiles>,
    pub kept_schedule: bool,
    pub in_flight_peak: usize,
    pub waited_for_stream: u64,
    pub connections_lost: u64,
}

#[cfg(test)]
pub(super) mod samples {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::load::call::Basis;
    use crate::load::profile::{Pace, Profile};
    use crate::load::summary::{stages, told};

    pub(in crate::load) fn quantiles(p99: f64) -> Quantiles {
        Quantiles { count: 600, mean: 2.0, p50: 1.5, p90: p99 / 2.0, p99, p99_9: p99 * 1.5, max: p99 * 2.0 }
    }

    /// Ten seconds at 60 a second, all well.
    pub(in crate::load) fn report() -> Report {
        let profile = Profile { pace: Pace::Open { per_second: 60.0 }, ..Profile::default() };
        Report {
            server: "http://127.0.0.1:50051".to_owned(),
            method: "route",
            profile: told(&profile, Duration::from_secs(10), false),
            requests: Requests {
                due: 600,
                sent: 600,
                not_sent: 0,
                ok: 600,
                ok_late: 0,
                failed: 0,
                unanswered: 0,
                unfinished: 0,
            },
            throughput: Throughput { offered_per_second: 60.0, answered_per_second: 60.0, goodput_per_second: 60.0 },
            latency_ms: Some(quantiles(20.0)),
            service_ms: Some(quantiles(19.0)),
            first_event_ms: None,
            first_text_ms: None,
            errors: Vec::new(),
            stages: stages(&BTreeMap::from([(Basis::Stage(1), 450), (Basis::Cached, 150)])),
            prompts: PromptsTold {
                source: "prompts.jsonl".to_owned(),
                distinct: 500,
                novel: 600,
                repeated: 0,
                marked: 100,
                next: 720,
                mean_tokens: Some(31.5),
                most_tokens: 256,
                truncated: 6,
                truncated_share: 0.01,
            },
            generator: GeneratorTold {
                lag_ms: Some(quantiles(0.25)),
                kept_schedule: true,
                in_flight_peak: 7,
                waited_for_stream: 0,
                connections_lost: 0,
            },
            warnings: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts rely on these.
    #[test]
    fn names_are_stable() {
        let names =
            |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        let report = serde_json::json!(samples::report());
        let expected = [
            "server method profile requests throughput latency_ms service_ms first_event_ms first_text_ms errors stages \
             prompts generator warnings",
            "loop rate_per_second concurrency connections threads warmup_seconds seconds timeout_ms repeats pool seed \
             interrupted",
            "due sent not_sent ok ok_late failed unanswered unfinished",
            "offered_per_second answered_per_second goodput_per_second",
            "count mean p50 p90 p99 p99_9 max",
            "stage count share",
            "source distinct novel repeated marked next mean_tokens most_tokens truncated truncated_share",
            "lag_ms kept_schedule in_flight_peak waited_for_stream connections_lost",
        ];
        let of = |name: &str| names(&report[name]);
        let found = [
            names(&report),
            of("profile"),
            of("requests"),
            of("throughput"),
            of("latency_ms"),
            names(&report["stages"][0]),
            of("prompts"),
            of("generator"),
        ];
        assert_eq!(found, expected);
        let failed = Failed { code: "ABORTED", count: 1, unanswered: 0, latency_ms: None, service_ms: None };
        assert_eq!(names(&serde_json::json!(failed)), "code count unanswered latency_ms service_ms");
    }
}
