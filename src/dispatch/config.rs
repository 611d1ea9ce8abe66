//! How long attempts may take and how many there may be.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::breaker::BreakerConfig;
use super::budget::RetryConfig;
use super::probe::ProbeConfig;

/// Longest time that can be set.
const MAX_TIMEOUT: Duration = Duration::from_secs(86_400);

/// Limits of attempts. Whatever they say, the request's deadline holds, and an attempt with others after it gets at most
/// half of the time that is left; see [`super::Dispatcher`].
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DispatchConfig {
    /// Longest time for one whole answer that is not streamed. Default: none but the share of the deadline.
    #[serde(with = "humantime_serde")]
    pub attempt_timeout: Option<Duration>,
    /// Longest time from the call to a stream's first text. Default: 60 s, since reasoning models think before they speak.
    #[serde(with = "humantime_serde")]
    pub first_token_timeout: Duration,
    /// Longest silence within a stream. Default: 30 s.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Most attempts for one request; a request may ask for fewer. Default: 3.
    pub max_attempts: NonZeroU32,
    pub retry: RetryConfig,
    pub breaker: BreakerConfig,
    /// Active probes. Default: none.
    pub probe: Option<ProbeConfig>,
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self {
            attempt_timeout: None,
            first_token_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            max_attempts: NonZeroU32::MIN.saturating_add(2),
            retry: RetryConfig::default(),
            breaker: BreakerConfig::default(),
            probe: None,
        }
    }
}

impl DispatchConfig {
    /// Everything that is wrong: field and fault.
    pub fn faults(&self) -> Vec<(String, String)> {
        let fields = [
            ("attempt_timeout", self.attempt_timeout),
            ("first_token_timeout", Some(self.first_token_timeout)),
            ("idle_timeout", Some(self.idle_timeout)),
        ];
        let wrong = |time: Duration| time.is_zero() || time > MAX_TIMEOUT;
        let faults = fields.into_iter().filter(|(_, time)| time.is_some_and(wrong));
        let faults =
            faults.map(|(field, _)| (field.to_owned(), "must be longer than 0 s and at most a day".to_owned()));
        let below = |name: &'static str, found: Vec<(String, String)>| {
            found.into_iter().map(move |(field, what)| (format!("{name}.{field}"), what))
        };
        let probe = self.probe.as_ref().map(ProbeConfig::faults).unwrap_or_default();
        let below = below("retry", self.retry.faults())
            .chain(below("breaker", self.breaker.faults()))
            .chain(below("probe", probe));
        faults.chain(below).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_units_and_are_not_zero() {
        let check = |toml: &str, expected: &[&str]| {
            let faults = toml::from_str::<DispatchConfig>(toml).unwrap().faults();
            assert_eq!(faults.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(), expected);
        };
        check("", &[]);
        check("attempt_timeout = '20s'\nidle_timeout = '500ms'\nmax_attempts = 1", &[]);
        check("attempt_timeout = '0s'\nidle_timeout = '0s'", &["attempt_timeout", "idle_timeout"]);
        check(
            "retry.ratio = -1.0\nbreaker.error_ratio = 0.0\nbreaker.min_calls = 51\nbreaker.max_open_time = '1ms'",
            &["retry.ratio", "breaker.min_calls", "breaker.error_ratio", "breaker.max_open_time"],
        );
        check("[probe]", &[]);
        check("probe.interval = '1ms'\nprobe.timeout = '1h'", &["probe.interval", "probe.timeout"]);
        assert!(toml::from_str::<DispatchConfig>("max_attempts = 0").is_err());
        assert_eq!(DispatchConfig::default().max_attempts.get(), 3);
    }
}
