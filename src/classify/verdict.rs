//! What an LLM's answer says. Strict: whatever is not exactly the JSON that was asked for is no verdict.

use serde::Deserialize;

use crate::reference::RouteIndex;
// The name by which the LLM says that no route applies. No route may be called so.
pub use crate::reference::NO_ROUTE as NONE;

/// A usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Position in the shortlist.
    Route(usize),
    NoneApplies,
}

impl Verdict {
    /// The route that is meant.
    pub fn among(&self, shortlist: &[RouteIndex]) -> Option<RouteIndex> {
        match self {
            Self::NoneApplies => None,
            Self::Route(position) => shortlist.get(*position).copied(),
        }
    }
}

/// Why an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoVerdict {
    #[error("the answer is empty")]
    Empty,
    #[error("the answer is not the JSON object that was asked for")]
    NotTheSchema,
    #[error("the answer names a route that is not on the shortlist")]
    UnknownRoute,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    route: String,
}

/// Reads an answer of the form `{"route": "NAME"}`. Reasoning before or after it, code fences, other fields, an
/// unknown name and white space alone are no verdict.
pub fn read(answer: &str, shortlist: &[&str]) -> Result<Verdict, NoVerdict> {
    if answer.trim().is_empty() {
        return Err(NoVerdict::Empty);
    }
    let answer: Answer = serde_json::from_str(answer).map_err(|_| NoVerdict::NotTheSchema)?;
    named(&answer.route, shortlist)
}

/// The verdict that an answer names.
pub fn named(name: &str, shortlist: &[&str]) -> Result<Verdict, NoVerdict> {
    if name == NONE {
        return Ok(Verdict::NoneApplies);
    }
    let position = shortlist.iter().position(|known| *known == name);
    position.map(Verdict::Route).ok_or(NoVerdict::UnknownRoute)
}

/// The JSON schema that answers are constrained to.
pub fn schema(shortlist: &[&str]) -> serde_json::Value {
    let names: Vec<&str> = shortlist.iter().copied().chain([NONE]).collect();
    serde_json::json!({
        "type": "object",
        "properties": { "route": { "type": "string", "enum": names } },
        "required": ["route"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_schema_is_a_verdict() {
        let shortlist = ["maths", "chit-chat"];
        let table = [
            (r#"{"route":"maths"}"#, Ok(Verdict::Route(0))),
            ("\n {\"route\": \"chit-chat\"}\n", Ok(Verdict::Route(1))),
            (r#"{"route":"none"}"#, Ok(Verdict::NoneApplies)),
            ("", Err(NoVerdict::Empty)),
            (" \n\t\n   ", Err(NoVerdict::Empty)),
            ("maths", Err(NoVerdict::NotTheSchema)),
            ("\"maths\"", Err(NoVerdict::NotTheSchema)),
            ("```json\n{\"route\":\"maths\"}\n```", Err(NoVerdict::NotTheSchema)),
            ("<think>numbers</think>{\"route\":\"maths\"}", Err(NoVerdict::NotTheSchema)),
            (r#"{"route":"maths"} because"#, Err(NoVerdict::NotTheSchema)),
            (r#"{"route":"maths","why":"numbers"}"#, Err(NoVerdict::NotTheSchema)),
            (r#"{"route":["maths"]}"#, Err(NoVerdict::NotTheSchema)),
            (r#"{"route":"mat"#, Err(NoVerdict::NotTheSchema)),
            (r#"{"route":"Maths"}"#, Err(NoVerdict::UnknownRoute)),
            (r#"{"route":"poetry"}"#, Err(NoVerdict::UnknownRoute)),
        ];
        for (answer, expected) in table {
            assert_eq!(read(answer, &shortlist), expected, "{answer:?}");
        }
    }

    #[test]
    fn the_schema_lists_the_shortlist_and_none() {
        let names = &schema(&["a", "b"])["properties"]["route"]["enum"];
        assert_eq!(*names, serde_json::json!(["a", "b", "none"]));
    }
}
