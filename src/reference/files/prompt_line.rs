//! One line of a JSONL file: `{"text": ..., "label" or "route": ...?, "id": ...?}`. Other keys are ignored, since public
//! data carries its own; a known key of the wrong type is a fault.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::fault::{Faults, FileError, Place, Wrong};
use super::lines::Lines;
use crate::reference::name::{NameError, ReferenceId, RouteName};
use crate::reference::types::MAX_TEXT_BYTES;

/// A line whose parts are valid.
#[derive(Debug, PartialEq)]
pub(super) struct PromptLine {
    pub(super) text: String,
    pub(super) route: Option<RouteName>,
    pub(super) id: Option<ReferenceId>,
    /// What kind of prompt it is, in the data's own words.
    pub(super) kind: Option<String>,
}

/// Reads the prompts of a file one by one. Faulty lines are added to `faults` and left out.
pub(super) fn each_prompt(
    path: &Path,
    faults: &mut Faults,
    mut take: impl FnMut(Place, PromptLine, &mut Faults),
) -> Result<(), FileError> {
    let file = Place::file(path);
    let opened = File::open(path).map_err(FileError::unreadable(path))?;
    let mut lines = Lines::new(BufReader::new(opened));
    while let Some((number, line)) = lines.next().map_err(FileError::unreadable(path))? {
        let place = file.at(number);
        let parsed = match line {
            Ok(line) => PromptLine::parse(line, &mut |wrong| faults.add(&place, wrong)),
            Err(wrong) => {
                faults.add(&place, wrong);
                None
            }
        };
        if let Some(prompt) = parsed {
            take(place, prompt, faults);
        }
    }
    Ok(())
}

impl PromptLine {
    /// Tells `report` all that is wrong with the line; `None` if that is anything.
    fn parse(line: &str, report: &mut dyn FnMut(Wrong)) -> Option<Self> {
        let mut keys = object(line).map_err(&mut *report).ok()?;
        let text = text(&mut keys).map_err(&mut *report);
        let label = name(&mut keys, "label", RouteName::new).map_err(&mut *report);
        let route = name(&mut keys, "route", RouteName::new).map_err(&mut *report);
        let id = name(&mut keys, "id", ReferenceId::new).map_err(&mut *report);
        let route = match (label.ok()?, route.ok()?) {
            (Some(label), Some(route)) if label != route => {
                report(Wrong::LabelsDiffer { label, route });
                return None;
            }
            (label, route) => label.or(route),
        };
        // Not one of our keys: of another type it is somebody else's, and no fault.
        let kind = string(&mut keys, "kind").ok().flatten();
        Some(Self { text: text.ok()?, route, id: id.ok()?, kind })
    }
}

/// serde_json's messages for malformed input name no part of it, so that they may be passed on.
pub(crate) fn object(line: &str) -> Result<Map<String, Value>, Wrong> {
    match serde_json::from_str(line) {
        Ok(Value::Object(keys)) => Ok(keys),
        Ok(_) => Err(Wrong::NotAnObject),
        Err(error) => {
            let place = format!(" at line {} column {}", error.line(), error.column());
            let message = error.to_string();
            let reason = message.strip_suffix(&place).unwrap_or(&message).to_owned();
            Err(Wrong::NotJson { column: error.column(), reason })
        }
    }
}

/// `null` counts as absent.
fn string(keys: &mut Map<String, Value>, key: &'static str) -> Result<Option<String>, Wrong> {
    match keys.get_mut(key).map(Value::take) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(Wrong::NotAString { key }),
    }
}

fn text(keys: &mut Map<String, Value>) -> Result<String, Wrong> {
    let text = string(keys, "text")?.ok_or(Wrong::Missing { key: "text" })?;
    if text.trim().is_empty() {
        return Err(Wrong::EmptyText);
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(Wrong::TextTooLong { bytes: text.len() });
    }
    Ok(text)
}

fn name<T>(
    keys: &mut Map<String, Value>,
    key: &'static str,
    new: impl Fn(&str) -> Result<T, NameError>,
) -> Result<Option<T>, Wrong> {
    Ok(string(keys, key)?.map(|name| new(&name)).transpose()?)
}

