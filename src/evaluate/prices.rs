//! What targets cost, as an operator writes it down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Prices in one currency. Also says where routes go, for a bill of what is not configured yet.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// As it is to be shown, for example `USD`.
    pub currency: String,
    /// By the name of the target.
    pub targets: BTreeMap<String, Price>,
    /// Of the model that the LLM stage asks; without it the stage costs nothing.
    #[serde(default)]
    pub llm: Option<Price>,
    /// The target of a route; goes before the configuration's.
    #[serde(default)]
    pub routes: BTreeMap<String, String>,
    /// The target of routes without one, and of prompts without a route; goes before the configuration's.
    #[serde(default)]
    pub default: Option<String>,
}

/// For a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub input: f64,
    pub output: f64,
}

/// What is wrong with prices.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PricesError {
    #[error("the prices are no valid TOML: {0}")]
    Toml(String),
    #[error("{field} is {value}, must be a finite number of at least 0")]
    Value { field: String, value: f64 },
    #[error("{field} names target {target:?}, which has no price")]
    Unpriced { field: String, target: String },
}

impl Prices {
    /// Reads and checks them.
    pub fn parse(text: &str) -> Result<Self, PricesError> {
        let prices: Self = toml::from_str(text).map_err(|error| PricesError::Toml(error.to_string()))?;
        let of_targets = prices.targets.iter().map(|(name, price)| (format!("targets.{name}"), price));
        for (field, price) in of_targets.chain(prices.llm.iter().map(|price| ("llm".to_owned(), price))) {
            price.check(&field)?;
        }
        let of_routes = prices.routes.iter().map(|(route, target)| (format!("routes.{route}"), target));
        for (field, target) in of_routes.chain(prices.default.iter().map(|target| ("default".to_owned(), target))) {
            if !prices.targets.contains_key(target) {
                return Err(PricesError::Unpriced { field, target: target.clone() });
            }
        }
        Ok(prices)
    }
}

impl Price {
    fn check(&self, field: &str) -> Result<(), PricesError> {
        for (part, value) in [("input", self.input), ("output", self.output)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(PricesError::Value { field: format!("{field}.{part}"), value });
            }
        }
        Ok(())
    }

    /// Cost of so many tokens.
    pub(super) fn of(&self, input: f64, output: f64) -> f64 {
        (self.input * input + self.output * output) / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_prices_are_read() {
        let text = "currency = 'USD'\ndefault = 'a'\n[targets.a]\ninput = 1\noutput = 2.5\n[routes]\nx = 'a'";
        let prices = Prices::parse(text).unwrap();
        assert_eq!(prices.targets.get("a"), Some(&Price { input: 1.0, output: 2.5 }));
        assert_eq!(prices.targets["a"].of(2e6, 1e6), 4.5);
    }

    #[test]
    fn faults_name_the_field() {
        let check = |text: &str, expected: &str| {
            let error = Prices::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("targets = {}", "currency");
        check("currency = 'EUR'\n[targets.a]\ninput = -1\noutput = 0", "targets.a.input is -1");
        check("currency = 'EUR'\n[targets]\n[llm]\ninput = 1\noutput = nan", "llm.output is NaN");
        check("currency = 'EUR'\ndefault = 'b'\n[targets]", "default names target \"b\"");
        check("currency = 'EUR'\n[targets]\n[routes]\nx = 'b'", "routes.x names target \"b\"");
        check("currency = 'EUR'\n[targets]\ntargest = 1", "invalid type");
    }
}
