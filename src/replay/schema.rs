//! Whether an answer is JSON of the form that a schema asks for. The only file that names the validator, `boon`.

use boon::{Compiler, Draft, SchemaIndex, Schemas, SchemeUrlLoader, ValidationError};
use serde_json::Value;

/// Where a schema stands for the validator; nothing is ever fetched.
const PLACE: &str = "https://schema.invalid/answer";
const FENCE: &str = "```";

/// Of draft 2020-12, unless its `$schema` says otherwise. It cannot refer to other documents. `format` is checked, for
/// who writes it expects that.
pub struct Schema {
    source: Value,
    compiled: Schemas,
    root: SchemaIndex,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(String);

/// How an answer falls short of its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lapse {
    /// A program that reads the answer as JSON fails, though what is in the fence is right.
    #[error("JSON in a fence")]
    Fenced,
    #[error("no JSON: {reason}")]
    NotJson { reason: String },
    #[error("JSON of another form: {reason}")]
    Invalid { reason: String },
}

impl Lapse {
    /// A word that does not change between versions.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::NotJson { .. } => "not_json",
            Self::Invalid { .. } => "invalid",
        }
    }
}

impl Schema {
    pub fn new(source: Value) -> Result<Self, SchemaError> {
        let failed = |error: boon::CompileError| SchemaError(one_line(&format!("{error:#}")));
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.enable_format_assertions();
        // Without a scheme it loads nothing; by default it would read files.
        compiler.use_loader(Box::new(SchemeUrlLoader::new()));
        compiler.add_resource(PLACE, source.clone()).map_err(failed)?;
        let mut compiled = Schemas::new();
        let root = compiler.compile(PLACE, &mut compiled).map_err(failed)?;
        Ok(Self { source, compiled, root })
    }

    /// As it was written.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Whether the whole answer, white space at its ends aside, is JSON that obeys the schema.
    pub fn check(&self, answer: &str) -> Result<(), Lapse> {
        match serde_json::from_str(answer) {
            Ok(value) => self.validate(&value),
            Err(error) => match fenced(answer).and_then(|inner| serde_json::from_str(inner).ok()) {
                Some(value) => self.validate(&value).and(Err(Lapse::Fenced)),
                None => Err(Lapse::NotJson { reason: error.to_string() }),
            },
        }
    }

    fn validate(&self, value: &Value) -> Result<(), Lapse> {
        let valid = self.compiled.validate(value, self.root);
        valid.map_err(|error| Lapse::Invalid { reason: innermost(&error) })
    }
}

/// What stands in the first fence, with text around it or without. JSON has no line ends within strings, so that a fence
/// at the begin of a line is its end.
fn fenced(answer: &str) -> Option<&str> {
    let (_, rest) = answer.split_once(FENCE)?;
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let (inner, _) = rest.split_once("\n```").or_else(|| rest.split_once(FENCE))?;
    Some(inner)
}

/// The first cause, which names the place and the fault; the others say that something below them is wrong.
fn innermost(error: &ValidationError<'_, '_>) -> String {
    let mut cause = error;
    while let Some(inner) = cause.causes.first() {
        cause = inner;
    }
    let place = cause.instance_location.to_string();
    let place = if place.is_empty() { "the answer".to_owned() } else { place };
    one_line(&format!("at {place}: {}", cause.kind))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        let schema = json!({
            "type": "object", "required": ["city"], "additionalProperties": false,
            "properties": {"city": {"type": "string"}, "since": {"type": "string", "format": "date"}},
        });
        Schema::new(schema).unwrap()
    }

    #[test]
    fn adherence_has_its_words() {
        let check = |answer: &str, expected: Option<&str>| {
            assert_eq!(schema().check(answer).err().map(|lapse| lapse.kind()), expected, "{answer:?}");
        };
        check(r#"{"city": "Bern"}"#, None);
        check("\n {\"city\": \"Bern\", \"since\": \"1848-11-28\"} \n", None);
        for fenced in [
            "```json\n{\"city\": \"Bern\"}\n```",
            "Here you are:\n```\n{\"city\": \"B```ern\"}\n```\nAnything else?",
            "```json{\"city\": \"Bern\"}```",
        ] {
            check(fenced, Some("fenced"));
        }
        for other in ["", "Bern", "{\"city\": \"Bern\"", "{\"city\": \"Bern\"} and more", "```json\nBern\n```", "```"] {
            check(other, Some("not_json"));
        }
        for invalid in
            ["[]", "{}", r#"{"city": 7}"#, r#"{"city": "x", "since": "soon"}"#, "```\n{\"city\": 7}\n```", "null"]
        {
            check(invalid, Some("invalid"));
        }
    }

    #[test]
    fn a_lapse_says_what_is_wrong_and_where() {
        let said = |answer: &str| schema().check(answer).unwrap_err().to_string();
        assert_eq!(said(r#"{"city": 7}"#), "JSON of another form: at /city: want string, but got number");
        assert!(said("{}").contains("missing properties 'city'"), "{}", said("{}"));
        assert!(said("{").starts_with("no JSON: EOF"), "{}", said("{"));
    }

    #[test]
    fn what_is_no_schema_is_told() {
        let check = |schema: Value, expected: &str| {
            let Err(error) = Schema::new(schema) else { panic!("{expected}: it was taken") };
            let error = error.to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{expected} is not in {error}");
        };
        check(json!({"type": "strnig"}), "type");
        check(json!({"pattern": "("}), "pattern");
        check(json!({"$ref": "#/$defs/absent"}), "absent");
        check(json!({"$schema": "https://example.com/mine"}), "example.com");
    }

    #[test]
    fn nothing_is_fetched_and_no_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.json");
        std::fs::write(&path, "{}").unwrap();
        for elsewhere in [format!("file://{}", path.display()), "https://example.com/other.json".to_owned()] {
            assert!(Schema::new(json!({"$ref": elsewhere})).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn a_schema_of_itself_ends() {
        let list = Schema::new(json!({"properties": {"next": {"$ref": "#"}}, "required": ["value"]})).unwrap();
        assert!(list.check(r#"{"value": 1, "next": {"value": 2}}"#).is_ok());
        assert!(list.check(r#"{"value": 1, "next": {}}"#).is_err());
        let deep = format!("{}1{}", "{\"value\":1,\"next\":".repeat(10_000), "}".repeat(10_000));
        assert_eq!(list.check(&deep).unwrap_err().kind(), "not_json");
        let endless = Schema::new(json!({"$ref": "#"}));
        assert!(endless.is_err() || endless.is_ok_and(|schema| schema.check("{}").is_err()));
    }
}
