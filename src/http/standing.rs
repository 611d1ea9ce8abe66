//! How the service stands, for those who probe it: it is started, serves, and at the end drains.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::metrics::Metrics;
use crate::publish::{LiveSets, Readiness};

/// Clone it freely. At first, the service is starting.
#[derive(Clone, Default)]
pub struct Standing(Arc<Inner>);

#[derive(Default)]
struct Inner {
    serving: OnceLock<(LiveSets, Metrics)>,
    draining: AtomicBool,
}

impl Standing {
    /// Requests are answered from now on.
    pub fn serve(&self, live: LiveSets, metrics: Metrics) {
        // A second time changes nothing.
        let _ = self.0.serving.set((live, metrics));
    }

    /// No new request is taken any more.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    pub fn readiness(&self) -> Readiness {
        let because = |reason: &str| Readiness { reasons: vec![reason.to_owned()] };
        if self.0.draining.load(Ordering::Acquire) {
            return because("the service is shutting down");
        }
        match self.0.serving.get() {
            Some((live, _)) => live.readiness(),
            None => because("the service is starting"),
        }
    }

    /// `None` while the service is starting.
    pub(super) fn metrics(&self) -> Option<&Metrics> {
        self.0.serving.get().map(|(_, metrics)| metrics)
    }
}
