//! The form that an answer must have.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Default)]
pub enum ResponseFormat {
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    Schema(ResponseSchema),
}

impl ResponseFormat {
    pub fn schema(&self) -> Option<&ResponseSchema> {
        match self {
            Self::Schema(schema) => Some(schema),
            Self::Text | Self::JsonObject => None,
        }
    }
}

/// JSON schema that the answer has to obey.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseSchema {
    /// Letters, digits, `_` and `-`; sent where the wire format has a place for it.
    pub name: String,
    pub schema: Value,
    /// OpenAI's strict mode, which wants every property `required` and `additionalProperties: false` in each object.
    /// Anthropic and Gemini know nothing else than a schema that holds.
    pub strict: bool,
}
