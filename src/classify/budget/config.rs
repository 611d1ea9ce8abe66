//! `[llm.budget]` of the configuration.

use serde::{Deserialize, Serialize};

use crate::money::Prices;

const MAX_WINDOW: u32 = 1_000_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// Most calls for a decision, among any `share_window` decisions in a row: from 0 to 1. Not given: no cap.
    pub max_share: Option<f64>,
    /// Decisions, 1 to 1,000,000. Those of all sets count, with and without the LLM, cached ones too.
    pub share_window: u32,
    /// Calls a second in the long run, up to 1,000,000. Not given: no cap.
    pub max_calls_per_second: Option<f64>,
    /// Calls that may be made at once after a pause, 1 to 1,000,000.
    pub burst: u32,
    /// Calls under way at once, 1 to 1,000,000. One more is not made to wait: it is not made.
    pub max_concurrent: u32,
    /// Of a day (UTC), in the unit of the prices. Not given: no cap.
    pub max_spend_per_day: Option<f64>,
    /// Of a million tokens read, and of a million written.
    pub input_price: f64,
    pub output_price: f64,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            max_share: None,
            share_window: 1_000,
            max_calls_per_second: None,
            burst: 10,
            max_concurrent: 32,
            max_spend_per_day: None,
            input_price: 0.0,
            output_price: 0.0,
        }
    }
}

impl BudgetConfig {
    /// Every fault, as the path of the field below `llm.budget` and what is wrong.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut add = |field: &str, what: String| faults.push((field.to_owned(), what));
        let whole = [
            ("share_window", self.share_window, MAX_WINDOW),
            ("burst", self.burst, 1_000_000),
            ("max_concurrent", self.max_concurrent, 1_000_000),
        ];
        for (field, value, most) in whole {
            if value < 1 || value > most {
                add(field, format!("is {value}, must be from 1 to {most}"));
            }
        }
        // Written so that NaN is a fault.
        if let Some(share) = self.max_share {
            if !(0.0..=1.0).contains(&share) {
                add("max_share", format!("is {share}, must be from 0 to 1"));
            } else if share > 0.0 && self.share_cap().is_some_and(|(_, most)| most == 0) {
                let window = self.share_window;
                add("max_share", format!("is {share}, which is not one call in {window} decisions (share_window)"));
            }
        }
        if let Some(rate) = self.max_calls_per_second.filter(|rate| !(*rate > 0.0 && *rate <= 1e6)) {
            add("max_calls_per_second", format!("is {rate}, must be over 0 and up to 1000000"));
        }
        for (field, price) in [("input_price", self.input_price), ("output_price", self.output_price)] {
            if !(0.0..=1e6).contains(&price) {
                add(field, format!("is {price}, must be from 0 to 1000000 a million tokens"));
            }
        }
        if let Some(spend) = self.max_spend_per_day {
            if !(0.0..=1e9).contains(&spend) {
                add("max_spend_per_day", format!("is {spend}, must be from 0 to 1000000000"));
            }
            if self.input_price == 0.0 && self.output_price == 0.0 {
                add("max_spend_per_day", "is given without prices: set input_price and output_price".to_owned());
            }
        }
        faults
    }

    /// Zero if none are given.
    pub fn prices(&self) -> Prices {
        Prices::new(self.input_price, self.output_price)
    }

    /// Decisions looked at, and most calls among them.
    pub(super) fn share_cap(&self) -> Option<(usize, u64)> {
        // The least bit more, so that 0.3 of 10 are 3 and not 2.
        let most = |share: f64| (share * f64::from(self.share_window) + 1e-9).floor() as u64;
        self.max_share.map(|share| (self.share_window as usize, most(share)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_the_field() {
        let check = |text: &str, expected: &[&str]| {
            let config: BudgetConfig = toml::from_str(text).unwrap();
            let fields: Vec<String> = config.faults().into_iter().map(|(field, _)| field).collect();
            assert_eq!(fields, expected, "{text}");
        };
        check("", &[]);
        check("max_share = 0", &[]);
        check("max_share = 1\nmax_calls_per_second = 5\nmax_spend_per_day = 2\ninput_price = 0.15", &[]);
        check("max_share = 1.5\nmax_calls_per_second = 0\nburst = 0", &["burst", "max_share", "max_calls_per_second"]);
        check("max_share = nan\nmax_calls_per_second = nan", &["max_share", "max_calls_per_second"]);
        check("max_share = 0.001\nshare_window = 100", &["max_share"]);
        check("share_window = 0\nmax_concurrent = 0", &["share_window", "max_concurrent"]);
        check("max_spend_per_day = 1", &["max_spend_per_day"]);
        check("max_spend_per_day = -1\ninput_price = -1", &["input_price", "max_spend_per_day"]);
        check("output_price = inf", &["output_price"]);
        assert!(toml::from_str::<BudgetConfig>("max_shares = 0.1").is_err());
    }

    #[test]
    fn shares_are_whole_calls() {
        let most = |max_share: f64, share_window: u32| {
            BudgetConfig { max_share: Some(max_share), share_window, ..BudgetConfig::default() }.share_cap().unwrap().1
        };
        assert_eq!([most(0.3, 10), most(0.29, 10), most(1.0, 7), most(0.0, 7)], [3, 2, 7, 0]);
    }
}
