//! Makes the families of metrics and enters them into the registry, all in one way.

use prometheus::core::Collector;
use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, Result,
};

/// Upper bounds in seconds. An answer from the cache takes tens of microseconds, an embedding a millisecond or more,
/// an LLM seconds.
const BUCKETS: [f64; 16] =
    [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper bounds in seconds of what LLMs take.
const LONG_BUCKETS: [f64; 14] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0];

#[derive(Default)]
pub(super) struct Book(Registry);

impl Book {
    pub(super) fn registry(self) -> Registry {
        self.0
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.enter(IntCounter::new(name, help)?)
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.enter(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// A counter that is not of whole numbers, such as seconds.
    pub(super) fn sum(&self, name: &str, help: &str) -> Result<prometheus::Counter> {
        self.enter(prometheus::Counter::new(name, help)?)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.enter(IntGauge::new(name, help)?)
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.enter(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// A gauge that is not of whole numbers.
    pub(super) fn ratio(&self, name: &str, help: &str) -> Result<Gauge> {
        self.enter(Gauge::new(name, help)?)
    }

    pub(super) fn ratios(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
        self.enter(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn times(&self, name: &str, help: &str) -> Result<Histogram> {
        self.enter(Histogram::with_opts(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()))?)
    }

    pub(super) fn times_by(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec> {
        self.enter(HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels)?)
    }

    pub(super) fn long_times_by(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec> {
        self.enter(HistogramVec::new(HistogramOpts::new(name, help).buckets(LONG_BUCKETS.to_vec()), labels)?)
    }

    /// Counters that are not of whole numbers, such as money.
    pub(super) fn sums(&self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec> {
        self.enter(CounterVec::new(Opts::new(name, help), labels)?)
    }

    fn enter<C: Collector + Clone + 'static>(&self, family: C) -> Result<C> {
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }
}
