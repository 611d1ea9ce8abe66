//! One call to one target, and what became of it.

use std::time::Duration;

use super::answer::{Answer, NoAnswer};
use super::check::{Judgement, judge, word};
use super::golden::Case;
use crate::money::Money;
use crate::provider::{FinishReason, Usage};

#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Positions among the cases and among the targets.
    pub case: usize,
    pub target: usize,
    /// From 0.
    pub repeat: u32,
    /// Whether it waited for its target, which rested as its provider had asked (429, Retry-After).
    pub rested: bool,
    pub outcome: Result<Judged, NoAnswer>,
}

/// An answer after its judgement; the text is no longer needed.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub judgement: Judgement,
    /// Why generation ended, in the golden file's words.
    pub finish: String,
    /// The provider's content rules, or the model itself, withheld the answer or a part of it.
    pub is_refusal: bool,
    pub usage: Option<Usage>,
    pub cost: Option<Money>,
    pub first_text: Option<Duration>,
    pub latency: Duration,
}

impl Trial {
    /// Whether there is an answer, and all checks hold.
    pub fn passed(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|judged| judged.judgement.mismatches.is_empty())
    }

    pub(super) fn judged(&self) -> Option<&Judged> {
        self.outcome.as_ref().ok()
    }
}

impl Judged {
    pub(super) fn of(case: &Case, answer: Answer) -> Self {
        Self {
            judgement: judge(&case.checks, &answer.text, &answer.finish),
            finish: word(&answer.finish).to_owned(),
            is_refusal: answer.finish == FinishReason::ContentFilter,
            usage: answer.usage,
            cost: answer.cost,
            first_text: answer.first_text,
            latency: answer.latency,
        }
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;
    use crate::replay::check::Mismatch;
    use crate::replay::schema::Lapse;

    /// An answer of 3 tokens in and 2 out, after so many milliseconds.
    pub(in crate::replay) fn judged(milliseconds: u64) -> Judged {
        Judged {
            judgement: Judgement::default(),
            finish: "stop".to_owned(),
            is_refusal: false,
            usage: Some(Usage::new(3, 2)),
            cost: Some(Money::from_units(0.001)),
            first_text: Some(Duration::from_millis(milliseconds / 2)),
            latency: Duration::from_millis(milliseconds),
        }
    }

    pub(in crate::replay) fn passing(case: usize, target: usize, repeat: u32) -> Trial {
        Trial { case, target, repeat, rested: false, outcome: Ok(judged(100)) }
    }

    pub(in crate::replay) fn failing(case: usize, target: usize, repeat: u32) -> Trial {
        let mismatch = Mismatch { check: "exact", expected: "Bern".to_owned(), found: "Zürich\u{1b}[2J\n".to_owned() };
        let judgement = Judgement { mismatches: vec![mismatch], schema: None };
        Trial { case, target, repeat, rested: false, outcome: Ok(Judged { judgement, ..judged(200) }) }
    }

    pub(in crate::replay) fn lapsed(case: usize, target: usize) -> Trial {
        let found = "JSON in a fence: ```json".to_owned();
        let mismatch = Mismatch { check: "json_schema", expected: "JSON that obeys the schema".to_owned(), found };
        let judgement = Judgement { mismatches: vec![mismatch], schema: Some(Err(Lapse::Fenced)) };
        Trial { case, target, repeat: 0, rested: false, outcome: Ok(Judged { judgement, ..judged(300) }) }
    }

    pub(in crate::replay) fn unanswered(case: usize, target: usize, kind: &str) -> Trial {
        let message = "no answer after 100 ms".to_owned();
        let outcome = Err(NoAnswer::new(kind, message));
        Trial { case, target, repeat: 0, rested: false, outcome }
    }
}
