//! A number of bytes as people write it: `67108864`, `"64 MiB"`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no size: give a whole number of bytes, or one with B, kB, KiB, MB, MiB, GB or GiB")]
pub struct NoByteSize(String);

impl FromStr for ByteSize {
    type Err = NoByteSize;

    fn from_str(text: &str) -> Result<Self, NoByteSize> {
        let no_size = || NoByteSize(text.chars().take(40).collect());
        let digits = text.trim().trim_end_matches(|end: char| !end.is_ascii_digit());
        let unit = text.trim()[digits.len()..].trim();
        let number: u64 = digits.parse().map_err(|_| no_size())?;
        let factor = match unit {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(no_size)?,
        };
        number.checked_mul(factor).map(Self).ok_or_else(no_size)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText)
    }
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 1048576 or \"64 MiB\"")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<ByteSize, E> {
        u64::try_from(number).map(ByteSize).map_err(|_| E::custom(NoByteSize(number.to_string())))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let table = [
            ("0", Some(0)),
            ("1048576", Some(1 << 20)),
            ("64 MiB", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            (" 2 GB ", Some(2_000_000_000)),
            ("512 B", Some(512)),
            ("", None),
            ("MiB", None),
            ("64 mib", None),
            ("-1", None),
            ("1.5 GiB", None),
            ("18446744073709551615 KiB", None),
            ("é", None),
            ("1é", None),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<ByteSize>().ok(), expected.map(ByteSize), "{text:?}");
        }
    }
}
