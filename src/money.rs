//! Money in whole numbers, and what tokens cost.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::provider::Usage;

/// In billionths of the unit that prices are given in. Never below zero, and as much as can be counted at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Money(pub u64);

impl Money {
    pub const ZERO: Self = Self(0);

    /// From whole units; what is below zero or not a number is zero. Rounded up.
    pub fn from_units(units: f64) -> Self {
        // `as` rounds what is too large to the greatest number.
        Self((units * 1e9).ceil().max(0.0) as u64)
    }

    pub fn units(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// In whole units, with as many places as are needed: `0.25`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        match rest {
            0 => write!(f, "{units}"),
            _ => write!(f, "{units}.{}", format!("{rest:09}").trim_end_matches('0')),
        }
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Money {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::ZERO, Add::add)
    }
}

/// Of a million tokens, in whole units.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub input: f64,
    pub output: f64,
    /// Of input read from the provider's prompt cache. Default: as other input.
    #[serde(default)]
    pub cached_input: Option<f64>,
    /// Of input written to the provider's prompt cache. Default: as other input.
    #[serde(default)]
    pub cache_write: Option<f64>,
}

impl Prices {
    pub const fn new(input: f64, output: f64) -> Self {
        Self { input, output, cached_input: None, cache_write: None }
    }

    /// Rounded up to a billionth, so that many small calls never cost less than is counted. Cached tokens beyond the
    /// input itself are not believed.
    pub fn cost(&self, usage: Usage) -> Money {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let written = usage.cache_write_tokens.min(usage.input_tokens - cached);
        let parts = [
            (usage.input_tokens - cached - written, self.input),
            (cached, self.cached_input.unwrap_or(self.input)),
            (written, self.cache_write.unwrap_or(self.input)),
            (usage.output_tokens, self.output),
        ];
        Money::from_units(parts.into_iter().map(|(tokens, price)| tokens as f64 * price).sum::<f64>() / 1e6)
    }

    /// Every fault: field and what is wrong.
    pub fn faults(&self) -> Vec<(String, String)> {
        let fields = [
            ("input", Some(self.input)),
            ("output", Some(self.output)),
            ("cached_input", self.cached_input),
            ("cache_write", self.cache_write),
        ];
        let given = fields.into_iter().filter_map(|(field, price)| Some((field, price?)));
        let wrong = given.filter(|(_, price)| !(0.0..=MAX_PRICE).contains(price));
        wrong
            .map(|(field, price)| {
                (field.to_owned(), format!("is {price}, must be from 0 to {MAX_PRICE} a million tokens"))
            })
            .collect()
    }
}

/// Of a million tokens.
const MAX_PRICE: f64 = 1e6;

/// What prices and amounts are in: a code of ISO 4217, three capital letters. Default: `USD`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Currency(Arc<str>);

impl Currency {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self("USD".into())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is {0:?}, must be a currency's three capital letters, for example \"USD\"")]
pub struct NoCurrency(String);

impl TryFrom<String> for Currency {
    type Error = NoCurrency;

    fn try_from(code: String) -> Result<Self, NoCurrency> {
        let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        if is_code { Ok(Self(code.into())) } else { Err(NoCurrency(code)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_three_capital_letters() {
        let read = |code: &str| Currency::try_from(code.to_owned());
        assert_eq!(read("USD"), Ok(Currency::default()));
        assert!(["", "usd", "US", "EURO", "E1R", "ÄÖ"].into_iter().all(|code| read(code).is_err()));
    }

    #[test]
    fn tokens_cost_what_the_list_says() {
        let prices = Prices::new(0.15, 0.6);
        let cost = |input_tokens, output_tokens| prices.cost(Usage::new(input_tokens, output_tokens));
        assert_eq!(cost(1_000_000, 0), Money(150_000_000));
        assert_eq!(cost(0, 1_000_000), Money(600_000_000));
        assert_eq!(cost(1, 0), Money(150));
        assert_eq!(cost(0, 0), Money::ZERO);
        assert_eq!(Prices::new(0.0001, 0.0).cost(Usage::new(1, 0)), Money(1));
        assert_eq!(cost(u64::MAX, u64::MAX), Money(u64::MAX));
    }

    #[test]
    fn cached_tokens_have_their_own_price_and_are_not_believed_beyond_the_input() {
        let prices = Prices { cached_input: Some(0.1), cache_write: Some(1.25), ..Prices::new(1.0, 5.0) };
        let cost = |input_tokens, cached_input_tokens, cache_write_tokens| {
            prices.cost(Usage { cached_input_tokens, cache_write_tokens, ..Usage::new(input_tokens, 0) })
        };
        assert_eq!(cost(1_000_000, 500_000, 0), Money(550_000_000));
        assert_eq!(cost(1_000_000, 0, 1_000_000), Money(1_250_000_000));
        assert_eq!(cost(1_000_000, u64::MAX, u64::MAX), Money(100_000_000));
        assert_eq!(Prices::new(1.0, 0.0).cost(Usage { cached_input_tokens: 5, ..Usage::new(10, 0) }), Money(10_000));
    }

    #[test]
    fn prices_are_finite_and_not_negative() {
        let fields = |prices: Prices| prices.faults().into_iter().map(|(field, _)| field).collect::<Vec<_>>();
        assert!(fields(Prices::new(0.0, 15.0)).is_empty());
        let wrong = Prices { cache_write: Some(f64::INFINITY), ..Prices::new(-1.0, f64::NAN) };
        assert_eq!(fields(wrong), ["input", "output", "cache_write"]);
    }

    #[test]
    fn sums_stop_at_their_ends() {
        assert_eq!(Money(1) - Money(2), Money::ZERO);
        assert_eq!(Money(u64::MAX) + Money(1), Money(u64::MAX));
        assert_eq!((Money::from_units(f64::NAN), Money::from_units(-1.0)), (Money::ZERO, Money::ZERO));
        assert_eq!(Money::from_units(2.5).units(), 2.5);
    }

    #[test]
    fn amounts_are_written_in_whole_units() {
        for (amount, text) in [(0, "0"), (1, "0.000000001"), (2_500_000_000, "2.5"), (7_000_000_000, "7")] {
            assert_eq!(Money(amount).to_string(), text);
        }
    }
}
