//! The options of `semroute bench`, and what they ask for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::tls::TlsArgs;
use crate::load::{Call, Extent, Method, Pace, Profile};

/// Measure a running server under load.
///
/// Open loop (--rate): requests are due at random times fixed in advance, and latency counts from when a request was
/// due, so that a server that stalls cannot hide it. Closed loop (--concurrency): so many callers, each of whom waits
/// for its answer. --find-rate looks for the highest rate with a p99 below --slo and without a failure.
///
/// Prompts are novel unless --repeats says otherwise: no cache knows them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  semroute bench --rate 200 --duration 30s\n  \
    semroute bench --concurrency 16 --repeats 1 --json\n  \
    semroute bench --find-rate --slo 25ms --prompts prompts.jsonl")]
pub struct BenchArgs {
    /// The server, for example 127.0.0.1:50051 or https://router.example:50051 [default: the configured address].
    #[arg(long, value_name = "ADDRESS")]
    pub(super) server: Option<String>,
    /// Open loop: requests a second. With --find-rate: the rate to begin with.
    #[arg(long, value_name = "R", value_parser = rate, conflicts_with = "concurrency")]
    pub(super) rate: Option<f64>,
    /// Closed loop: requests under way at a time [default: 8, if there is no --rate].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) concurrency: Option<u32>,
    /// Length of the measured part.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    pub(super) duration: Duration,
    /// Measure so many requests, however long they take.
    #[arg(
        long,
        value_name = "N",
        conflicts_with_all = ["duration", "find_rate"],
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(super) requests: Option<u64>,
    /// The same load before the measured part, not reported.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = span_or_none)]
    pub(super) warmup: Duration,
    /// Prompts: JSONL with `text` in each line [default: the set's reference prompts, marked so that they are novel].
    #[arg(long, value_name = "FILE")]
    pub(super) prompts: Option<PathBuf>,
    /// Share of requests that repeat a prompt sent before, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub(super) repeats: f64,
    /// Prompts that are repeated; each is sent once before the run.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) pool: u32,
    /// Begin with prompt number N: `prompts.next` of an earlier run with this seed, whose prompts a cache may know.
    #[arg(long, value_name = "N", default_value = "0")]
    pub(super) skip: u64,
    /// What is called: Route, Complete or CompleteStream.
    #[arg(long, value_name = "METHOD", default_value = "route")]
    pub(super) method: MethodArg,
    /// Deadline of each request.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    pub(super) timeout: Duration,
    /// HTTP/2 connections.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) connections: u32,
    /// Threads that send.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) threads: u32,
    /// Most requests under way in an open loop; more are counted as not sent.
    #[arg(
        long,
        value_name = "N",
        default_value = "10000",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub(super) max_in_flight: u32,
    /// The same seed gives the same schedule and the same order of prompts.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) seed: u64,
    /// Reference set [default: the server's].
    #[arg(long)]
    pub(super) set: Option<String>,
    /// Neighbours in each answer [default: the server's].
    #[arg(long, value_name = "N")]
    pub(super) neighbours: Option<u32>,
    /// Ask for the neighbours' texts.
    #[arg(long)]
    pub(super) explain: bool,
    /// Do not let the LLM stage be asked.
    #[arg(long)]
    pub(super) no_llm: bool,
    /// Most tokens of a completion [default: the provider's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_output_tokens: Option<u32>,
    /// Look for the highest rate that is sustained; --duration is the length of a step.
    #[arg(long, conflicts_with = "concurrency")]
    pub(super) find_rate: bool,
    /// With --find-rate: the bound on the 99th percentile of the latency.
    #[arg(long, value_name = "TIME", default_value = "25ms", value_parser = span)]
    pub(super) slo: Duration,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) tls: TlsArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum MethodArg {
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

impl BenchArgs {
    pub(super) fn profile(&self) -> Profile {
        let concurrency = self.concurrency.unwrap_or(8) as usize;
        Profile {
            pace: match self.rate {
                Some(per_second) => Pace::Open { per_second },
                None => Pace::Closed { concurrency },
            },
            extent: self.requests.map_or(Extent::Time(self.duration), Extent::Requests),
            warmup: self.warmup,
            repeats: self.repeats,
            pool: if self.repeats > 0.0 { u64::from(self.pool) } else { 0 },
            novel_from: self.skip,
            timeout: self.timeout,
            connections: self.connections as usize,
            threads: self.threads as usize,
            max_in_flight: self.max_in_flight as usize,
            seed: self.seed,
        }
    }

    pub(super) fn call(&self) -> Call {
        Call {
            method: self.method.into(),
            set: self.set.clone().unwrap_or_default(),
            neighbours: self.neighbours,
            explain: self.explain,
            allow_llm: self.no_llm.then_some(false),
            max_output_tokens: self.max_output_tokens,
        }
    }
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
    let span = span_or_none(text)?;
    if span.is_zero() { Err("must be above 0".to_owned()) } else { Ok(span) }
}

fn span_or_none(text: &str) -> Result<Duration, String> {
    let span = humantime_serde::re::humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if span > Duration::from_secs(86_400) { Err("must be at most a day".to_owned()) } else { Ok(span) }
}
