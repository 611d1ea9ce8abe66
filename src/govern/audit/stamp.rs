//! A moment by the wall clock, to the millisecond, as the log writes it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use humantime_serde::re::humantime;

/// The last moment of the year 9999: RFC 3339 has no later one.
const LAST: u64 = 253_402_300_799_999;

/// Milliseconds since 1970 in UTC, at most the end of the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp(u64);

impl Stamp {
    pub(super) const ZERO: Self = Self(0);

    pub fn now() -> Self {
        SystemTime::now().into()
    }

    pub fn from_millis(millis: u64) -> Self {
        Self(millis.min(LAST))
    }

    pub fn millis(self) -> u64 {
        self.0
    }

    /// `None` for anything but RFC 3339 in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        humantime::parse_rfc3339(text).ok().map(Self::from)
    }

    /// Eight digits, such as 20260131.
    pub(super) fn day(self) -> String {
        self.to_string().chars().take(10).filter(char::is_ascii_digit).collect()
    }

    /// How long `earlier` lies back; zero if it does not.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Self {
        // A clock before 1970 is as wrong as one that says 1970.
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_millis(u64::try_from(since.as_millis()).unwrap_or(LAST))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.0)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_and_read_whatever_the_clock_says() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_769_817_600_123, "2026-01-31T00:00:00.123Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            let stamp = Stamp::from_millis(millis);
            assert_eq!(stamp.to_string(), text);
            assert_eq!(Stamp::parse(text), Some(stamp));
        }
        assert_eq!(Stamp::from_millis(1_769_817_600_123).day(), "20260131");
        assert_eq!(Stamp::from(UNIX_EPOCH - Duration::from_secs(9)), Stamp(0));
        assert_eq!(Stamp::parse("yesterday"), None);
    }
}
