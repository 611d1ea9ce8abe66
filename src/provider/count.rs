//! Tokens as providers count them, believed only as far as they can be true.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::request::Usage;

/// More than any model reads or writes in one call.
const MAX_TOKENS: u64 = 1_000_000_000;

/// A number out of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Count {
    #[default]
    Absent,
    /// Negative, fractional, absurdly large, or no number.
    Unbelievable,
    Given(u64),
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => Self::Absent,
            Value::Number(number) => whole(&number).map_or(Self::Unbelievable, Self::Given),
            _ => Self::Unbelievable,
        })
    }
}

/// Some servers write `12.0`.
fn whole(number: &serde_json::Number) -> Option<u64> {
    let fraction = || number.as_f64().filter(|number| number.fract() == 0.0 && (0.0..1e15).contains(number));
    number.as_u64().or_else(|| fraction().map(|number| number as u64)).filter(|number| *number <= MAX_TOKENS)
}

impl Count {
    pub(super) fn or(self, older: Self) -> Self {
        if self == Self::Absent { older } else { self }
    }

    /// What is not known counts as none.
    pub(super) fn or_zero(self) -> u64 {
        match self {
            Self::Given(number) => number,
            Self::Absent | Self::Unbelievable => 0,
        }
    }

    pub(super) fn plus(self, more: Self) -> Self {
        match (self, more) {
            (Self::Unbelievable, _) | (_, Self::Unbelievable) => Self::Unbelievable,
            (Self::Absent, other) | (other, Self::Absent) => other,
            (Self::Given(one), Self::Given(other)) => Self::Given(one.saturating_add(other)),
        }
    }
}

/// `None` if neither is given, or one of them cannot be true: then the other is not believed either.
pub(super) fn usage(input: Count, output: Count) -> Option<Usage> {
    match (input, output) {
        (Count::Unbelievable, _) | (_, Count::Unbelievable) | (Count::Absent, Count::Absent) => None,
        (input, output) => Some(Usage::new(input.or_zero(), output.or_zero())),
    }
}

/// For parts of an answer that must not make it worthless: of another form than expected, they count as absent.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_believed_as_far_as_they_can_be_true() {
        let check =
            |json: &str, expected: Count| assert_eq!(serde_json::from_str::<Count>(json).unwrap(), expected, "{json}");
        check("12", Count::Given(12));
        check("12.0", Count::Given(12));
        check("0", Count::Given(0));
        check("null", Count::Absent);
        for odd in
            ["-1", "-1.0", "12.5", "1e300", "18446744073709551615", "18446744073709551616", "\"12\"", "[]", "true"]
        {
            check(odd, Count::Unbelievable);
        }
    }

    #[test]
    fn usage_is_known_whole_or_not_at_all() {
        use Count::*;
        assert_eq!(usage(Given(3), Given(2)), Some(Usage::new(3, 2)));
        assert_eq!(usage(Given(3), Absent), Some(Usage::new(3, 0)));
        assert_eq!(usage(Absent, Absent), None);
        assert_eq!(usage(Given(3), Unbelievable), None);
        assert_eq!(usage(Unbelievable, Given(3)), None);
    }
}
