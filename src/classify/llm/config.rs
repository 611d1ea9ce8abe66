//! `[llm]` of the configuration.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::classify::budget::BudgetConfig;

const MAX_TIMEOUT: Duration = Duration::from_secs(600);
const MAX_CACHE_TTL: Duration = Duration::from_secs(30 * 86_400);

/// `[llm]` of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlmConfig {
    /// Name of a configured provider.
    pub provider: String,
    pub model: String,
    /// Where the provider computes, what it is certified for and how long it keeps what it is sent, as for a target: a
    /// request whose policy does not let its data go there is decided without the LLM stage. Default: not known.
    #[serde(default)]
    pub region: Option<String>,
    #[serde(default)]
    pub certifications: BTreeSet<String>,
    #[serde(default, with = "humantime_serde")]
    pub retention: Option<Duration>,
    /// Longest that it may add to a decision, whatever the load: nobody waits for a place (`budget.max_concurrent`). The
    /// request's own deadline may shorten it.
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// Most routes that it is asked to choose from, 2 to 64.
    #[serde(default = "default_shortlist")]
    pub shortlist: usize,
    /// Reference prompts shown for each route, 0 to 20.
    #[serde(default = "default_examples")]
    pub examples: usize,
    /// Most tokens of an answer, 8 to 4,096.
    #[serde(default = "default_max_output_tokens")]
    pub max_output_tokens: u32,
    /// Most verdicts kept; 0 keeps none.
    #[serde(default = "default_cache_entries")]
    pub cache_entries: u64,
    /// How long a verdict is kept.
    #[serde(default = "default_cache_ttl", with = "humantime_serde")]
    pub cache_ttl: Duration,
    #[serde(default)]
    pub budget: BudgetConfig,
}

fn default_timeout() -> Duration {
    Duration::from_secs(3)
}
fn default_shortlist() -> usize {
    6
}
fn default_examples() -> usize {
    3
}
fn default_max_output_tokens() -> u32 {
    64
}
fn default_cache_entries() -> u64 {
    10_000
}
fn default_cache_ttl() -> Duration {
    Duration::from_secs(3600)
}

impl LlmConfig {
    /// Every fault, as the path of the field below `llm` and what is wrong.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut bounds = |field: &str, value: u64, least: u64, most: u64| {
            if value < least || value > most {
                faults.push((field.to_owned(), format!("is {value}, must be from {least} to {most}")));
            }
        };
        bounds("shortlist", self.shortlist as u64, 2, 64);
        bounds("examples", self.examples as u64, 0, 20);
        bounds("max_output_tokens", u64::from(self.max_output_tokens), 8, 4096);
        bounds("cache_entries", self.cache_entries, 0, 10_000_000);
        if self.timeout.is_zero() || self.timeout > MAX_TIMEOUT {
            faults.push(("timeout".to_owned(), format!("is {:?}, must be over 0 s and up to 600 s", self.timeout)));
        }
        if self.cache_ttl.is_zero() || self.cache_ttl > MAX_CACHE_TTL {
            faults
                .push(("cache_ttl".to_owned(), format!("is {:?}, must be over 0 s and up to 30 days", self.cache_ttl)));
        }
        if self.model.trim().is_empty() {
            faults.push(("model".to_owned(), "is empty".to_owned()));
        }
        faults.extend(self.budget.faults().into_iter().map(|(field, what)| (format!("budget.{field}"), what)));
        faults
    }
}
