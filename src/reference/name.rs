//! Names and ids as types, checked once at the door. A name that exists is valid everywhere behind it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name or id in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 128;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{kind} is empty")]
    Empty { kind: &'static str },
    #[error("{kind} has {bytes} bytes, at most {MAX_NAME_BYTES} are allowed")]
    TooLong { kind: &'static str, bytes: usize },
    #[error("{kind} {name:?} holds a control character or leading or trailing white space")]
    Unprintable { kind: &'static str, name: String },
}

fn checked(kind: &'static str, name: &str) -> Result<Arc<str>, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong { kind, bytes: name.len() });
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err(NameError::Unprintable { kind, name: name.to_owned() });
    }
    Ok(name.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks that `name` is not empty, has at most [`MAX_NAME_BYTES`] bytes, no control characters and no
            /// white space at its ends.
            pub fn new(name: &str) -> Result<Self, NameError> {
                checked($kind, name).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(&name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// Name of a reference set, for example `assistant`.
    SetName,
    "reference set name"
);
name!(
    /// Name of a route, for example `code-writing`. The word `none` is reserved: what bears it belongs to no route.
    RouteName,
    "route name"
);
name!(
    /// Id of a reference prompt, unique in its set.
    ReferenceId,
    "reference id"
);
name!(
    /// Name of a target: a provider, model and region to which a route may be sent.
    TargetName,
    "target name"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "Refund_not_showing_up", "reverted_card_payment?", "météo", "two words"] {
            assert_eq!(RouteName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", " a", "a\n", "a\u{0}b", &"x".repeat(129)] {
            assert!(RouteName::new(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
