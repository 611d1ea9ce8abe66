//! Days and months (UTC), counted on from the start by the monotonic clock, so that setting the clock moves nothing.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Seconds of a day; Unix time knows no leap seconds.
const DAY: u64 = 86_400;

/// Number of a day, from 1970-01-01 (UTC).
pub type Day = i64;

/// Seconds since the Unix epoch, by the system's clock: the one that an operator has in mind when he names a date.
pub fn unix_now() -> i64 {
    unix_seconds(SystemTime::now())
}

/// Seconds since the Unix epoch; what was before it is at it.
pub fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Tells the day from the time that has passed since a moment whose date was known.
#[derive(Debug, Clone, Copy)]
pub struct Calendar {
    anchor: Instant,
    /// Since the Unix epoch.
    at_anchor: Duration,
}

impl Calendar {
    /// By the system's clock, which is asked this once.
    pub fn now() -> Self {
        let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::starting(Instant::now(), date)
    }

    /// `date`: that of `now`, since the Unix epoch.
    pub fn starting(now: Instant, date: Duration) -> Self {
        Self { anchor: now, at_anchor: date }
    }

    /// Since the Unix epoch. Never goes back.
    pub fn date(&self, now: Instant) -> Duration {
        self.at_anchor + now.saturating_duration_since(self.anchor)
    }

    pub fn day(&self, now: Instant) -> Day {
        i64::try_from(self.date(now).as_secs() / DAY).unwrap_or(Day::MAX)
    }

    /// Until the day begins; zero if it has begun.
    pub fn until(&self, day: Day, now: Instant) -> Duration {
        let begin = u64::try_from(day).unwrap_or_default().saturating_mul(DAY);
        Duration::from_secs(begin).saturating_sub(self.date(now))
    }
}

/// The first day of the month that `day` is in.
///
/// `civil_from_days` of <http://howardhinnant.github.io/date_algorithms.html>, as far as the day of the month.
pub fn first_of_month(day: Day) -> Day {
    let of_era = day.saturating_add(719_468).rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    day - (of_year - (153 * month + 2) / 5)
}

/// The first day of the month after the one that `day` is in.
pub fn next_month(day: Day) -> Day {
    // No month has more than 31 days, and the shortest is not so short that this would be the month after the next.
    first_of_month(first_of_month(day) + 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_on_their_first_day() {
        // From `date -u -d 2024-02-29 +%s` and its like, divided by 86,400.
        for (day, first, next) in [
            (0, 0, 31),
            (30, 0, 31),
            (31, 31, 59),
            (19_782, 19_754, 19_783), // 2024-02-29
            (19_783, 19_783, 19_814), // 2024-03-01
            (20_088, 20_058, 20_089), // 2024-12-31
            (47_540, 47_513, 47_541), // 2100-02-28, the last of its month: no leap year
        ] {
            assert_eq!((first_of_month(day), next_month(day)), (first, next), "{day}");
        }
    }

    #[test]
    fn every_day_is_in_one_month_of_28_to_31_days() {
        let mut first = 0;
        for day in 0..60_000 {
            if day == next_month(first) {
                assert!((28..=31).contains(&(day - first)), "{day}");
                first = day;
            }
            assert_eq!(first_of_month(day), first, "{day}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight() {
        let start = Instant::now();
        let calendar = Calendar::starting(start, Duration::from_secs(20_000 * DAY + DAY - 10));
        assert_eq!((calendar.day(start), calendar.until(20_001, start)), (20_000, Duration::from_secs(10)));
        let later = start + Duration::from_secs(10);
        assert_eq!((calendar.day(later), calendar.until(20_001, later)), (20_001, Duration::ZERO));
    }
}
