//! `semroute bench`: how much load a running server bears, and how it answers under it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::progress::{Bar, Unit, note};
use super::{CommandError, Exit, print};
use crate::config::Config;
use crate::load::{
    Call, Extent, Generator, Method, Pace, Profile, Progress, Prompts, Report, Search, Step, Target, Verdict, render,
    render_search, verdict,
};
use crate::shutdown::Signals;

/// The bar is moved so often.
const REFRESH: Duration = Duration::from_millis(100);

/// Requests that a quantile at 99 % needs to mean something.
const LEAST_REQUESTS: f64 = 200.0;

/// Longest step of a search, however slow the server is.
const LONGEST_STEP: Duration = Duration::from_secs(60);

/// How close together the bounds of a search are at its end.
const TOLERANCE: f64 = 0.05;

/// Runs that confirm what a search found; each that fails lowers the rate.
const CONFIRMATIONS: usize = 5;

/// Measure a running server under load.
///
/// Open loop (--rate): requests are due at random times fixed in advance, and latency counts from when a request was
/// due, so that a server that stalls cannot hide it. Closed loop (--concurrency): so many callers, each of whom waits for
/// its answer. --find-rate looks for the highest rate with a p99 below --slo and without a failure.
///
/// Prompts are novel unless --repeats says otherwise: no cache knows them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  semroute bench --rate 200 --duration 30s\n  \
    semroute bench --concurrency 16 --repeats 1 --json\n  \
    semroute bench --find-rate --slo 25ms --prompts prompts.jsonl")]
pub struct BenchArgs {
    /// The server, for example 127.0.0.1:50051 [default: the configured address].
    #[arg(long, value_name = "ADDRESS")]
    server: Option<String>,
    /// Open loop: requests a second. With --find-rate: the rate to begin with.
    #[arg(long, value_name = "R", value_parser = rate, conflicts_with = "concurrency")]
    rate: Option<f64>,
    /// Closed loop: requests under way at a time [default: 8, if there is no --rate].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: Option<u32>,
    /// Length of the measured part.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    duration: Duration,
    /// Measure so many requests, however long they take.
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "find_rate"], value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// The same load before the measured part, not reported.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime_serde::re::humantime::parse_duration)]
    warmup: Duration,
    /// Prompts: JSONL with `text` in each line [default: the set's reference prompts, marked so that they are novel].
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// Share of requests that repeat a prompt sent before, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    repeats: f64,
    /// Prompts that are repeated; each is sent once before the run.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pool: u32,
    /// Begin with prompt number N: `prompts.next` of an earlier run with this seed, whose prompts a cache may know.
    #[arg(long, value_name = "N", default_value = "0")]
    skip: u64,
    /// What is called: Route, Complete or CompleteStream.
    #[arg(long, value_name = "METHOD", default_value = "route")]
    method: MethodArg,
    /// Deadline of each request.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    timeout: Duration,
    /// HTTP/2 connections.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Threads that send.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Most requests under way in an open loop; more are counted as not sent.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_in_flight: u32,
    /// The same seed gives the same schedule and the same order of prompts.
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// Reference set [default: the server's].
    #[arg(long)]
    set: Option<String>,
    /// Neighbours in each answer [default: the server's].
    #[arg(long, value_name = "N")]
    neighbours: Option<u32>,
    /// Ask for the neighbours' texts.
    #[arg(long)]
    explain: bool,
    /// Do not let the LLM stage be asked.
    #[arg(long)]
    no_llm: bool,
    /// Most tokens of a completion [default: the provider's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_output_tokens: Option<u32>,
    /// Look for the highest rate that is sustained; --duration is the length of a step.
    #[arg(long, conflicts_with = "concurrency")]
    find_rate: bool,
    /// With --find-rate: the bound on the 99th percentile of the latency.
    #[arg(long, value_name = "TIME", default_value = "25ms", value_parser = span)]
    slo: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MethodArg {
    Route,
    Complete,
    Stream,
}

