//! Whether a target may be called: closed (yes), open (no) or half open (a few, to see). Pure: the time is an argument,
//! and so is every random number.
//!
//! A rest that a provider asks for (429 with Retry-After), and one for a key that it refuses, are the same thing with
//! another cause: open until then, then half open. So what comes after a rest is a probe and not a crowd.

mod config;
mod reading;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use config::BreakerConfig;
pub use reading::{BreakerState, Cause, Reading};
pub(super) use window::Verdict;
use window::Window;

/// An open target is tried this early if there is no other to go to: it costs a request that is lost anyway, and finds
/// a target that has come back long before its time is over.
const LAST_RESORT_AFTER: Duration = Duration::from_millis(250);

/// While it is half open, so much time after the last probe another is let through, whatever the share says.
const PROBE_AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// A target that has rested, and that nobody has tried for so long since, is forgotten: all who come have reasons not
/// to try it. One of them has to, or it would never be used again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// How long a target is left alone whose key, or whose model's name, its provider refuses; doubled each further time.
/// Only the operator can mend it.
const REFUSED_REST: Duration = Duration::from_secs(60);
const MAX_REFUSED_REST: Duration = Duration::from_secs(15 * 60);

/// A longer Retry-After is cut to this: then one probe asks again.
const MAX_LIMITED_REST: Duration = Duration::from_secs(10 * 60);

/// Leave to call. What comes of the call has to be reported with it, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permit {
    era: u64,
    pub(super) is_probe: bool,
    /// Times that the breaker had opened since it was last closed: of a probe, how long the target has been away.
    pub(super) trips: u32,
}

/// Why there is no leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bar {
    Open {
        cause: Cause,
        until: Instant,
    },
    /// As many probes are under way as may be.
    Probing {
        cause: Cause,
    },
}

#[derive(Debug)]
pub(super) struct Breaker {
    config: Arc<BreakerConfig>,
    state: State,
    since: Instant,
    window: Window,
    /// Times that it opened since it was last closed.
    trips: u32,
    /// Counts changes of state: what was called under an earlier one says nothing of this one.
    era: u64,
    openings: u64,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { cause: Cause, until: Instant },
    HalfOpen { cause: Cause, probing: Probing },
}

#[derive(Debug)]
struct Probing {
    under_way: u32,
    good: u32,
    asked: u64,
    granted: u64,
    last: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(config: Arc<BreakerConfig>, now: Instant) -> Self {
        let window = Window::default();
        Self { config, state: State::Closed, since: now, window, trips: 0, era: 0, openings: 0 }
    }

