//! Summing a run up: from what was counted to the report, and to what makes it doubtful.

use std::collections::BTreeMap;
use std::time::Duration;

use super::call::Basis;
use super::code::Code;
use super::error::Error;
use super::generator::Run;
use super::profile::{Pace, Profile};
use super::report::{Failed, GeneratorTold, PromptsTold, Report, Requests, StageShare, Throughput, Told};
use super::tally::{Tally, Timing};
use crate::grpc::pb;

/// A generator whose 99th percentile is later than this did not keep its schedule.
const KEPT: Duration = Duration::from_millis(2);

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
                // Callers of a closed loop have no schedule to be late for.
                lag_ms: matches!(run.profile.pace, Pace::Open { .. }).then(|| tally.lag.quantiles()).flatten(),
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

pub(super) fn told(profile: &Profile, span: Duration, interrupted: bool) -> Told {
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

pub(super) fn stages(counts: &BTreeMap<Basis, u64>) -> Vec<StageShare> {
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
            "prompts that were novel to this run were known to the server (use --skip or other --prompts)",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_the_names_of_the_interface() {
        let counts = [(Basis::Nothing, 1), (Basis::Cached, 5), (Basis::Stage(1), 3), (Basis::Stage(99), 1)];
        let told: Vec<(String, f64)> =
            stages(&counts.into()).into_iter().map(|stage| (stage.stage, stage.share)).collect();
        let expected = [("cached", 0.5), ("embedding", 0.3), ("no_decision", 0.1), ("stage_99", 0.1)];
        assert_eq!(told, expected.map(|(stage, share)| (stage.to_owned(), share)));
    }
}
