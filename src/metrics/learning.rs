//! Proposals, and what is remembered for them.

use prometheus::{IntCounter, IntGauge, Result};

use super::book::Book;
use super::readings::catch_up;
use crate::learn::{LearningStats, Outcomes};

pub(super) struct Proposals {
    verdicts: [IntCounter; 4],
    corrections: [IntCounter; 4],
    waiting: IntGauge,
    accepted: IntCounter,
    accepted_by_rule: IntCounter,
    rejected: IntCounter,
    remembered: IntGauge,
    remembered_bytes: IntGauge,
}

impl Proposals {
    pub(super) fn new(book: &Book) -> Result<Self> {
        let help = "Verdicts and corrections on their way to be proposals, by source and outcome. known: a reference \
                    prompt says the same; lost: too many wait or are open; failed: the store could not be written to.";
        let recorded = book.counters("semroute_proposals_total", help, &["source", "outcome"])?;
        let of = |source: &str| -> Result<[IntCounter; 4]> {
            let one = |outcome: &str| recorded.get_metric_with_label_values(&[source, outcome]);
            Ok([one("recorded")?, one("known")?, one("lost")?, one("failed")?])
        };
        let help = "Proposals settled on this server: accepted or rejected by a person, or accepted by the rule.";
        let settled = book.counters("semroute_proposals_settled_total", help, &["how"])?;
        let settled = |how: &str| settled.get_metric_with_label_values(&[how]);
        let gauge = |name: &str, help: &str| book.gauge(name, help);
        Ok(Self {
            verdicts: of("llm_verdict")?,
            corrections: of("correction")?,
            waiting: gauge("semroute_proposals_waiting", "Verdicts waiting to be recorded.")?,
            accepted: settled("accepted")?,
            accepted_by_rule: settled("accepted_by_rule")?,
            rejected: settled("rejected")?,
            remembered: gauge("semroute_feedback_remembered", "Decisions that feedback need only name.")?,
            remembered_bytes: gauge("semroute_feedback_remembered_bytes", "Memory that they take with their prompts.")?,
        })
    }

    pub(super) fn read(&self, stats: LearningStats) {
        for (counters, outcomes) in [(&self.verdicts, stats.verdicts), (&self.corrections, stats.corrections)] {
            let Outcomes { recorded, known, lost, failed } = outcomes;
            counters.iter().zip([recorded, known, lost, failed]).for_each(|(counter, total)| catch_up(counter, total));
        }
        catch_up(&self.accepted, stats.accepted);
        catch_up(&self.accepted_by_rule, stats.accepted_by_rule);
        catch_up(&self.rejected, stats.rejected);
        self.waiting.set(stats.waiting as i64);
        self.remembered.set(stats.remembered as i64);
        self.remembered_bytes.set(stats.remembered_bytes as i64);
    }
}