impl From<MethodArg> for Method {
    fn from(method: MethodArg) -> Self {
        match method {
            MethodArg::Route => Self::Route,
            MethodArg::Complete => Self::Complete,
            MethodArg::Stream => Self::Stream,
        }
    }
}

pub async fn run(args: BenchArgs, config: Config) -> Result<Exit, CommandError> {
    let signals = Signals::listen().map_err(CommandError::Signals)?;
    let address = args.server.clone().unwrap_or_else(|| config.server.listen.to_string());
    let target = Target::parse(&address)?;
    let prompts = match &args.prompts {
        Some(file) => Prompts::from_file(file, args.seed)?,
        None => {
            let set = args.set.as_deref().unwrap_or(&config.default_set);
            Prompts::from_references(&config.reference_prompts_dir.join(set), args.seed)?
        }
    };
    let stop = CancellationToken::new();
    let (first, cancelled) = (signals.first(), stop.clone());
    tokio::spawn(async move {
        first.await;
        cancelled.cancel();
    });
    let bench = Bench { call: call(&args), args, target, prompts, stop };
    if bench.args.find_rate { bench.find_rate().await } else { bench.measure().await }
}

struct Bench {
    args: BenchArgs,
    target: Target,
    call: Call,
    prompts: Prompts,
    stop: CancellationToken,
}

impl Bench {
    async fn measure(&self) -> Result<Exit, CommandError> {
        let report = self.once(self.profile(), "Measuring").await?;
        print(&if self.args.json { json!(report).to_string() } else { render(&report) })?;
        Ok(Exit::Success)
    }

    /// First what the server can do at all, in a closed loop; then rates around that.
    async fn find_rate(&self) -> Result<Exit, CommandError> {
        let (mut steps, mut novel_from) = (Vec::new(), self.args.skip);
        let first = match self.args.rate {
            Some(rate) => rate,
            None => {
                let pace = Pace::Closed { concurrency: 16 };
                let peak = self.once(Profile { pace, ..self.profile() }, "Closed loop, 16 at a time").await?;
                novel_from = peak.prompts.next;
                peak.throughput.goodput_per_second * 0.7
            }
        };
        let mut search = Search::new(first, TOLERANCE);
        while let Some(rate) = search.next_rate() {
            let report = self.step(rate, &mut novel_from, &mut steps).await?;
            search.observe(rate, verdict(&report, self.slo_ms()) == Verdict::Sustained);
        }
        // A rate that passed once may have been lucky.
        let (mut found, mut confirmation) = (search.sustained(), None);
        for _ in 0..CONFIRMATIONS {
            let Some(rate) = found else { break };
            let report = self.step(rate, &mut novel_from, &mut steps).await?;
            if verdict(&report, self.slo_ms()) == Verdict::Sustained {
                confirmation = Some(report);
                break;
            }
            found = Some(rate * (1.0 - TOLERANCE));
        }
        let sustained = confirmation.as_ref().and(found);
        print(&if self.args.json {
            json!({
                "slo_ms": self.slo_ms(),
                "sustained_rate_per_second": sustained,
                "steps": steps,
                "confirmation": confirmation,
                "next": novel_from,
            })
            .to_string()
        } else {
            let report = confirmation.as_ref().map(render).unwrap_or_default();
            format!("{}\n{report}", render_search(&steps, self.slo_ms(), sustained))
        })?;
        Ok(if sustained.is_some() { Exit::Success } else { Exit::Failure })
    }

