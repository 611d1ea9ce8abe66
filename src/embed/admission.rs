//! Whether a request is taken in: pure. What cannot be done in time is refused at once, never queued to die.

use std::time::{Duration, Instant};

use super::load::{Forecast, Load};

/// Share of the forecast that is kept back, since it may be wrong: a tenth.
const RESERVE: f64 = 0.1;

/// Callers are not sent away for less, nor for more.
const LEAST_RETRY: Duration = Duration::from_millis(10);
const MOST_RETRY: Duration = Duration::from_secs(10);

/// What bounds the time of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub deadline: Option<Instant>,
    /// Longest wait for a worker, whatever the deadline.
    pub max_wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Refusal {
    /// It would be embedded only in `needed`, and has `left`.
    Deadline { needed: Duration, left: Duration, retry_after: Duration },
    /// It would wait for longer than anything may.
    Wait { wait: Duration, retry_after: Duration },
}

/// Whether a text of so many tokens may join the queue. While nothing is known about the rate everything may: the
/// first pass tells, and until then the queue's capacity is the bound. So may what is alone: it delays nobody, and
/// its pass corrects a rate that was thought to be too low for it.
pub(super) fn admit(load: &Load, tokens: usize, terms: Terms, now: Instant) -> Result<(), Refusal> {
    let Some(forecast) = load.forecast(tokens, now).filter(|forecast| !forecast.alone) else { return Ok(()) };
    let Forecast { wait, finish, .. } = forecast;
    if wait > terms.max_wait {
        return Err(Refusal::Wait { wait, retry_after: retry(wait - terms.max_wait) });
    }
    let Some(deadline) = terms.deadline else { return Ok(()) };
    let left = deadline.saturating_duration_since(now);
    let needed = finish.mul_f64(1.0 + RESERVE);
    if needed > left {
        return Err(Refusal::Deadline { needed, left, retry_after: retry(needed - left) });
    }
    Ok(())
}

/// When to try again: not before the work that is in the way has been done.
pub(super) fn retry(in_the_way: Duration) -> Duration {
    in_the_way.clamp(LEAST_RETRY, MOST_RETRY)
}
