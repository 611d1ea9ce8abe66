//! Many times in little memory, with their quantiles.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer times are counted as this one: an hour.
const MOST_MICROS: u64 = 3_600_000_000;

/// Milliseconds, by nearest rank; at most 1 % above a time that occurred.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    pub count: u64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// At most 40 KB, however many times there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Times(Option<Histogram<u64>>);

impl Times {
    pub(super) fn add(&mut self, micros: u64) {
        if self.0.is_none() {
            self.0 = Histogram::new_with_bounds(1, MOST_MICROS, 2).ok();
        }
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(micros.max(1));
        }
    }

    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        let histogram = self.0.as_ref()?;
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Some(Quantiles {
            count: histogram.len(),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: histogram.max() as f64 / 1e3,
        })
    }
}
