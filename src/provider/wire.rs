//! What the wire formats have in common: reading JSON without quoting it, and merging a caller's extra fields.

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::error::Error;
use super::redact::bounded;
use super::request::FinishReason;

/// Names that `extra` never replaces, in any wire format: what is asked of whom, and how the answer comes.
const PROTECTED: [&str; 8] =
    ["model", "messages", "system", "contents", "systemInstruction", "system_instruction", "stream", "stream_options"];

/// Longest model name or finish reason that is taken over from an answer, in characters.
const MAX_WORD_CHARS: usize = 128;

/// Reads an answer. The error says where it is unlike the format, never what stands there: it may be the prompt's echo.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = match error.classify() {
            Category::Syntax if bytes.trim_ascii_start().starts_with(b"<") => "an HTML or XML page, not JSON",
            Category::Eof if bytes.trim_ascii().is_empty() => "an empty body",
            Category::Syntax | Category::Io => "not JSON",
            Category::Eof => "JSON that ends too early",
            Category::Data => "JSON of another form",
        };
        Error::malformed(format!("{what} (line {}, column {})", error.line(), error.column()))
    })
}

/// Merges a caller's extra fields into a body: objects field by field, all else replaced.
pub(super) fn merge(body: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (name, value) in extra {
        if !PROTECTED.contains(&name.as_str()) {
            merge_field(body, name, value);
        }
    }
}

fn merge_field(body: &mut Map<String, Value>, name: &str, value: &Value) {
    match (body.get_mut(name), value) {
        (Some(Value::Object(ours)), Value::Object(theirs)) => {
            for (name, value) in theirs {
                merge_field(ours, name, value);
            }
        }
        _ => {
            body.insert(name.to_owned(), value.clone());
        }
    }
}

/// Sets a field if there is a value. Infinite and NaN numbers, which JSON lacks, are left out.
pub(super) fn set(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value.map(Into::into).filter(|value| !value.is_null()) {
        body.insert(name.to_owned(), value);
    }
}

/// The number as it was written: 0.7 as an f32 would become 0.699999988079071 as an f64.
pub(super) fn decimal(number: f32) -> Option<f64> {
    number.to_string().parse().ok()
}

/// A word of the provider's, bounded.
pub(super) fn word(text: &str) -> String {
    bounded(text, MAX_WORD_CHARS)
}

/// For an answer that ended without saying why.
pub(super) fn unreported() -> FinishReason {
    FinishReason::Other("unreported".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn extra_fields_are_merged_but_do_not_replace_the_request() {
        let mut body = json!({"model": "m", "messages": [], "generationConfig": {"topP": 0.5, "seed": 1}});
        let extra = json!({
            "model": "other", "messages": ["x"], "stream": true, "system": "y",
            "generationConfig": {"seed": 2, "thinkingConfig": {"thinkingBudget": 0}}, "user": "u",
        });
        merge(body.as_object_mut().unwrap(), extra.as_object().unwrap());
        let expected = json!({
            "model": "m", "messages": [],
            "generationConfig": {"topP": 0.5, "seed": 2, "thinkingConfig": {"thinkingBudget": 0}}, "user": "u",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn numbers_are_sent_as_they_were_written() {
        let mut body = Map::new();
        set(&mut body, "temperature", decimal(0.7));
        set(&mut body, "top_p", decimal(f32::NAN));
        set(&mut body, "seed", None::<i64>);
        assert_eq!(Value::Object(body).to_string(), r#"{"temperature":0.7}"#);
    }

    #[test]
    fn a_malformed_answer_is_described_but_not_quoted() {
        let check = |bytes: &[u8], expected: &str| {
            let error = read::<Vec<u32>>(bytes).unwrap_err().to_string();
            assert_eq!(error, format!("malformed answer: {expected}"));
        };
        check(b"<html>secret</html>", "an HTML or XML page, not JSON (line 1, column 1)");
        check(b"", "an empty body (line 1, column 0)");
        check(b"[1", "JSON that ends too early (line 1, column 2)");
        check(b"[\"secret\"]", "JSON of another form (line 1, column 9)");
        check(b"[\xff]", "not JSON (line 1, column 2)");
    }
}
