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
        self.strange(policy).iter().map(Strange::fault).chain(policy.faults()).collect()
    }

    /// What a policy denies and nobody knows: it would forbid nothing, where all else that is not known allows nothing.
    pub fn denied_in_vain<'a>(&self, policy: &'a DataPolicy) -> Option<&'a str> {
        policy.denied_providers.iter().find(|provider| !self.providers.contains(*provider)).map(String::as_str)
    }

    /// The words of a policy that nothing bears.
    pub(crate) fn strange(&self, policy: &DataPolicy) -> Vec<Strange> {
        let none = BTreeSet::new();
        let words = [
            ("allowed_regions", "region", policy.allowed_regions.as_ref().unwrap_or(&none), &self.regions),
            ("required_certifications", "certification", &policy.required_certifications, &self.certifications),
            ("allowed_providers", "provider", policy.allowed_providers.as_ref().unwrap_or(&none), &self.providers),
            ("denied_providers", "provider", &policy.denied_providers, &self.providers),
        ];
        let strange =
            words.into_iter().filter_map(|(field, kind, named, known)| Strange::find(field, kind, named, known));
        strange.collect()
    }
}

/// The words of one field that nothing bears.
#[derive(Debug, Clone)]
pub(crate) struct Strange {
    field: String,
    /// What the words name.
    kind: &'static str,
    words: BTreeSet<String>,
    known: BTreeSet<String>,
}

impl Strange {
    pub(crate) fn find(
        field: impl Into<String>,
        kind: &'static str,
        named: &BTreeSet<String>,
        known: &BTreeSet<String>,
    ) -> Option<Self> {
        let words = named - known;
        (!words.is_empty()).then(|| Self { field: field.into(), kind, words, known: known.clone() })
    }

    /// As a field of another one.
    pub(crate) fn below(self, field: &str) -> Self {
        Self { field: format!("{field}.{}", self.field), ..self }
    }

    /// Without those that stood in the field before.
    pub(crate) fn added_to(mut self, before: &[Self]) -> Option<Self> {
        for known in before.iter().filter(|before| before.field == self.field) {
            self.words.retain(|word| !known.words.contains(word));
        }
        (!self.words.is_empty()).then_some(self)
    }

    /// Field and fault.
    pub(crate) fn fault(&self) -> (String, String) {
        let Self { field, kind, words, known } = self;
        (field.clone(), format!("{} is no known {kind}; known: {}", told(words), told(known)))
    }
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
