//! The report of a run. Its JSON is for scripts: names are only added, never changed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::call::Basis;
use super::code::Code;
use super::error::Error;
use super::generator::Run;
use super::profile::{Pace, Profile};
use super::tally::{Tally, Timing};
use crate::grpc::pb;

/// A generator whose 99th percentile is later than this did not keep its schedule.
const KEPT: Duration = Duration::from_millis(2);

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
    /// How much later than due requests were sent.
    pub lag_ms: Option<Quantiles>,
    pub kept_schedule: bool,
    pub in_flight_peak: usize,
    pub waited_for_stream: u64,
    pub connections_lost: u64,
}

/// What the generator knows of the run besides the tally.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) in_flight_peak: usize,
    pub(super) lost: u64,
    pub(super) not_primed: u64,
    pub(super) interrupted: bool,
}

impl Report {
    /// Fails if the server answered nothing at all.
    pub(super) fn of(tally: &Tally, run: &Run, ends: Ends) -> Result<Self, Error> {
        let requests = requests(tally);
        if requests.ok + requests.failed == requests.unanswered {
            let why = tally.failed.keys().map(|code| code.name()).next().unwrap_or("nothing was due");
            return Err(Error::NoAnswer { url: run.target.url(), sent: requests.sent, why: why.to_owned() });
        }
        let span = tally.span();
        let rate = |count: u64| rounded(count as f64 / span.as_secs_f64().max(1e-9));
        let mut report = Self {
            server: run.target.url(),
            method: run.call.method.as_str(),
            profile: told(&run.profile, span, ends.interrupted),
            throughput: Throughput {
                offered_per_second: rate(requests.due),
                answered_per_second: rate(tally.answered_within),
                goodput_per_second: rate(tally.good_within),
            },
            requests,
            latency_ms: tally.ok.latency.quantiles(),
            service_ms: tally.ok.service.quantiles(),
            first_event_ms: tally.first_event.quantiles(),
            first_text_ms: tally.first_text.quantiles(),
            errors: errors(tally),
            stages: stages(&tally.bases),
            prompts: PromptsTold {
                source: run.prompts.source().display().to_string(),
                distinct: run.prompts.distinct(),
                novel: tally.novel,
                repeated: tally.repeated,
                marked: tally.marked,
                next: tally.next_novel.max(run.profile.novel_from),
                mean_tokens: mean(tally.tokens, decided(tally)),
                most_tokens: tally.most_tokens,
                truncated: tally.truncated,
                truncated_share: share(tally.truncated, decided(tally)),
            },
            generator: GeneratorTold {
                lag_ms: tally.lag.quantiles(),
                kept_schedule: tally.lag.quantile(0.99) <= KEPT && tally.not_sent == 0,
                in_flight_peak: ends.in_flight_peak,
                waited_for_stream: tally.waited_for_stream,
                connections_lost: ends.lost,
            },
            warnings: Vec::new(),
        };
        report.warnings = warnings(&report, tally, ends);
        Ok(report)
    }
}

fn requests(tally: &Tally) -> Requests {
    let (ok, failed) = (tally.ok.latency.count(), tally.failures());
    Requests {
        due: tally.sent + tally.not_sent,
        sent: tally.sent,
        not_sent: tally.not_sent,
        ok,
        ok_late: tally.late,
        failed,
        unanswered: tally.unanswered.values().sum(),
        unfinished: tally.sent.saturating_sub(ok + failed),
    }
}

fn told(profile: &Profile, span: Duration, interrupted: bool) -> Told {
    let (r#loop, rate_per_second, concurrency) = match profile.pace {
        Pace::Open { per_second } => ("open", Some(per_second), None),
        Pace::Closed { concurrency } => ("closed", None, Some(concurrency)),
    };
    Told {
        r#loop,
        rate_per_second,
        concurrency,
        connections: profile.connections.max(profile.threads),
        threads: profile.threads,
        warmup_seconds: profile.warmup.as_secs_f64(),
        seconds: rounded(span.as_secs_f64()),
        timeout_ms: profile.timeout.as_secs_f64() * 1e3,
        repeats: profile.repeats,
        pool: profile.pool,
        seed: profile.seed,
        interrupted,
    }
}

fn errors(tally: &Tally) -> Vec<Failed> {
    let told = |(code, timing): (&Code, &Timing)| Failed {
        code: code.name(),
        count: timing.latency.count(),
        unanswered: tally.unanswered.get(code).copied().unwrap_or_default(),
        latency_ms: timing.latency.quantiles(),
        service_ms: timing.service.quantiles(),
    };
    let mut errors: Vec<Failed> = tally.failed.iter().map(told).collect();
    errors.sort_by_key(|failed| std::cmp::Reverse(failed.count));
    errors
}

fn stages(counts: &BTreeMap<Basis, u64>) -> Vec<StageShare> {
    let all = counts.values().sum();
    let told = |(basis, count): (&Basis, &u64)| StageShare {
        stage: basis_name(*basis),
        count: *count,
        share: share(*count, all),
    };
    let mut stages: Vec<StageShare> = counts.iter().map(told).collect();
    stages.sort_by_key(|stage| std::cmp::Reverse(stage.count));
    stages
}

fn basis_name(basis: Basis) -> String {
    match basis {
        Basis::Nothing => "no_decision".to_owned(),
        Basis::Cached => "cached".to_owned(),
        // A server may be newer than this program and know more stages.
        Basis::Stage(stage) => match pb::Stage::try_from(stage) {
            Ok(known) => known.as_str_name().trim_start_matches("STAGE_").to_lowercase(),
            Err(_) => format!("stage_{stage}"),
        },
    }
}

fn warnings(report: &Report, tally: &Tally, ends: Ends) -> Vec<String> {
    let mut warnings = Vec::new();
    let lag = &tally.lag;
    if lag.quantile(0.99) > KEPT {
        warnings.push(format!(
            "the generator could not keep its schedule: requests were sent up to {:.1} ms late (p99 {:.1} ms); \
             latencies count that in, service times do not",
            lag.max().as_secs_f64() * 1e3,
            lag.quantile(0.99).as_secs_f64() * 1e3,
        ));
    }
    let counted = [
        (report.requests.not_sent, "requests were not sent: too many were under way (--max-in-flight)"),
        (
            tally.waited_for_stream,
            "requests waited in this process for a stream of their connection (use more --connections)",
        ),
        (
            tally.known_novel,
            "prompts that were novel to this run were known to the server, from an earlier run: use --skip or other --prompts",
        ),
        (ends.not_primed, "prompts of the pool could not be sent before the run"),
        (ends.lost, "connections were lost"),
    ];
    let counted = counted.into_iter().filter(|(count, _)| *count > 0);
    warnings.extend(counted.map(|(count, what)| format!("{count} {what}")));
    warnings
}

/// Answers with a decision.
fn decided(tally: &Tally) -> u64 {
    tally.bases.iter().filter(|(basis, _)| **basis != Basis::Nothing).map(|(_, count)| count).sum()
}

fn mean(sum: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| rounded(sum as f64 / count as f64))
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1e6).round() / 1e6 }
}

/// To three digits after the point.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
