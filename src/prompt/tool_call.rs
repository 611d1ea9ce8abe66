//! What a model asks a tool for, and what a tool's turn answers.

/// A call of a tool by the model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolCall {
    /// The provider's, or made up where it gives none; a tool's turn answers by it.
    pub id: String,
    pub name: String,
    /// JSON as the model wrote it: perhaps not of the tool's schema, and cut off where the limit of tokens was met.
    pub arguments: String,
    /// Gemini's seal on the thoughts that led to the call; it is sent back with it, and to nobody else.
    pub signature: Option<String>,
}

/// Which call a tool's turn answers, and how it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub call_id: String,
    /// The tool failed; the text says how.
    pub failed: bool,
}
