//! What a key may do to the service itself. Apart from the right to send prompts, which a key has or has not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Each role may do what the one before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Looks at sets, versions, proposals and the state of the server.
    ReadOnly,
    /// Changes drafts as well.
    Write,
    /// Changes what is served as well, and gives out keys.
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::ReadOnly, Self::Write, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: read-only, write or admin")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| RoleError(text.to_owned()))
    }
}
