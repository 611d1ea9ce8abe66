//! `[feedback]` of the configuration.

use std::time::Duration;

use serde::Deserialize;

use crate::classify::ByteSize;
use crate::reference::MAX_ORIGINS;

const MAX_AGE: Duration = Duration::from_secs(7 * 86_400);

/// Prompts are remembered and proposals made of verdicts only where this section is there: what people write to their
/// assistants is kept by nobody unless somebody asks for it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedbackConfig {
    /// Decisions that are remembered with their prompts, in memory alone, so that feedback need only name them; 0: none.
    pub keep: usize,
    /// Most memory that they may take.
    pub max_bytes: ByteSize,
    /// How long they are remembered.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
    /// Whether verdicts of the LLM stage are proposed.
    pub verdicts: bool,
    /// Least probability of a verdict that is proposed, where the LLM tells one.
    pub min_probability: f32,
    /// Verdicts waiting to be recorded; one more is lost.
    pub queue_capacity: usize,
    /// Open proposals of a set; one more is lost.
    pub max_open: u32,
    /// Cosine similarity from which two prompts are nearly the same.
    pub near: f32,
    /// When a proposal is taken into the draft without a person. Not given: never.
    pub accept: Option<AcceptConfig>,
}

/// `[feedback.accept]`: what it takes, beside agreement with the draft and accuracy that is not worse.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptConfig {
    /// Least number of decisions whose verdicts or corrections agree.
    pub agreeing: u32,
}

impl Default for FeedbackConfig {
    fn default() -> Self {
        Self {
            keep: 10_000,
            max_bytes: ByteSize(64 << 20),
            max_age: Duration::from_secs(3_600),
            verdicts: true,
            min_probability: 0.9,
            queue_capacity: 1_000,
            max_open: 10_000,
            near: 0.95,
            accept: None,
        }
    }
}

impl FeedbackConfig {
    /// Without the section: corrections that bring their prompt are recorded, nothing else.
    pub(super) fn off() -> Self {
        Self { keep: 0, verdicts: false, accept: None, ..Self::default() }
    }

    /// Every fault, as the path of the field below `feedback` and what is wrong.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut add = |field: &str, what: String| faults.push((field.to_owned(), what));
        let whole = [
            ("keep", self.keep as u64, 0, 1_000_000),
            ("queue_capacity", self.queue_capacity as u64, 1, 1_000_000),
            ("max_open", u64::from(self.max_open), 1, 100_000),
            ("max_bytes", self.max_bytes.0, 0, 16 << 30),
        ];
        for (field, value, least, most) in whole {
            if value < least || value > most {
                add(field, format!("is {value}, must be from {least} to {most}"));
            }
        }
        if self.max_age.is_zero() || self.max_age > MAX_AGE {
            add("max_age", format!("is {:?}, must be over 0 s and up to 7 days", self.max_age));
        }
        for (field, value, least) in [("min_probability", self.min_probability, 0.0), ("near", self.near, 0.5)] {
            if !(least..=1.0).contains(&value) {
                add(field, format!("is {value}, must be from {least} to 1"));
            }
        }
        if let Some(AcceptConfig { agreeing }) = self.accept
            && !(1..=MAX_ORIGINS).contains(&agreeing)
        {
            add("accept.agreeing", format!("is {agreeing}, must be from 1 to {MAX_ORIGINS}"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_the_field() {
        let check = |text: &str, expected: &[&str]| {
            let config: FeedbackConfig = toml::from_str(text).unwrap();
            let fields: Vec<String> = config.faults().into_iter().map(|(field, _)| field).collect();
            assert_eq!(fields, expected, "{text}");
        };
        check("", &[]);
        check("keep = 0\nmax_age = '7days'\n[accept]\nagreeing = 3", &[]);
        check("keep = 1000001\nqueue_capacity = 0\nmax_open = 0", &["keep", "queue_capacity", "max_open"]);
        check("max_age = '0s'\nnear = 0.3\nmin_probability = nan", &["max_age", "min_probability", "near"]);
        check("accept.agreeing = 0", &["accept.agreeing"]);
        assert!(toml::from_str::<FeedbackConfig>("accept = {}").is_err());
    }
}
