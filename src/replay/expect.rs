//! `expect` of a golden line: what its keys mean as checks.

use regex::Regex;
use serde_json::{Map, Value};

use super::check::Check;
use super::fault::Wrong;
use super::fields::Fields;
use super::schema::Schema;
use crate::provider::FinishReason;

const KNOWN: [&str; 6] = ["exact", "contains", "not_contains", "regex", "json_schema", "finish"];

/// All that is expected. A check that every answer would pass, such as the empty pattern, is a fault.
pub(super) fn checks(mut fields: Fields<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let exact = fields.take("exact", "a text", |value| value.as_str().map(|text| text.trim().to_owned()));
    checks.extend(exact.map(Check::Exact));
    checks.extend(texts(&mut fields, "contains").into_iter().map(Check::Contains));
    checks.extend(texts(&mut fields, "not_contains").into_iter().map(Check::NotContains));
    checks.extend(regex(&mut fields));
    if let Some(source) = fields.object("json_schema") {
        checks.extend(schema(&mut fields, "json_schema", source));
    }
    checks.extend(fields.take("finish", "one of stop, length, content_filter, tool_calls", finish).map(Check::Finish));
    fields.end(&KNOWN);
    checks
}

/// One text or a list of them.
fn texts(fields: &mut Fields<'_>, key: &str) -> Vec<String> {
    let full = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let read = |value: &Value| match value {
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => items.iter().map(full).collect(),
        one => full(one).map(|text| vec![text]),
    };
    fields.take(key, "a text or a list of texts, none of them empty", read).unwrap_or_default()
}

fn regex(fields: &mut Fields<'_>) -> Option<Check> {
    let pattern = fields.text("regex")?;
    match Regex::new(&pattern) {
        Ok(regex) => Some(Check::Regex(regex)),
        Err(error) => {
            // The lines above the last one draw the pattern.
            let said = error.to_string();
            let reason = said.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            fields.report(Wrong::Regex { key: fields.name("regex"), reason });
            None
        }
    }
}

pub(super) fn schema(fields: &mut Fields<'_>, key: &str, source: Map<String, Value>) -> Option<Check> {
    match Schema::new(Value::Object(source)) {
        Ok(schema) => Some(Check::JsonSchema(schema)),
        Err(reason) => {
            fields.report(Wrong::Schema { key: fields.name(key), reason });
            None
        }
    }
}

fn finish(value: &Value) -> Option<FinishReason> {
    match value.as_str()? {
        "stop" => Some(FinishReason::Stop),
        "length" => Some(FinishReason::Length),
        "content_filter" => Some(FinishReason::ContentFilter),
        "tool_calls" => Some(FinishReason::ToolCalls),
        _ => None,
    }
}
