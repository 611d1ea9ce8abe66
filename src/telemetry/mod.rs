//! What is told of the running service: logs, to standard error as text or JSON lines, and traces, to an OTLP collector
//! if one is configured. Never a prompt, never a key.
//!
//! Spans of two targets are made, and each is seen by one of the two: those of [`REQUEST`] by the logs alone, so that
//! every line of a request carries its ids, and those of [`STEP`] by the traces alone. Without a collector nobody wants
//! the latter, and making one is a branch.

mod config;
mod export;
mod losses;
mod outgoing;
mod request;
mod resource;
mod step;
mod subscriber;
#[cfg(test)]
mod tests;
mod traces;

use std::io::IsTerminal;

use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogConfig;

pub use config::TelemetryConfig;
pub use export::Export;
pub(crate) use outgoing::traceparent;
pub(crate) use request::{prompt_span, request_id, request_span};
pub(crate) use step::{STEP, failed, follow, set, step, words};
pub use subscriber::subscriber;
pub use traces::{TelemetryError, Traces};

/// Target of the spans that carry a request's ids into its log lines.
const REQUEST: &str = "semroute::request";

/// Starts logging and tracing; a second call changes nothing. A panic is logged with its place alone: its message may
/// quote a prompt.
pub fn start(config: &LogConfig, traces: Option<&Traces>) {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a thread panicked");
    }));
    let ansi = std::io::stderr().is_terminal();
    let _ = subscriber(config, traces, ansi, std::io::stderr).try_init();
}

/// An error with all its causes, each said once.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
