//! Whether a request is taken in: pure. What cannot be done in time is refused at once, never queued to die.

use std::time::{Duration, Instant};

use super::load::{Forecast, Load};

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

/// Whether a text of so many tokens may join the queue, and until when it should be embedded then, if that is known.
/// While nothing is known about the rate everything may: the first pass tells, and until then the queue's capacity is
/// the bound. So may what is alone: it delays nobody, and its pass corrects a rate that was thought to be too low for
/// it.
pub(super) fn admit(load: &Load, tokens: usize, terms: Terms, now: Instant) -> Result<Option<Duration>, Refusal> {
    let Some(Forecast { wait, finish, alone }) = load.forecast(tokens, now) else { return Ok(None) };
    if alone {
        return Ok(Some(finish));
    }
    if wait > terms.max_wait {
        return Err(Refusal::Wait { wait, retry_after: retry(wait - terms.max_wait) });
    }
    let Some(deadline) = terms.deadline else { return Ok(Some(finish)) };
    let left = deadline.saturating_duration_since(now);
    let needed = finish.mul_f64(load.overrun());
    if needed > left {
        return Err(Refusal::Deadline { needed, left, retry_after: retry(needed - left) });
    }
    Ok(Some(finish))
}

/// When to try again: not before the work that is in the way has been done.
pub(super) fn retry(in_the_way: Duration) -> Duration {
    in_the_way.clamp(LEAST_RETRY, MOST_RETRY)
}
