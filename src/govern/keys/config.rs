//! `[auth]` of the configuration.

use serde::Deserialize;

use crate::money::Prices;
use crate::provider::DEMO;

const MAX_ASSUMED_TOKENS: u64 = 10_000_000;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// `off`: whoever reaches the port may do everything. `required`: every call but health and reflection needs a key.
    pub mode: AuthMode,
    /// Tokens reserved for the answer to a request that sets no `max_output_tokens`, 1 to 10,000,000; less if the
    /// target cannot write as many. Default: 4,096.
    pub assumed_output_tokens: u64,
    /// Of targets without prices of their own. Without it, a key with a budget may not be sent there.
    pub assumed_prices: Option<Prices>,
    /// Whether metrics show what each key spends: one series a key.
    pub metrics_by_key: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    #[default]
    Off,
    Required,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { mode: AuthMode::Off, assumed_output_tokens: 4_096, assumed_prices: None, metrics_by_key: false }
    }
}

impl AuthConfig {
    /// Prices of a target of this provider: its own, else those that are assumed. The built-in demo costs nothing.
    pub fn prices(&self, provider: &str, own: Option<Prices>) -> Option<Prices> {
        if provider == DEMO { Some(Prices::default()) } else { own.or(self.assumed_prices) }
    }

    /// Everything that is wrong: field and fault.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let tokens = self.assumed_output_tokens;
        if tokens == 0 || tokens > MAX_ASSUMED_TOKENS {
            let what = format!("is {tokens}, must be from 1 to {MAX_ASSUMED_TOKENS}");
            faults.push(("assumed_output_tokens".to_owned(), what));
        }
        let prices = self.assumed_prices.iter().flat_map(Prices::faults);
        faults.extend(prices.map(|(field, what)| (format!("assumed_prices.{field}"), what)));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_the_field() {
        let check = |text: &str, expected: &[&str]| {
            let config: AuthConfig = toml::from_str(text).unwrap();
            let fields: Vec<String> = config.faults().into_iter().map(|(field, _)| field).collect();
            assert_eq!(fields, expected, "{text}");
        };
        check("", &[]);
        check("mode = 'required'\nassumed_prices = { input = 3, output = 15 }", &[]);
        check(
            "assumed_output_tokens = 0\nassumed_prices = { input = -1, output = nan }",
            &["assumed_output_tokens", "assumed_prices.input", "assumed_prices.output"],
        );
        assert!(toml::from_str::<AuthConfig>("mode = 'on'").is_err());
        assert!(toml::from_str::<AuthConfig>("key = 'x'").is_err());
    }
}
