//! Many times in little memory, with their quantiles.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::report::Quantiles;

/// Longer times are counted as this one; their true greatest and their sum are kept all the same.
const MOST_MICROS: u64 = 3_600_000_000;

/// To three digits: a quantile is at most 0.1 % (or one microsecond) above a time that occurred. Greatest and mean are
/// exact. At most 200 KB, however many times there are.
#[derive(Debug, Clone)]
pub(super) struct Times {
    /// `None` until the first time comes, and if there is no memory for it.
    histogram: Option<Histogram<u64>>,
    count: u64,
    sum: Duration,
    max: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { histogram: None, count: 0, sum: Duration::ZERO, max: Duration::ZERO }
    }
}

impl Times {
    pub(super) fn record(&mut self, time: Duration) {
        self.count += 1;
        self.sum = self.sum.saturating_add(time);
        self.max = self.max.max(time);
        if self.histogram.is_none() {
            self.histogram = Histogram::new_with_bounds(1, MOST_MICROS, 3).ok();
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        self.histogram = match (self.histogram.take(), other.histogram) {
            // Both have the same bounds, so that nothing can be out of range.
            (Some(mut mine), Some(theirs)) => mine.add(&theirs).ok().map(|()| mine),
            (mine, theirs) => mine.or(theirs),
        };
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn max(&self) -> Duration {
        self.max
    }

    /// The time that the share `quantile` of all times does not exceed (nearest rank).
    pub(super) fn quantile(&self, quantile: f64) -> Duration {
        let histogram = self.histogram.as_ref();
        let found = histogram.map_or(0, |histogram| histogram.value_at_quantile(quantile));
        // The histogram's steps reach a little beyond the greatest time.
        Duration::from_micros(found).min(self.max)
    }

    /// In milliseconds; `None` if there are no times.
    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        (self.count > 0).then(|| Quantiles {
            count: self.count,
            mean: milliseconds(self.sum.div_f64(self.count as f64)),
            p50: milliseconds(self.quantile(0.5)),
            p90: milliseconds(self.quantile(0.9)),
            p99: milliseconds(self.quantile(0.99)),
            p99_9: milliseconds(self.quantile(0.999)),
            max: milliseconds(self.max),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recorded(micros: &[u64]) -> Times {
        let mut times = Times::default();
        micros.iter().for_each(|micros| times.record(Duration::from_micros(*micros)));
        times
    }

    #[test]
    fn no_times_have_no_quantiles() {
        assert_eq!(Times::default().quantiles(), None);
        assert_eq!(Times::default().quantile(0.99), Duration::ZERO);
    }

    #[test]
    fn a_few_times_are_told_exactly() {
        let few: Vec<u64> = (1..=999).collect();
        let expected = Quantiles { count: 999, mean: 0.5, p50: 0.5, p90: 0.9, p99: 0.99, p99_9: 0.999, max: 0.999 };
        assert_eq!(recorded(&few).quantiles(), Some(expected));
    }

    #[test]
    fn times_beyond_the_bound_are_kept_as_the_greatest() {
        let day = Duration::from_secs(86_400);
        let mut times = recorded(&[5]);
        times.record(day);
        assert_eq!((times.max(), times.quantile(0.5)), (day, Duration::from_micros(5)));
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_times(
            micros in prop::collection::vec(prop_oneof![0u64..3_000, 0u64..60_000_000], 1..400),
            more in prop::collection::vec(0u64..1_000_000, 0..50),
        ) {
            let mut times = recorded(&micros);
            times.add(recorded(&more));
            let mut sorted: Vec<u64> = micros.iter().chain(&more).copied().collect();
            sorted.sort_unstable();
            for quantile in [0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let rank = ((sorted.len() as f64 * quantile).ceil() as usize).clamp(1, sorted.len());
                let (exact, found) = (sorted[rank - 1], times.quantile(quantile).as_micros() as u64);
                prop_assert!(found >= exact && found <= exact + exact / 1_000 + 1, "{quantile}: {found} for {exact}");
            }
            let exact = times.quantiles().unwrap();
            let (most, sum) = (sorted[sorted.len() - 1], sorted.iter().sum::<u64>());
            prop_assert!((exact.max - most as f64 / 1e3).abs() < 1e-6);
            prop_assert!((exact.mean - sum as f64 / sorted.len() as f64 / 1e3).abs() < 0.001);
            prop_assert_eq!(exact.count, sorted.len() as u64);
        }
    }
}
