//! Which routes are taken for which others.

use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::Outcome;

/// So many of the commonest confusions are reported.
const MAX_CONFUSIONS: usize = 20;
const MAX_EXAMPLES: usize = 3;
const MAX_EXAMPLE_CHARS: usize = 120;

/// Rows of one route (or of none) that were given another (or none).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confusion {
    pub expected: Option<String>,
    pub predicted: Option<String>,
    pub rows: u64,
    /// The first texts, at most 3, each in one line of at most 120 characters.
    pub examples: Vec<String>,
}

/// The commonest confusions, at most 20, commonest first.
pub(super) fn worst(outcomes: &[Outcome]) -> Vec<Confusion> {
    let mut pairs: BTreeMap<(Option<&str>, Option<&str>), Vec<&str>> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_right()) {
        let pair = (outcome.expected.as_deref(), outcome.predicted.as_deref());
        pairs.entry(pair).or_default().push(&outcome.text);
    }
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    // Stable: what is equally common stays in the order of names.
    pairs.sort_by_key(|(_, texts)| std::cmp::Reverse(texts.len()));
    let confusion = |((expected, predicted), texts): ((Option<&str>, Option<&str>), Vec<&str>)| Confusion {
        expected: expected.map(str::to_owned),
        predicted: predicted.map(str::to_owned),
        rows: texts.len() as u64,
        examples: texts.into_iter().take(MAX_EXAMPLES).map(excerpt).collect(),
    };
    pairs.into_iter().take(MAX_CONFUSIONS).map(confusion).collect()
}

/// The start of a text in one line. Control characters become spaces, for they could steer a terminal.
pub fn excerpt(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut line = String::new();
    let mut chars = 0;
    for word in words {
        let space = (chars > 0).then_some(' ');
        for c in space.into_iter().chain(word.chars()) {
            if chars == MAX_EXAMPLE_CHARS {
                line.pop();
                line.push('…');
                return line;
            }
            line.push(c);
            chars += 1;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    #[test]
    fn the_commonest_come_first_with_examples() {
        let mut rows = vec![outcome("b", "a", 1.0), outcome("a", "a", 1.0), outcome("", "a", 1.0)];
        rows.extend((0..5).map(|row| Outcome { text: format!("text {row}"), ..outcome("a", "", 1.0) }));
        let found = worst(&rows);
        let brief: Vec<_> = found.iter().map(|c| (c.expected.as_deref(), c.predicted.as_deref(), c.rows)).collect();
        assert_eq!(brief, [(Some("a"), None, 5), (None, Some("a"), 1), (Some("b"), Some("a"), 1)]);
        assert_eq!(found.first().unwrap().examples, ["text 0", "text 1", "text 2"]);
    }

    #[test]
    fn examples_are_short_lines() {
        let most = "é".repeat(MAX_EXAMPLE_CHARS);
        for (text, expected) in [
            ("  two\r\n\tlines\u{1b}[31m ", "two lines [31m"),
            (most.as_str(), most.as_str()),
            (&format!("{most}x"), &format!("{}…", "é".repeat(MAX_EXAMPLE_CHARS - 1))),
            ("", ""),
        ] {
            assert_eq!(excerpt(text), expected);
        }
    }

    proptest! {
        #[test]
        fn all_errors_are_counted(rows in outcomes()) {
            let counted: u64 = worst(&rows).iter().map(|confusion| confusion.rows).sum();
            prop_assert_eq!(counted, rows.iter().filter(|row| !row.is_right()).count() as u64);
        }

        #[test]
        fn excerpts_are_bounded(text in "\\PC{0,300}") {
            let line = excerpt(&text);
            prop_assert!(line.chars().count() <= MAX_EXAMPLE_CHARS && !line.chars().any(char::is_control));
        }
    }
}
