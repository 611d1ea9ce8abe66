//! How often callers were turned away, and why.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{Refused, Unauthenticated};

#[derive(Debug, Default)]
pub struct KeyCounts {
    unauthenticated: [AtomicU64; Unauthenticated::ALL.len()],
    forbidden: AtomicU64,
    refused: [AtomicU64; Refused::KINDS.len()],
}

impl KeyCounts {
    pub(super) fn unauthenticated(&self, why: Unauthenticated) {
        let at = Unauthenticated::ALL.iter().position(|reason| *reason == why);
        count(at.and_then(|at| self.unauthenticated.get(at)));
    }

    pub fn forbidden(&self) {
        count(Some(&self.forbidden));
    }

    pub(super) fn refused(&self, why: &Refused) {
        let at = Refused::KINDS.iter().position(|kind| *kind == why.kind());
        count(at.and_then(|at| self.refused.get(at)));
    }

    /// By reason: what is not known, and what is forbidden.
    pub fn authentication(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let unknown = Unauthenticated::ALL.into_iter().map(Unauthenticated::as_str).zip(&self.unauthenticated);
        unknown.chain([("forbidden", &self.forbidden)]).map(|(reason, count)| (reason, count.load(Ordering::Relaxed)))
    }

    /// By limit.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refused::KINDS.into_iter().zip(&self.refused).map(|(kind, count)| (kind, count.load(Ordering::Relaxed)))
    }
}

fn count(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
