//! Money in whole numbers, and what tokens cost.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use crate::provider::Usage;

/// In billionths of the unit that prices are given in. Never below zero, and as much as can be counted at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
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
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Prices {
    pub input: f64,
    pub output: f64,
}

impl Prices {
    /// Rounded up to a billionth, so that many small calls never cost less than is counted.
    pub fn cost(&self, usage: Usage) -> Money {
        let units = (usage.input_tokens as f64 * self.input + usage.output_tokens as f64 * self.output) / 1e6;
        Money::from_units(units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_cost_what_the_list_says() {
        let prices = Prices { input: 0.15, output: 0.6 };
        let cost = |input_tokens, output_tokens| prices.cost(Usage { input_tokens, output_tokens });
        assert_eq!(cost(1_000_000, 0), Money(150_000_000));
        assert_eq!(cost(0, 1_000_000), Money(600_000_000));
        assert_eq!(cost(1, 0), Money(150));
        assert_eq!(cost(0, 0), Money::ZERO);
        assert_eq!(Prices { input: 0.0001, output: 0.0 }.cost(Usage { input_tokens: 1, output_tokens: 0 }), Money(1));
        assert_eq!(cost(u64::MAX, u64::MAX), Money(u64::MAX));
    }

    #[test]
    fn sums_stop_at_their_ends() {
        assert_eq!(Money(1) - Money(2), Money::ZERO);
        assert_eq!(Money(u64::MAX) + Money(1), Money(u64::MAX));
        assert_eq!((Money::from_units(f64::NAN), Money::from_units(-1.0)), (Money::ZERO, Money::ZERO));
        assert_eq!(Money::from_units(2.5).units(), 2.5);
    }
}
