//! The status codes of gRPC, by their names in the specification.

use std::fmt;

use crate::rpc_code::NAMES;

/// See <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>. Codes that it does not know are UNKNOWN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Code(u8);

/// A call that did not end with OK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: Code,
    /// The server said so. Otherwise nothing came from it, and the code is what a gRPC library would make of that.
    pub(super) answered: bool,
}

impl Failure {
    pub(super) fn answered(code: Code) -> Self {
        Self { code, answered: true }
    }

    pub(super) fn unanswered(code: Code) -> Self {
        Self { code, answered: false }
    }
}

impl Code {
    pub(super) const OK: Self = Self(0);
    pub(super) const CANCELLED: Self = Self(1);
    pub(super) const UNKNOWN: Self = Self(2);
    pub(super) const DEADLINE_EXCEEDED: Self = Self(4);
    pub(super) const PERMISSION_DENIED: Self = Self(7);
    pub(super) const RESOURCE_EXHAUSTED: Self = Self(8);
    pub(super) const UNIMPLEMENTED: Self = Self(12);
    pub(super) const INTERNAL: Self = Self(13);
    pub(super) const UNAVAILABLE: Self = Self(14);
    pub(super) const UNAUTHENTICATED: Self = Self(16);

    /// From the value of `grpc-status`.
    pub(super) fn parse(text: &[u8]) -> Self {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        number.filter(|number| usize::from(*number) < NAMES.len()).map_or(Self::UNKNOWN, Self)
    }

    /// For an answer that is not gRPC's: a proxy spoke.
    ///
    /// See <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>.
    pub(super) fn of_http(status: u16) -> Self {
        match status {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 | 502..=504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }

    pub(super) fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("UNKNOWN")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_of_the_specification() {
        for number in 0..17 {
            let name = Code::parse(number.to_string().as_bytes()).name();
            let known = format!("{:?}", tonic::Code::from(number));
            assert_eq!(name.replace('_', "").to_lowercase(), known.to_lowercase());
        }
        for odd in ["17", "-1", "", "8x", "300"] {
            assert_eq!(Code::parse(odd.as_bytes()), Code::UNKNOWN, "{odd:?}");
        }
        assert_eq!(Code::RESOURCE_EXHAUSTED.to_string(), "RESOURCE_EXHAUSTED");
        assert_eq!((Code::of_http(503), Code::of_http(418)), (Code::UNAVAILABLE, Code::UNKNOWN));
    }
}
