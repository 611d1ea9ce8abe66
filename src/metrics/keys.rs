//! Callers that were turned away, and what keys spend.

use prometheus::{GaugeVec, IntCounterVec, Result};

use super::book::Book;
use super::readings::catch_up;
use crate::govern::Keys;

/// All zero where keys are not asked for.
pub(super) struct KeyUse {
    refused: IntCounterVec,
    limited: IntCounterVec,
    spent_today: GaugeVec,
}

impl KeyUse {
    pub(super) fn new(book: &Book) -> Result<Self> {
        let refused = "Calls turned away for their key. missing, malformed, unknown, revoked, expired: it is not known who \
                       calls; forbidden: he may not do this.";
        let limited =
            "Requests turned away at a limit of their key. unpriced: it has a budget, and the target no price.";
        let today = "What each key spent today (UTC), in the unit of prices; only with auth.metrics_by_key.";
        Ok(Self {
            refused: book.counters("semroute_auth_refused_total", refused, &["reason"])?,
            limited: book.counters("semroute_key_limited_total", limited, &["limit"])?,
            spent_today: book.ratios("semroute_key_spend_today", today, &["key"])?,
        })
    }

    pub(super) fn read(&self, keys: &Keys) {
        let counts = keys.ledger().counts();
        for (family, counts) in
            [(&self.refused, counts.authentication().collect::<Vec<_>>()), (&self.limited, counts.limits().collect())]
        {
            for (label, count) in counts {
                if let Ok(counter) = family.get_metric_with_label_values(&[label]) {
                    catch_up(&counter, count);
                }
            }
        }
        if keys.config().metrics_by_key {
            for (key, spent) in keys.spent_today() {
                if let Ok(gauge) = self.spent_today.get_metric_with_label_values(&[key.as_str()]) {
                    gauge.set(spent.units());
                }
            }
        }
    }
}