    /// Leave to call, if others might be called instead.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Permit, Bar> {
        self.ripen(now);
        let (era, share, probes) = (self.era, self.config.probe_share, self.config.probes);
        self.ask(now, |probing| {
            probing.asked += 1;
            let quiet = probing.last.is_none_or(|last| now.saturating_duration_since(last) >= PROBE_AT_LEAST_EVERY);
            let is_due = quiet || (probing.granted as f64) < share * probing.asked as f64;
            // The first goes alone: where it hangs, it is enough that one caller has to wait.
            let most = if probing.good == 0 { 1 } else { probes };
            if is_due { most } else { 0 }
        })
        .map(|is_probe| Permit { era, is_probe, trips: self.trips })
    }

    /// Leave to call where nothing else is left: early, and whatever the share says.
    pub(super) fn admit_as_last_resort(&mut self, now: Instant) -> Result<Permit, Bar> {
        self.ripen(now);
        if let State::Open { cause, .. } = self.state
            && cause.may_have_passed()
            && now.saturating_duration_since(self.since) >= LAST_RESORT_AFTER
        {
            self.half_open(cause, now);
        }
        let (era, probes) = (self.era, self.config.probes);
        self.ask(now, |_| probes).map(|is_probe| Permit { era, is_probe, trips: self.trips })
    }

    /// Whether a call is a probe, if there is leave for it. `most`: probes that may be under way at once.
    fn ask(&mut self, now: Instant, most: impl Fn(&mut Probing) -> u32) -> Result<bool, Bar> {
        match &mut self.state {
            State::Closed => Ok(false),
            State::Open { cause, until } => Err(Bar::Open { cause: *cause, until: *until }),
            State::HalfOpen { cause, probing } => {
                let most = most(probing);
                // One that never comes back must not hold the place for ever.
                let overdue =
                    probing.last.is_some_and(|last| now.saturating_duration_since(last) >= PROBE_AT_LEAST_EVERY);
                if most == 0 || (probing.under_way >= most && !overdue) {
                    return Err(Bar::Probing { cause: *cause });
                }
                probing.under_way += 1;
                probing.granted += 1;
                probing.last = Some(now);
                Ok(true)
            }
        }
    }

    /// Whether it waits for a probe that nobody makes. One whose first probe was good is not left waiting for the next.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        let since = match &self.state {
            State::Closed => return false,
            State::Open { until, .. } => *until,
            State::HalfOpen { probing, .. } if probing.good > 0 => return true,
            State::HalfOpen { probing, .. } => probing.last.unwrap_or(self.since),
        };
        since.checked_add(FORGOTTEN_AFTER).is_some_and(|at| at <= now)
    }

    /// What came of a call. `dice`: evenly distributed over [0, 1).
    pub(super) fn settle(&mut self, permit: Permit, verdict: Verdict, now: Instant, dice: f64) {
        if permit.era != self.era {
            return;
        }
        match &mut self.state {
            State::Open { .. } => {}
            State::Closed => {
                self.window.push(now, verdict, &self.config);
                if let Some(cause) = self.fault() {
                    self.open(cause, None, now, dice);
                }
            }
            State::HalfOpen { probing, .. } => {
                probing.under_way = probing.under_way.saturating_sub(1);
                match verdict {
                    Verdict::Void => {}
                    Verdict::Good => {
                        probing.good += 1;
                        if probing.good >= self.config.probes {
                            self.close(now);
                        }
                    }
                    Verdict::Slow => self.open(Cause::Slow, None, now, dice),
                    Verdict::Bad => self.open(Cause::Failing, None, now, dice),
                }
            }
        }
    }

    /// Leaves the target alone, whatever its results were. `wanted`: how long the provider asked for. Whether that is
    /// news.
    pub(super) fn rest(&mut self, cause: Cause, wanted: Option<Duration>, now: Instant, dice: f64) -> bool {
        self.ripen(now);
        let is_news = !matches!(self.state, State::Open { cause: known, .. } if known == cause);
        if let State::Open { cause: known, until } = &mut self.state {
            // Of two rests the longer holds; calls that come in while it rests do not make it longer and longer.
            if let Some(wanted) = wanted {
                *until = (*until).max(now + wanted.min(MAX_LIMITED_REST));
            }
            if !is_news || matches!(known, Cause::Authentication | Cause::UnknownModel) {
                return false;
            }
        }
        self.open(cause, wanted, now, dice);
        is_news
    }

    /// Opens it by a lower share of failures than the configured one, if there are enough calls to judge by.
    pub(super) fn open_from(&mut self, error_ratio: f64, now: Instant, dice: f64) {
        let (window, enough) = (&self.window, self.config.min_calls.max(1));
        if matches!(self.state, State::Closed) && window.calls() >= enough && window.error_ratio() >= error_ratio {
            self.open(Cause::Failing, None, now, dice);
        }
    }

    fn fault(&self) -> Option<Cause> {
        let (config, window) = (&self.config, &self.window);
        if window.calls() < config.min_calls.max(1) {
            return None;
        }
        if window.error_ratio() >= config.error_ratio {
            return Some(Cause::Failing);
        }
        (window.slow_ratio() >= config.slow_ratio).then_some(Cause::Slow)
    }

    fn open(&mut self, cause: Cause, wanted: Option<Duration>, now: Instant, dice: f64) {
        let doubled = |first: Duration, most: Duration| {
            let grown = first.saturating_mul(1_u32.checked_shl(self.trips).unwrap_or(u32::MAX)).min(most);
            // Half of it is fixed, half is chance: targets that fell together do not all come back together.
            grown.mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0))
        };
        let rest = match (cause, wanted) {
            (Cause::Authentication | Cause::UnknownModel, _) => doubled(REFUSED_REST, MAX_REFUSED_REST),
            (_, Some(wanted)) => wanted.min(MAX_LIMITED_REST),
            (_, None) => doubled(self.config.open_time, self.config.max_open_time),
        };
        self.trips = self.trips.saturating_add(1);
        self.openings += 1;
        self.change(State::Open { cause, until: now + rest }, now);
    }

    fn half_open(&mut self, cause: Cause, now: Instant) {
        let probing = Probing { under_way: 0, good: 0, asked: 0, granted: 0, last: None };
        self.change(State::HalfOpen { cause, probing }, now);
    }

    fn close(&mut self, now: Instant) {
        self.trips = 0;
        self.window = Window::default();
        self.change(State::Closed, now);
    }

    fn change(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
        self.era += 1;
    }

    /// What the time alone changes.
    fn ripen(&mut self, now: Instant) {
        if let State::Open { cause, until } = self.state
            && now >= until
        {
            self.half_open(cause, now);
        }
        self.window.expire(now, &self.config);
    }

    /// What it is in, for those who look on.
    pub(super) fn reading(&self, now: Instant) -> Reading {
        let (state, cause, until) = match &self.state {
            State::Closed => (BreakerState::Closed, None, None),
            State::Open { cause, until } if *until > now => (BreakerState::Open, Some(*cause), Some(*until - now)),
            State::Open { cause, .. } | State::HalfOpen { cause, .. } => (BreakerState::HalfOpen, Some(*cause), None),
        };
        Reading {
            state,
            cause,
            since: now.saturating_duration_since(self.since),
            until,
            calls: self.window.calls(),
            error_ratio: self.window.error_ratio(),
            slow_ratio: self.window.slow_ratio(),
            openings: self.openings,
        }
    }
}
