//! `semroute replay`: golden prompts to pinned targets, compared side by side.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::progress::{Bar, Unit, note};
use super::{CommandError, Exit, print};
use crate::app::StartError;
use crate::config::{self, Config};
use crate::dispatch::{BreakerConfig, DispatchConfig, Dispatcher, RetryConfig};
use crate::provider::Providers;
use crate::reference::TargetName;
use crate::replay::{Case, Replay, Report, Subject, Terms, Trials, read, render, targets};
use crate::routing::{RoutingTable, Target};
use crate::shutdown::Signals;

/// Send golden prompts to targets, check the answers and compare the targets side by side.
///
/// Each prompt goes to each target in one attempt; where the provider asks for a rest, after it. Nothing is routed, so
/// that no model is loaded and no store opened. Providers, keys and prices are those of the configuration. An answer
/// passes if all that its line expects holds; a call without an answer has failed. Shares come with their 95 %
/// confidence interval.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  semroute replay --golden golden.jsonl --target large --target small\n  \
    semroute replay --golden golden.jsonl --target small --stream --repeat 3 --fail-under 0.95 --json\n\n\
    golden.jsonl, one prompt a line:\n  \
    {\"id\": \"capital\", \"prompt\": \"The capital of Switzerland? One word.\", \"expect\": {\"exact\": \"Bern\"}}\n  \
    {\"system\": \"Answer in French.\", \"messages\": [{\"role\": \"user\", \"text\": \"Hello!\"}],\n   \
    \"max_output_tokens\": 50, \"temperature\": 0,\n   \
    \"expect\": {\"regex\": \"(?i)bonjour|salut\", \"not_contains\": [\"Hello\", \"Hi\"], \"finish\": \"stop\"}}\n  \
    {\"prompt\": \"Bern as JSON: name and canton.\", \"response_schema\": {\"type\": \"object\", ...},\n   \
    \"expect\": {\"contains\": \"Bern\"}}\n\n\
    expect takes exact, contains, not_contains (a text or a list), regex (anywhere, unless anchored), json_schema and\n\
    finish (stop, length, content_filter, tool_calls); all that is given has to hold. response_schema is sent to the\n\
    provider, and the answer has to obey it; json_schema is checked alone. JSON in a fence (```) does not adhere.\n\n\
    Exit codes: 0 every target passed, 1 one did not, it was stopped or the command failed, 2 wrong usage.")]
pub struct ReplayArgs {
    /// Golden prompts with what their answers have to hold: JSONL.
    #[arg(long, value_name = "FILE")]
    golden: PathBuf,
    /// A configured target; may be given several times.
    #[arg(long = "target", value_name = "NAME", required = true, value_parser = target)]
    targets: Vec<TargetName>,
    /// Ask for streams, and measure the time to the first text too.
    #[arg(long)]
    stream: bool,
    /// Calls under way at once at each target.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: u32,
    /// How often each prompt is sent to each target; prompts that pass at one time and fail at another are unsteady.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    repeat: u32,
    /// Longest time for one whole answer. It holds in place of the configured timeouts.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = span)]
    timeout: Duration,
    /// Longest time that a call waits where its provider asks to be left alone (429, Retry-After); then it has failed.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = span)]
    max_rest: Duration,
    /// End with exit code 1 if a target passes a smaller share of its calls than this. Default: any failure does.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, hide_default_value = true, value_parser = share)]
    fail_under: f64,
    /// Differences and failures that are shown; --json has all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    rows: usize,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl ReplayArgs {
    fn terms(&self) -> Terms {
        Terms {
            concurrency: self.concurrency as usize,
            repeat: self.repeat,
            timeout: self.timeout,
            max_rest: self.max_rest,
            is_streamed: self.stream,
        }
    }
}

fn target(text: &str) -> Result<TargetName, String> {
    TargetName::new(text).map_err(|error| error.to_string())
}

/// From 0 to 1. NaN, which parses as a number, is outside.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

fn span(text: &str) -> Result<Duration, String> {
    let span = humantime_serde::re::humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let is_allowed = !span.is_zero() && span <= Duration::from_secs(86_400);
    if is_allowed { Ok(span) } else { Err("must be longer than 0 s and at most a day".to_owned()) }
}

pub async fn run(args: ReplayArgs, config: Config) -> Result<Exit, CommandError> {
    let cases = read(&args.golden)?;
    let targets = targets(&config.routing(), &args.targets)?;
    let replay = Replay {
        routing: RoutingTable::new(&config.routing())?,
        dispatcher: Dispatcher::new(providers(&config, &targets)?, limits(args.timeout)),
        targets: targets.iter().map(|target| target.name.clone()).collect(),
        terms: args.terms(),
    };
    let trials = replayed(&replay, &cases).await?;
    let subject = Subject::new(args.golden.display().to_string(), &cases, replay.terms, &trials);
    let report = Report::of(subject, &cases, &targets, &trials.trials);
    print(&if args.json {
        serde_json::to_string(&report).map_err(std::io::Error::from)?
    } else {
        render(&report, args.rows)
    })?;
    Ok(verdict(&report, args.fail_under))
}

/// Only those that are called: a key for another one need not be there.
fn providers(config: &Config, targets: &[Target]) -> Result<Providers, StartError> {
    let is_called = |name: &str| targets.iter().any(|target| target.provider == name);
    let called: Vec<_> = config.providers.iter().filter(|provider| is_called(&provider.name)).cloned().collect();
    Providers::build(&called, &config::environment).map_err(|errors| StartError::Providers(Box::new(errors)))
}

/// The deadline of a call is its only limit.
fn limits(timeout: Duration) -> DispatchConfig {
    DispatchConfig {
        first_token_timeout: timeout,
        idle_timeout: timeout,
        max_attempts: NonZeroU32::MIN,
        // Every prompt is sent, however many have failed before it.
        breaker: BreakerConfig { min_calls: usize::MAX, ..BreakerConfig::default() },
        // The replay itself waits, so that no rest is taken for a latency.
        retry: RetryConfig { max_wait: Duration::ZERO, ..RetryConfig::default() },
        ..DispatchConfig::default()
    }
}

/// Until all is sent or a signal comes.
async fn replayed(replay: &Replay, cases: &[Case]) -> Result<Trials, CommandError> {
    let signals = Signals::listen().map_err(CommandError::Signals)?;
    let calls = (cases.len() * replay.targets.len()) as u64 * u64::from(replay.terms.repeat);
    let bar = Bar::new("Replaying", Unit::Items, Some(calls));
    let trials = replay.run(cases, signals.first(), |done| bar.set(done)).await;
    bar.finish();
    Ok(trials)
}

fn verdict(report: &Report, fail_under: f64) -> Exit {
    if !report.subject.is_complete {
        note("stopped: the report tells of the calls that were made");
        return Exit::Failure;
    }
    let mut exit = Exit::Success;
    for target in report.below(fail_under) {
        let passed = target.passed.share.unwrap_or(0.0) * 100.0;
        note(&format!("{} passed {passed:.1} %, less than {:.1} %", target.target, fail_under * 100.0));
        exit = Exit::Failure;
    }
    exit
}
