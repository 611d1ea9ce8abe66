//! What the wire formats have in common: bodies that say what they leave out, and reading JSON without quoting it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::answer::FinishReason;
use super::error::Error;
use super::redact::bounded;

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

/// What is sent, and what the wire format had no place for: paths of the request's fields.
pub(super) struct Encoded {
    pub(super) body: Value,
    pub(super) dropped: Vec<String>,
}

/// An image's bytes as JSON carries them.
pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The arguments of a tool call as an object. The door lets nothing else in, and none at all stands for an empty one.
pub(super) fn arguments(text: &str) -> Value {
    serde_json::from_str(text).ok().filter(Value::is_object).unwrap_or_else(|| Value::Object(Map::new()))
}

/// The other way round: a call without arguments is one with an empty object.
pub(super) fn arguments_text(input: &Value) -> String {
    if input.is_null() { "{}".to_owned() } else { input.to_string() }
}

/// A call's id for APIs that take letters, digits, `_` and `-` only; ids of other providers hold more.
pub(super) fn tool_id(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}

/// Sets a field if there is a value. Infinite and NaN numbers, which JSON lacks, are left out.
pub(super) fn set(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value.map(Into::into).filter(|value| !value.is_null()) {
        body.insert(name.to_owned(), value);
    }
}

/// Adds a field to an object.
pub(super) fn insert(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value.into());
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
    FinishReason::default()
}

#[cfg(test)]
mod tests {
    use super::*;

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
