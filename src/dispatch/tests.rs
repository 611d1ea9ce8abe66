//! Plans carried out: over real connections, and in simulated time.

mod loopback;
mod outages;
mod world;

use super::Attempt;

/// `t0=kind` for each attempt.
fn summary(attempts: &[Attempt]) -> Vec<String> {
    attempts.iter().map(|attempt| format!("{}={}", attempt.target, attempt.outcome.kind())).collect()
}
