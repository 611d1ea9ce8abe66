//! What a request may need of a model beyond text in and text out.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    Tools,
    /// Images in the prompt.
    Vision,
    /// An answer that obeys a JSON schema.
    JsonSchema,
}

impl Capability {
    pub const ALL: [Self; 3] = [Self::Tools, Self::Vision, Self::JsonSchema];

    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Vision => "vision",
            Self::JsonSchema => "json-schema",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
