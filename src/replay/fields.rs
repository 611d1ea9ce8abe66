//! The keys of a JSON object, taken out one by one. What is wrong is gathered, so that all of it is told at once.

use serde_json::{Map, Value};

use super::fault::Wrong;

/// Longest part of an unknown key that is repeated, in characters.
const MAX_KEY_CHARS: usize = 64;

pub(super) struct Fields<'a> {
    map: Map<String, Value>,
    /// What stands before each key in a fault, for example `expect.`.
    path: String,
    faults: &'a mut Vec<Wrong>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: Map<String, Value>, path: impl Into<String>, faults: &'a mut Vec<Wrong>) -> Self {
        Self { map, path: path.into(), faults }
    }

    /// The fields of an object within this one.
    pub(super) fn within(&mut self, map: Map<String, Value>, path: impl Into<String>) -> Fields<'_> {
        Fields::new(map, path, self.faults)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Takes a key out; `None` if it is absent, or not what is `wanted`, which is a fault.
    pub(super) fn take<T>(
        &mut self,
        key: &str,
        wanted: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.map.remove(key)?;
        let taken = read(&value);
        if taken.is_none() {
            self.report(Wrong::NotA { key: self.name(key), found: described(&value), wanted });
        }
        taken
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let full = |value: &Value| value.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
        self.take(key, "a text that is not empty", full)
    }

    pub(super) fn object(&mut self, key: &str) -> Option<Map<String, Value>> {
        self.take(key, "a JSON object", |value| value.as_object().cloned())
    }

    /// Whether it is there is asked before it is taken.
    pub(super) fn require(&mut self, key: &str) {
        if !self.has(key) {
            self.report(Wrong::Missing { key: self.name(key) });
        }
    }

    pub(super) fn report(&mut self, wrong: Wrong) {
        self.faults.push(wrong);
    }

    /// With its path.
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// Whatever is left is not known.
    pub(super) fn end(mut self, known: &'static [&'static str]) {
        for (key, _) in std::mem::take(&mut self.map) {
            let key: String = key.escape_debug().take(MAX_KEY_CHARS).collect();
            self.report(Wrong::UnknownKey { key: self.name(&key), known });
        }
    }
}

/// What a value is, without any text of it.
pub(super) fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.trim().is_empty() => "an empty text".to_owned(),
        Value::String(_) => "a text".to_owned(),
        Value::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
