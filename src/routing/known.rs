//! The words that a policy may use: those of the configured places. A word that none of them has is a typing error more
//! often than not, and would allow nothing, or forbid nothing, in silence.

use std::collections::BTreeSet;

use super::config::{RoutingConfig, TargetConfig};
use super::policy::DataPolicy;

/// Longest list of words in a fault.
const MAX_TOLD: usize = 20;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    regions: BTreeSet<String>,
    certifications: BTreeSet<String>,
    providers: BTreeSet<String>,
}

impl Known {
    /// Of all targets, of the LLM stage's place, and of all providers, also those without a target.
    pub fn new(config: &RoutingConfig) -> Self {
        let places: Vec<&TargetConfig> = config.targets.iter().chain(&config.llm).collect();
        Self {
            regions: places.iter().filter_map(|place| place.region.clone()).collect(),
            certifications: places.iter().flat_map(|place| place.certifications.iter().cloned()).collect(),
            providers: config.providers.clone(),
        }
    }

    /// Everything that is wrong with a policy: field and fault.
    pub fn faults(&self, policy: &DataPolicy) -> Vec<(String, String)> {
        let mut faults = self.unknown(policy);
        faults.extend(policy.faults());
        faults
    }

    /// What a policy denies and nobody knows: it would forbid nothing, where all else that is not known allows nothing.
    pub fn denied_in_vain<'a>(&self, policy: &'a DataPolicy) -> Option<&'a str> {
        policy.denied_providers.iter().find(|provider| !self.providers.contains(*provider)).map(String::as_str)
    }

    /// The words of a policy that nothing bears: field and fault.
    pub fn unknown(&self, policy: &DataPolicy) -> Vec<(String, String)> {
        let none = BTreeSet::new();
        let words = [
            ("allowed_regions", "region", policy.allowed_regions.as_ref().unwrap_or(&none), &self.regions),
            ("required_certifications", "certification", &policy.required_certifications, &self.certifications),
            ("allowed_providers", "provider", policy.allowed_providers.as_ref().unwrap_or(&none), &self.providers),
            ("denied_providers", "provider", &policy.denied_providers, &self.providers),
        ];
        let unknown = words
            .into_iter()
            .filter_map(|(field, kind, named, known)| Some((field.to_owned(), self::unknown(kind, named, known)?)));
        unknown.collect()
    }
}

/// What is told of words that are not among the known ones, if there are any. `kind`: what the words name.
pub(crate) fn unknown(kind: &str, named: &BTreeSet<String>, known: &BTreeSet<String>) -> Option<String> {
    let strange = named - known;
    (!strange.is_empty()).then(|| format!("{} is no known {kind}; known: {}", told(&strange), told(known)))
}

fn told(words: &BTreeSet<String>) -> String {
    let mut list: Vec<String> = words.iter().take(MAX_TOLD).map(|word| format!("{word:?}")).collect();
    match words.len() {
        0 => return "none".to_owned(),
        count if count > MAX_TOLD => list.push(format!("and {} more", count - MAX_TOLD)),
        _ => {}
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_word_is_told_with_the_known_ones() {
        let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
        let known = Known { regions: set(&["eu", "us"]), certifications: set(&[]), providers: set(&["p"]) };
        let policy = DataPolicy {
            allowed_regions: Some(set(&["eu", "eu-wst"])),
            required_certifications: set(&["hipaa-baa"]),
            allowed_providers: Some(set(&["p"])),
            ..DataPolicy::default()
        };
        let expected = [
            ("allowed_regions", "\"eu-wst\" is no known region; known: \"eu\", \"us\""),
            ("required_certifications", "\"hipaa-baa\" is no known certification; known: none"),
        ];
        assert_eq!(known.faults(&policy), expected.map(|(field, what)| (field.to_owned(), what.to_owned())));
        assert_eq!(known.faults(&DataPolicy::default()), []);
    }
}
