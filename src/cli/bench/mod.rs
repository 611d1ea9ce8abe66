//! `semroute bench`: how much load a running server bears, and how it answers under it.

mod args;

use std::time::Duration;

pub use args::BenchArgs;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::progress::{Bar, Unit, note};
use super::tls::url;
use super::{CommandError, Exit, print};
use crate::config::{self, Config};
use crate::load::{
    Call, Extent, Generator, Pace, Profile, Progress, Prompts, Report, Search, Step, Target, Verdict, render,
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

pub async fn run(args: BenchArgs, config: Config) -> Result<Exit, CommandError> {
    let signals = Signals::listen().map_err(CommandError::Signals)?;
    let url = url(args.server.as_deref(), &config);
    let target = Target::parse(&url, args.tls.for_url(&url)?)?;
    let target = match config::caller_key() {
        Some(key) => target.with_key(&key)?,
        None => target,
    };
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
    let bench = Bench { call: args.call(), args, target, prompts, stop };
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
        let report = self.once(self.args.profile(), "Measuring").await?;
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
                let peak = self.once(Profile { pace, ..self.args.profile() }, "Closed loop, 16 at a time").await?;
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
            let report = confirmation.as_ref().map(|report| format!("\n\n{}", render(report))).unwrap_or_default();
            format!("{}{report}", render_search(&steps, self.slo_ms(), sustained))
        })?;
        Ok(if sustained.is_some() { Exit::Success } else { Exit::Failure })
    }

    async fn step(&self, rate: f64, novel_from: &mut u64, steps: &mut Vec<Step>) -> Result<Report, CommandError> {
        let enough = Duration::from_secs_f64(LEAST_REQUESTS / rate).min(LONGEST_STEP);
        let extent = Extent::Time(self.args.duration.max(enough));
        let pace = Pace::Open { per_second: rate };
        let profile = Profile { pace, extent, novel_from: *novel_from, ..self.args.profile() };
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
                    // The schedule is random: it may hold a few more than are expected.
                    bar.set(expected.map_or(done, |expected| done.min(expected)));
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

    fn slo_ms(&self) -> f64 {
        self.args.slo.as_secs_f64() * 1e3
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
