//! Prompts from a JSONL file: objects with `text`; whatever else a line holds is not looked at.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::error::{Error, LineFault, WrongLine};

/// Twice the longest prompt that a server can be configured to take, for escapes.
const MAX_LINE_BYTES: usize = 32 << 20;

/// So many faults are told in full.
const MAX_SHOWN: usize = 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The texts in their order; blank lines are skipped. Fails if the file cannot be read, or with all faults of its lines.
pub(super) fn read(path: &Path) -> Result<Vec<String>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let (mut texts, mut faults, mut total) = (Vec::new(), Vec::new(), 0);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = (&mut reader).take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        let parsed = if read > MAX_LINE_BYTES && !line.ends_with(b"\n") {
            reader.skip_until(b'\n').map_err(unreadable)?;
            Err(WrongLine::TooLong { limit: MAX_LINE_BYTES })
        } else {
            let bytes = if number == 1 { line.strip_prefix(BOM).unwrap_or(&line) } else { &line };
            parse(bytes.trim_ascii())
        };
        match parsed {
            Ok(text) => texts.extend(text),
            Err(wrong) => {
                total += 1;
                if faults.len() < MAX_SHOWN {
                    faults.push(LineFault { line: number, wrong });
                }
            }
        }
    }
    match (total, texts.is_empty()) {
        (0, false) => Ok(texts),
        (0, true) => Err(Error::NoPrompts { path: path.to_owned() }),
        _ => Err(Error::Lines { path: path.to_owned(), faults, total }),
    }
}

/// `None` for a blank line.
fn parse(line: &[u8]) -> Result<Option<String>, WrongLine> {
    #[derive(Deserialize)]
    struct Line {
        text: Option<Value>,
    }
    if line.is_empty() {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|error| WrongLine::NotUtf8 { byte: error.valid_up_to() + 1 })?;
    // Serde would take an array for an object, in the order of its fields.
    if !line.starts_with('{') {
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(line);
        return Err(
            valid.map_or_else(|error| WrongLine::NotJson { column: error.column() }, |_| WrongLine::NotAnObject)
        );
    }
    let read: Line = serde_json::from_str(line).map_err(|error| WrongLine::NotJson { column: error.column() })?;
    match read.text {
        None => Err(WrongLine::NoText),
        Some(Value::String(text)) if text.trim().is_empty() => Err(WrongLine::EmptyText),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(WrongLine::NotAString),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(content: impl AsRef<[u8]>) -> Result<Vec<String>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompts.jsonl");
        std::fs::write(&path, content).unwrap();
        read(&path)
    }

    #[test]
    fn texts_are_read_and_the_rest_is_not_looked_at() {
        let content =
            "\u{feff}{\"text\": \"a\", \"label\": \"no name! \", \"n\": [1]}\n\n  {\"id\": 3, \"text\": \" b \"}\r\n";
        assert_eq!(read_text(content).unwrap(), ["a", " b "]);
    }

    #[test]
    fn every_bad_line_is_told_by_its_number_and_without_its_text() {
        let content =
            b"{\"text\": \"ok\"}\n{\"text\": \"secret\n[\"secret\"]\n{\"prompt\": \"secret\"}\n\n{\"text\": 7}\n\
            {\"text\": \" \"}\nsecret\n{\"text\": \"\xff\"}\n{\"text\": null}\n";
        let error = read_text(content).unwrap_err();
        let Error::Lines { faults, total, .. } = &error else { panic!("{error}") };
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let expected = [
            "line 2: not valid JSON at column 16",
            "line 3: not a JSON object",
            "line 4: text is missing",
            "line 6: text is not a string",
            "line 7: text is empty",
            "line 8: not valid JSON at column 1",
            "line 9: not valid UTF-8 from byte 11",
            "line 10: text is missing",
        ];
        assert_eq!((told.as_slice(), *total), (expected.map(str::to_owned).as_slice(), 8));
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn many_faults_are_counted() {
        let error = read_text("{}\n".repeat(50)).unwrap_err().to_string();
        assert!(error.contains("50 faults") && error.ends_with("and 30 more"), "{error}");
    }

    #[test]
    fn nothing_to_send_is_an_error() {
        for empty in ["", "\n \n"] {
            assert!(matches!(read_text(empty), Err(Error::NoPrompts { .. })));
        }
        assert!(matches!(read(Path::new("absent.jsonl")), Err(Error::Unreadable { .. })));
        assert!(matches!(read(Path::new("src")), Err(Error::Unreadable { .. })));
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_told() {
        let content = format!("{{\"text\": \"{}\"}}\n{{\"text\": \"b\"}}\n", "x".repeat(MAX_LINE_BYTES));
        let error = read_text(content).unwrap_err();
        let wrong = WrongLine::TooLong { limit: MAX_LINE_BYTES };
        assert!(matches!(&error, Error::Lines { faults, .. } if *faults == [LineFault { line: 1, wrong }]), "{error}");
    }
}
