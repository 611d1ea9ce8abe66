//! The tools that a model may ask for.

use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// 1 to 64 letters, digits, `_` and `-`: what all providers take.
    pub name: String,
    /// Empty: none.
    pub description: String,
    /// JSON schema of the arguments, an object's. Empty: no arguments.
    pub parameters: Map<String, Value>,
    /// Whether the arguments must obey the schema. `None`: as the provider likes.
    pub strict: Option<bool>,
    /// Everything up to this tool is worth keeping in the provider's prompt cache.
    pub cache_mark: bool,
}

impl Tool {
    /// The schema of the arguments; providers want one also where there are none.
    pub(super) fn schema(&self) -> Value {
        if self.parameters.is_empty() {
            return serde_json::json!({"type": "object", "properties": {}});
        }
        Value::Object(self.parameters.clone())
    }
}

/// Whether the model has to ask for a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    None,
    /// One of them.
    Required,
    /// This one.
    Named(String),
}
