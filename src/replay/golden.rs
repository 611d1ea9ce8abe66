//! Golden prompts from a JSONL file: one request a line, with what is expected of its answer.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::check::Check;
use super::expect;
use super::fault::{Error, LineFault, Wrong};
use super::fields::{Fields, described};
use crate::prompt::{Message, Role};
use crate::provider::{ChatRequest, ResponseSchema};
use crate::reference::{Lines, object};

/// So many faults are told in full.
const MAX_SHOWN: usize = 50;
/// What providers are told that an answer with a schema is called.
const SCHEMA_NAME: &str = "answer";
const KNOWN: [&str; 8] =
    ["id", "prompt", "messages", "system", "max_output_tokens", "temperature", "response_schema", "expect"];
const KNOWN_OF_MESSAGE: [&str; 2] = ["role", "text"];

/// One line: a request and what its answer has to hold.
pub struct Case {
    /// As the file has it, else `line N`. No two cases have the same.
    pub id: String,
    /// From 1.
    pub line: u64,
    pub request: Arc<ChatRequest>,
    /// At least one.
    pub checks: Vec<Check>,
}

/// The cases in their order; blank lines are skipped. Fails if the file cannot be read, or with all faults of its lines.
/// Blocks.
pub fn read(path: &Path) -> Result<Vec<Case>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let mut lines = Lines::new(BufReader::new(File::open(path).map_err(unreadable)?));
    let mut cases = Cases::default();
    while let Some((number, line)) = lines.next().map_err(unreadable)? {
        let mut wrongs = Vec::new();
        let case = match line {
            Ok(line) => parse(number, line, &mut wrongs),
            Err(wrong) => {
                wrongs.push(wrong.into());
                None
            }
        };
        cases.add(number, case, wrongs);
    }
    let Cases { cases, faults, total, .. } = cases;
    match (total, cases.is_empty()) {
        (0, false) => Ok(cases),
        (0, true) => Err(Error::NoPrompts { path: path.to_owned() }),
        _ => Err(Error::Lines { path: path.to_owned(), faults, total }),
    }
}

/// What was read so far.
#[derive(Default)]
struct Cases {
    cases: Vec<Case>,
    /// Lines of ids.
    ids: HashMap<String, u64>,
    faults: Vec<LineFault>,
    total: usize,
}

impl Cases {
    fn add(&mut self, line: u64, case: Option<Case>, mut wrongs: Vec<Wrong>) {
        if let Some(case) = case {
            let first = *self.ids.entry(case.id.clone()).or_insert(line);
            if first == line {
                self.cases.push(case);
            } else {
                wrongs.push(Wrong::DuplicateId { id: case.id, first });
            }
        }
        self.total += wrongs.len();
        let room = MAX_SHOWN.saturating_sub(self.faults.len());
        self.faults.extend(wrongs.into_iter().take(room).map(|wrong| LineFault { line, wrong }));
    }
}

/// `None` if anything is wrong, which `wrongs` tells.
fn parse(line: u64, text: &str, wrongs: &mut Vec<Wrong>) -> Option<Case> {
    let map = object(text).map_err(|wrong| wrongs.push(wrong.into())).ok()?;
    let mut fields = Fields::new(map, "", wrongs);
    let id = fields.text("id").unwrap_or_else(|| format!("line {line}"));
    let messages = conversation(&mut fields);
    let tokens = |value: &Value| value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0);
    let max_output_tokens = fields.take("max_output_tokens", "a whole number from 1 to 4294967295", tokens);
    let warmth =
        |value: &Value| value.as_f64().filter(|warmth| (0.0..=2.0).contains(warmth)).map(|warmth| warmth as f32);
    let temperature = fields.take("temperature", "a number from 0 to 2", warmth);
    let (checks, response_schema) = expectations(&mut fields);
    fields.end(&KNOWN);
    let request = ChatRequest { messages, max_output_tokens, temperature, response_schema, ..ChatRequest::default() };
    wrongs.is_empty().then(|| Case { id, line, request: Arc::new(request), checks })
}

/// `system`, then `prompt` or `messages`.
fn conversation(fields: &mut Fields<'_>) -> Vec<Message> {
    let mut messages: Vec<Message> =
        fields.text("system").map(|text| Message::new(Role::System, text)).into_iter().collect();
    match (fields.has("prompt"), fields.has("messages")) {
        (false, false) => fields.report(Wrong::NoPrompt),
        (true, true) => fields.report(Wrong::Both { key: "prompt", other: "messages" }),
        _ => {}
    }
    messages.extend(fields.text("prompt").map(Message::user));
    let listed = |value: &Value| value.as_array().filter(|turns| !turns.is_empty()).cloned();
    let turns = fields.take("messages", "a list of messages that is not empty", listed).unwrap_or_default();
    for (at, turn) in turns.into_iter().enumerate() {
        messages.extend(message(fields, at, turn));
    }
    messages
}

fn message(fields: &mut Fields<'_>, at: usize, turn: Value) -> Option<Message> {
    let Value::Object(map) = turn else {
        let (key, found) = (format!("messages[{at}]"), described(&turn));
        fields.report(Wrong::NotA { key, found, wanted: "an object with role and text" });
        return None;
    };
    let mut turn = fields.within(map, format!("messages[{at}]."));
    KNOWN_OF_MESSAGE.iter().for_each(|key| turn.require(key));
    let role = turn.take("role", "one of system, user, assistant", |value| match value.as_str()? {
        "system" => Some(Role::System),
        "user" => Some(Role::User),
        "assistant" => Some(Role::Assistant),
        _ => None,
    });
    let text = turn.text("text");
    turn.end(&KNOWN_OF_MESSAGE);
    Some(Message::new(role?, text?))
}

/// The checks, and the schema that the provider is told. Asked for a schema, an answer has to obey it.
fn expectations(fields: &mut Fields<'_>) -> (Vec<Check>, Option<ResponseSchema>) {
    let is_expecting = fields.has("expect") || fields.has("response_schema");
    let expected = fields.object("expect");
    let is_empty = expected.as_ref().is_some_and(serde_json::Map::is_empty);
    let mut checks = expected.map_or_else(Vec::new, |map| expect::checks(fields.within(map, "expect.")));
    let asked = fields.object("response_schema");
    if let Some(source) = &asked {
        let source = Value::Object(source.clone());
        let same = |check: &Check| matches!(check, Check::JsonSchema(schema) if *schema.source() == source);
        if !checks.iter().any(same) {
            checks.extend(asked.clone().and_then(|source| expect::schema(fields, "response_schema", source)));
        }
    }
    if !is_expecting || (is_empty && asked.is_none()) {
        fields.report(Wrong::NothingExpected);
    }
    let response_schema =
        asked.map(|schema| ResponseSchema { name: SCHEMA_NAME.to_owned(), schema: Value::Object(schema) });
    (checks, response_schema)
}

#[cfg(test)]
mod tests;
