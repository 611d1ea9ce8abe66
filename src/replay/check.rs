//! What an answer has to hold, and what it lacks.

use regex::Regex;
use serde::Serialize;

use super::schema::{Lapse, Schema};
use crate::provider::FinishReason;

/// Longest part of an expectation or an answer that is shown, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// One thing that an answer has to hold. Texts are compared letter by letter.
pub enum Check {
    /// It is this text, white space at the ends of both aside.
    Exact(String),
    Contains(String),
    NotContains(String),
    /// It matches anywhere, unless the pattern is anchored.
    Regex(Regex),
    /// It is JSON that obeys the schema.
    JsonSchema(Schema),
    /// Generation ended for this reason.
    Finish(FinishReason),
}

/// A check that did not hold; both texts are bounded to 200 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    pub check: &'static str,
    pub expected: String,
    pub found: String,
}

/// What the checks say of one answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// In the order of the checks; empty: it passed.
    pub mismatches: Vec<Mismatch>,
    /// Of prompts with a schema: whether the answer adheres to it.
    pub schema: Option<Result<(), Lapse>>,
}

/// All checks have to hold.
pub fn judge(checks: &[Check], text: &str, finish: &FinishReason) -> Judgement {
    let mut judgement = Judgement::default();
    for check in checks {
        let holds = match check {
            Check::Exact(expected) => text.trim() == expected,
            Check::Contains(part) => text.contains(part),
            Check::NotContains(part) => !text.contains(part),
            Check::Regex(regex) => regex.is_match(text),
            Check::Finish(expected) => finish == expected,
            Check::JsonSchema(schema) => judgement.adheres(schema, text),
        };
        if !holds {
            judgement.mismatches.push(check.mismatch(text, finish, &judgement));
        }
    }
    judgement
}

impl Judgement {
    /// Of several schemas the first one that is not adhered to counts.
    fn adheres(&mut self, schema: &Schema, text: &str) -> bool {
        let checked = schema.check(text);
        let adheres = checked.is_ok();
        if !matches!(self.schema, Some(Err(_))) {
            self.schema = Some(checked);
        }
        adheres
    }
}

impl Check {
    /// The key of the golden file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::Contains(_) => "contains",
            Self::NotContains(_) => "not_contains",
            Self::Regex(_) => "regex",
            Self::JsonSchema(_) => "json_schema",
            Self::Finish(_) => "finish",
        }
    }

    fn mismatch(&self, text: &str, finish: &FinishReason, judgement: &Judgement) -> Mismatch {
        let (expected, found) = match self {
            Self::Exact(expected) | Self::Contains(expected) | Self::NotContains(expected) => {
                (expected.clone(), text.to_owned())
            }
            Self::Regex(regex) => (regex.to_string(), text.to_owned()),
            Self::JsonSchema(_) => match &judgement.schema {
                Some(Err(lapse)) => ("JSON that obeys the schema".to_owned(), format!("{lapse}: {text}")),
                _ => ("JSON that obeys the schema".to_owned(), text.to_owned()),
            },
            Self::Finish(expected) => (word(expected).to_owned(), word(finish).to_owned()),
        };
        Mismatch { check: self.name(), expected: bounded(&expected), found: bounded(&found) }
    }
}

/// The golden file's word, or the provider's own.
pub(super) fn word(finish: &FinishReason) -> &str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Other(word) => word,
    }
}

/// The beginning of a text, with a mark if that is not all of it.
pub(super) fn bounded(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        None => text.to_owned(),
        Some(_) => text.chars().take(MAX_SHOWN_CHARS - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn schema(source: serde_json::Value) -> Check {
        Check::JsonSchema(Schema::new(source).unwrap())
    }

    #[test]
    fn an_answer_holds_what_it_has_to_hold() {
        let check = |check: Check, right: &[&str], wrong: &[&str]| {
            let passes =
                |answer: &&str| judge(std::slice::from_ref(&check), answer, &FinishReason::Stop).mismatches.is_empty();
            for answer in right {
                assert!(passes(answer), "{}: {answer:?}", check.name());
            }
            for answer in wrong {
                assert!(!passes(answer), "{}: {answer:?}", check.name());
            }
        };
        check(Check::Exact("Bern".to_owned()), &["Bern", " Bern\n"], &["bern", "Bern.", "", "In Bern"]);
        check(Check::Contains("Bern".to_owned()), &["Bern", "In Bern."], &["bern", "", "Be rn"]);
        check(Check::NotContains("Bern".to_owned()), &["", "bern"], &["Bern", "In Bern."]);
        check(Check::Regex(Regex::new(r"^\d+$").unwrap()), &["7", "42"], &["", "7\n8", "seven", "7."]);
        check(Check::Regex(Regex::new(r"(?i)\bbern\b").unwrap()), &["in BERN."], &["Berne"]);
        check(schema(json!({"type": "array"})), &["[]", " [1]\n"], &["{}", "", "```json\n[]\n```", "[] []"]);
        check(Check::Finish(FinishReason::Stop), &["", "anything"], &[]);
        check(Check::Finish(FinishReason::ContentFilter), &[], &["", "anything"]);
    }

    #[test]
    fn all_checks_have_to_hold_and_each_that_does_not_is_told() {
        let checks = [
            Check::Contains("a".to_owned()),
            Check::Contains("b".to_owned()),
            Check::Finish(FinishReason::Stop),
            Check::NotContains("c".to_owned()),
        ];
        let told = |text: &str, finish: FinishReason| {
            judge(&checks, text, &finish).mismatches.iter().map(|at| (at.check, at.found.clone())).collect::<Vec<_>>()
        };
        assert!(told("ab", FinishReason::Stop).is_empty());
        let expected = [("contains", "ac"), ("finish", "length"), ("not_contains", "ac")];
        assert_eq!(told("ac", FinishReason::Length), expected.map(|(check, found)| (check, found.to_owned())));
    }

    #[test]
    fn adherence_is_told_of_prompts_with_a_schema_alone() {
        let adherence = |checks: &[Check], text: &str| {
            judge(checks, text, &FinishReason::Stop).schema.map(|adheres| adheres.map_err(|lapse| lapse.kind()))
        };
        assert_eq!(adherence(&[Check::Exact("x".to_owned())], "x"), None);
        let both = [schema(json!({"type": "object"})), schema(json!({"required": ["a"]}))];
        assert_eq!(adherence(&both, r#"{"a": 1}"#), Some(Ok(())));
        assert_eq!(adherence(&both, "{}"), Some(Err("invalid")));
        assert_eq!(adherence(&both, "```\n{\"a\": 1}\n```"), Some(Err("fenced")));
        let mismatch = &judge(&both[..1], "Bern", &FinishReason::Stop).mismatches[0];
        assert!(mismatch.found.starts_with("no JSON: ") && mismatch.found.ends_with(": Bern"), "{mismatch:?}");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_bounded(text in "\\PC{0,500}") {
            let shown = bounded(&text);
            prop_assert!(shown.chars().count() <= MAX_SHOWN_CHARS);
            prop_assert_eq!(shown == text, text.chars().count() <= MAX_SHOWN_CHARS);
        }

        #[test]
        fn a_part_is_contained_or_not(text in "[ab]{0,6}", part in "[ab]{1,3}") {
            let fails = |check: Check| !judge(&[check], &text, &FinishReason::Stop).mismatches.is_empty();
            prop_assert_ne!(fails(Check::Contains(part.clone())), fails(Check::NotContains(part)));
        }
    }
}