/// Writes one line that [`super::read_set`] reads: with `route` for a file with labels, without for a route's own file.
/// The text must be no longer than [`MAX_TEXT_BYTES`], or reading will refuse it.
pub fn write_line(
    out: &mut dyn Write,
    text: &str,
    route: Option<&RouteName>,
    id: Option<&ReferenceId>,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a ReferenceId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        label: Option<&'a RouteName>,
        text: &'a str,
    }
    serde_json::to_writer(&mut *out, &Line { id, label: route, text })?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Result<PromptLine, Vec<Wrong>> {
        let mut wrong = Vec::new();
        PromptLine::parse(line, &mut |fault| wrong.push(fault)).ok_or(wrong)
    }

    fn prompt(text: &str, route: Option<&str>, id: Option<&str>) -> PromptLine {
        PromptLine {
            text: text.to_owned(),
            route: route.map(|name| RouteName::new(name).unwrap()),
            id: id.map(|name| ReferenceId::new(name).unwrap()),
            kind: None,
        }
    }

    #[test]
    fn good_lines_are_read() {
        let cases = [
            (r#"{"text": "hi"}"#, prompt("hi", None, None)),
            (r#"{"text": " hi ", "label": "a", "id": "7"}"#, prompt(" hi ", Some("a"), Some("7"))),
            (r#"{"text": "hi", "route": "a", "outcomes": {"x": [1]}}"#, prompt("hi", Some("a"), None)),
            (r#"{"text": "hi", "route": "a", "label": "a", "id": null}"#, prompt("hi", Some("a"), None)),
            (r#"{"text": "hi", "kind": 3}"#, prompt("hi", None, None)),
            (
                r#"{"text": "hi", "kind": "far"}"#,
                PromptLine { kind: Some("far".to_owned()), ..prompt("hi", None, None) },
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn all_faults_of_a_line_are_told() {
        let long = format!(r#"{{"text": "{}"}}"#, "x".repeat(MAX_TEXT_BYTES + 1));
        let cases = [
            ("3", vec![Wrong::NotAnObject]),
            (r#""a prompt""#, vec![Wrong::NotAnObject]),
            (r#"["a prompt"]"#, vec![Wrong::NotAnObject]),
            (r#"{"label": "a"}"#, vec![Wrong::Missing { key: "text" }]),
            (r#"{"text": " \n"}"#, vec![Wrong::EmptyText]),
            (&long, vec![Wrong::TextTooLong { bytes: MAX_TEXT_BYTES + 1 }]),
            (r#"{"text": ["hi"], "id": 3}"#, vec![Wrong::NotAString { key: "text" }, Wrong::NotAString { key: "id" }]),
            (r#"{"text": "hi", "label": ""}"#, vec![Wrong::Name(NameError::Empty { kind: "route name" })]),
            (
                r#"{"text": "hi", "label": "a", "route": "b"}"#,
                vec![Wrong::LabelsDiffer { label: RouteName::new("a").unwrap(), route: RouteName::new("b").unwrap() }],
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), Err(expected), "{line}");
        }
    }

    #[test]
    fn malformed_json_is_told_with_its_column_and_without_its_text() {
        for line in [r#"{"text": "my secret"#, r#"{"text": my secret}"#, r#"{"text": "my secret \ud800 half"}"#] {
            let faults = parse(line).unwrap_err();
            assert!(matches!(faults.as_slice(), [Wrong::NotJson { column: 1.., .. }]), "{faults:?}");
            assert!(!faults.iter().any(|fault| fault.to_string().contains("secret")), "{faults:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "\\PC{0,5}x[a-z\\n\"\\\\\u{2028}]{1,9}.", route in "[a-z]{1,9}", id in "[a-z?]{1,9}") {
            let expected = prompt(&text, Some(&route), Some(&id));
            let mut line = Vec::new();
            write_line(&mut line, &text, expected.route.as_ref(), expected.id.as_ref()).unwrap();
            let mut lines = Lines::new(line.as_slice());
            let (_, read) = lines.next().unwrap().unwrap();
            prop_assert_eq!(parse(read.unwrap()), Ok(expected));
            prop_assert!(lines.next().unwrap().is_none());
        }
    }
}
