//! What a caller allows to be done with its data: rules that no attempt may break.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Empty, it allows every target. Two policies hold together as [`DataPolicy::and`] makes them one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataPolicy {
    /// `None`: any region, also one that is not known.
    pub allowed_regions: Option<BTreeSet<String>>,
    /// A target needs all of them.
    pub required_certifications: BTreeSet<String>,
    /// Names of configured providers. `None`: any.
    pub allowed_providers: Option<BTreeSet<String>>,
    pub denied_providers: BTreeSet<String>,
    /// Longest that a provider may keep the data; one that does not say is refused. `None`: any time.
    #[serde(with = "humantime_serde")]
    pub max_retention: Option<Duration>,
    /// Highest price of a million input tokens, in units of the configured currency. `None`: any.
    pub max_input_price: Option<f64>,
    /// Highest price of a million output tokens.
    pub max_output_price: Option<f64>,
}

impl DataPolicy {
    /// The policy that allows what both allow.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            allowed_regions: both(&self.allowed_regions, &other.allowed_regions),
            required_certifications: &self.required_certifications | &other.required_certifications,
            allowed_providers: both(&self.allowed_providers, &other.allowed_providers),
            denied_providers: &self.denied_providers | &other.denied_providers,
            max_retention: least(self.max_retention, other.max_retention, Duration::min),
            max_input_price: least(self.max_input_price, other.max_input_price, f64::min),
            max_output_price: least(self.max_output_price, other.max_output_price, f64::min),
        }
    }

    /// Whether it allows every target.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What cannot be right wherever it is used: field and fault. See [`super::Known::faults`] for the words.
    pub fn faults(&self) -> Vec<(String, String)> {
        let prices = [("max_input_price", self.max_input_price), ("max_output_price", self.max_output_price)];
        let given = prices.into_iter().filter_map(|(field, price)| Some((field, price?)));
        let wrong = given.filter(|(_, price)| !(0.0..=MAX_PRICE).contains(price));
        wrong.map(|(field, price)| (field.to_owned(), format!("is {price}, must be from 0 to {MAX_PRICE}"))).collect()
    }
}

/// Of a million tokens, as for the prices of targets.
const MAX_PRICE: f64 = 1e6;

fn both(ours: &Option<BTreeSet<String>>, theirs: &Option<BTreeSet<String>>) -> Option<BTreeSet<String>> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(ours & theirs),
        (Some(only), None) | (None, Some(only)) => Some(only.clone()),
        (None, None) => None,
    }
}

fn least<T: Copy>(ours: Option<T>, theirs: Option<T>, min: fn(T, T) -> T) -> Option<T> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(min(ours, theirs)),
        (only, None) | (None, only) => only,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_policies_allow_what_both_allow() {
        let read = |toml: &str| toml::from_str::<DataPolicy>(toml).unwrap();
        let check = |ours: &str, theirs: &str, expected: &str| {
            assert_eq!(read(ours).and(&read(theirs)), read(expected));
            assert_eq!(read(theirs).and(&read(ours)), read(expected));
        };
        check("", "", "");
        check("allowed_regions = ['eu']", "", "allowed_regions = ['eu']");
        check("allowed_regions = ['eu', 'us']", "allowed_regions = ['eu', 'ch']", "allowed_regions = ['eu']");
        check("allowed_providers = ['a']", "allowed_providers = ['b']", "allowed_providers = []");
        check("denied_providers = ['a']", "denied_providers = ['b']", "denied_providers = ['a', 'b']");
        check(
            "max_retention = '1day'\nmax_input_price = 2.0",
            "max_retention = '1h'\nmax_input_price = 1.0\nrequired_certifications = ['x']",
            "max_retention = '1h'\nmax_input_price = 1.0\nrequired_certifications = ['x']",
        );
    }
}