    async fn step(&self, rate: f64, novel_from: &mut u64, steps: &mut Vec<Step>) -> Result<Report, CommandError> {
        let enough = Duration::from_secs_f64(LEAST_REQUESTS / rate).min(LONGEST_STEP);
        let extent = Extent::Time(self.args.duration.max(enough));
        let pace = Pace::Open { per_second: rate };
        let profile = Profile { pace, extent, novel_from: *novel_from, ..self.profile() };
        let report = self.once(profile, &format!("At {rate:.1} a second")).await?;
        if report.profile.interrupted {
            return Err(crate::load::Error::Stopped.into());
        }
        *novel_from = report.prompts.next;
        steps.push(Step::of(&report, &verdict(&report, self.slo_ms())));
        Ok(report)
    }

    /// One run, with its progress on standard error.
    async fn once(&self, profile: Profile, label: &str) -> Result<Report, CommandError> {
        let (pool, expected) = (profile.pool, expected(&profile));
        let generator = Generator::new(&self.target, &self.call, &self.prompts, profile, self.stop.clone());
        let mut running = std::pin::pin!(generator.run());
        let priming = (pool > 0).then(|| Bar::new("Sending the prompts to repeat", Unit::Items, Some(pool)));
        let mut bar = None;
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                () = tokio::time::sleep(REFRESH) => {}
            }
            match (generator.progress(), &priming) {
                (Progress::Priming(done), Some(priming)) => priming.set(done),
                (Progress::Priming(_), None) => {}
                (Progress::Running(done), priming) => {
                    let bar = bar.get_or_insert_with(|| {
                        priming.iter().for_each(Bar::finish);
                        Bar::new(label, Unit::Items, expected)
                    });
                    bar.set(done);
                }
            }
        };
        bar.iter().for_each(Bar::finish);
        let report = ended?;
        if report.profile.interrupted {
            note("stopped early; what was measured until then:");
        }
        Ok(report)
    }

    fn profile(&self) -> Profile {
        let args = &self.args;
        let concurrency = args.concurrency.unwrap_or(8) as usize;
        Profile {
            pace: match args.rate {
                Some(per_second) => Pace::Open { per_second },
                None => Pace::Closed { concurrency },
            },
            extent: args.requests.map_or(Extent::Time(args.duration), Extent::Requests),
            warmup: args.warmup,
            repeats: args.repeats,
            pool: if args.repeats > 0.0 { u64::from(args.pool) } else { 0 },
            novel_from: args.skip,
            timeout: args.timeout,
            connections: args.connections as usize,
            threads: args.threads as usize,
            max_in_flight: args.max_in_flight as usize,
            seed: args.seed,
        }
    }

    fn slo_ms(&self) -> f64 {
        self.args.slo.as_secs_f64() * 1e3
    }
}

fn call(args: &BenchArgs) -> Call {
    Call {
        method: args.method.into(),
        set: args.set.clone().unwrap_or_default(),
        neighbours: args.neighbours,
        explain: args.explain,
        allow_llm: args.no_llm.then_some(false),
        max_output_tokens: args.max_output_tokens,
    }
}

/// Requests that a run will send, warm-up included; `None` if that depends on the server.
fn expected(profile: &Profile) -> Option<u64> {
    let seconds = match (profile.pace, profile.extent) {
        (Pace::Open { .. }, Extent::Time(time)) => (profile.warmup + time).as_secs_f64(),
        (Pace::Open { .. }, Extent::Requests(_)) => profile.warmup.as_secs_f64(),
        (Pace::Closed { .. }, _) => return None,
    };
    let Pace::Open { per_second } = profile.pace else { return None };
    let more = if let Extent::Requests(requests) = profile.extent { requests } else { 0 };
    Some((per_second * seconds) as u64 + more)
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.01..=1e6).contains(&rate) { Ok(rate) } else { Err("must be from 0.01 to 1000000".to_owned()) }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("must be from 0 to 1".to_owned()) }
}

/// A time that is not zero, such as `500ms` or `2m`.
fn span(text: &str) -> Result<Duration, String> {
    let span = humantime_serde::re::humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if span.is_zero() || span > Duration::from_secs(86_400) {
        return Err("must be above 0 and at most a day".to_owned());
    }
    Ok(span)
}
