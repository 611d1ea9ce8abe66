//! Puts logs and traces together: each layer has a filter of its own, so that neither costs what the other wants.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, registry};

use super::outgoing::Propagation;
use super::traces::Traces;
use super::{REQUEST, STEP};
use crate::config::{LogConfig, LogFormat};

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Logs go to `writer`, in colours if it is a text and `ansi`.
pub fn subscriber<W>(log: &LogConfig, traces: Option<&Traces>, ansi: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    // Of AWS' SDK, whose lines can hold answers, only errors, whatever is configured: of two directives the one with
    // the longer target would hold.
    let silent_about_answers = filter_fn(|line| !line.target().starts_with("aws") || *line.level() == Level::ERROR);
    // Without a hint of its own it would take the other's away.
    let filter = log_filter(&log.level).and(silent_about_answers.with_max_level_hint(LevelFilter::TRACE));
    let mut layers: Vec<BoxedLayer> = vec![match log.format {
        LogFormat::Text => lines.with_ansi(ansi).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    }];
    if let Some(traces) = traces {
        layers.push(traces.layer().with_filter(Targets::new().with_target(STEP, LevelFilter::INFO)).boxed());
        if traces.propagates() {
            // It wants to see nothing; unfiltered it would make every span of every crate be made.
            layers.push(Propagation.with_filter(LevelFilter::OFF).boxed());
        }
    }
    registry().with(layers)
}

/// What is configured, and the ids of requests in any case, and the steps of traces in none.
fn log_filter(level: &str) -> EnvFilter {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let fixed = [(REQUEST, LevelFilter::ERROR), (STEP, LevelFilter::OFF)];
    fixed.into_iter().fold(filter, |filter, (target, level)| match format!("{target}={level}").parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    })
}
