//! How dispatch keeps its promises: what semroute adds to a call, and what callers see when providers fail.
//!
//! Measured over loopback, with client, a server process of its own and scripted providers on the same cores:
//! `added` (a unary completion through a cached decision at 500 a second, beside the same call made directly),
//! `streams` (2,000 slow streams at once), `faults` (provider A fails in five ways for a while each, B is well; half of the
//! calls are streams), `slow` (A fails while B is slow: what is tried twice), `both` (both are down, then one comes back).
//! Command: `cargo bench --bench dispatch -- [added|streams|faults|slow|both]... [--seconds N]`; prints one JSON object a
//! line. Exits with 1 if a promise is not kept.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench that cannot run stops and says why"
)]

mod callers;
mod provider;
mod scenarios;
mod service;

#[path = "../../tests/support/scripted.rs"]
mod scripted;

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs benches too, with a flag; there is nothing to test here.
    if arguments.iter().any(|argument| argument == "--test") {
        return ExitCode::SUCCESS;
    }
    let seconds = arguments.iter().position(|argument| argument == "--seconds");
    let seconds = seconds.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(20);
    let named: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|name| scenarios::NAMES.contains(name)).collect();
    let chosen = if named.is_empty() { scenarios::NAMES.to_vec() } else { named };
    // For the calls that are made directly.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let kept = runtime.block_on(scenarios::run(&chosen, Duration::from_secs(seconds)));
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
