//! Data policies and needs, from and to messages.

use std::collections::BTreeSet;

use super::super::pb;
use super::super::violation::Violations;
use super::span;
use crate::provider::Capability;
use crate::routing::{DataPolicy, Known};

/// A policy whose every word is known. An empty list of what is allowed allows all, as an absent one does.
pub(super) fn policy(
    violations: &mut Violations,
    field: &str,
    policy: Option<pb::DataPolicy>,
    known: &Known,
) -> DataPolicy {
    let Some(policy) = policy else { return DataPolicy::default() };
    let some = |words: Vec<String>| (!words.is_empty()).then(|| words.into_iter().collect::<BTreeSet<String>>());
    let max_retention = policy.max_retention.map(std::time::Duration::try_from).and_then(|span| {
        let what = "is negative or out of range; 0 s is the shortest";
        violations.take(format!("{field}.max_retention"), span.map_err(|_| what))
    });
    let policy = DataPolicy {
        allowed_regions: some(policy.allowed_regions),
        required_certifications: policy.required_certifications.into_iter().collect(),
        allowed_providers: some(policy.allowed_providers),
        denied_providers: policy.denied_providers.into_iter().collect(),
        max_retention,
        max_input_price: policy.max_input_price,
        max_output_price: policy.max_output_price,
    };
    for (below, what) in known.faults(&policy) {
        violations.add(format!("{field}.{below}"), what);
    }
    policy
}

impl From<&DataPolicy> for pb::DataPolicy {
    /// What allows nothing at all (two policies without a common region, say) cannot be told apart from what allows all.
    fn from(policy: &DataPolicy) -> Self {
        let list = |words: &BTreeSet<String>| words.iter().cloned().collect();
        Self {
            allowed_regions: policy.allowed_regions.as_ref().map(list).unwrap_or_default(),
            required_certifications: list(&policy.required_certifications),
            allowed_providers: policy.allowed_providers.as_ref().map(list).unwrap_or_default(),
            denied_providers: list(&policy.denied_providers),
            max_retention: policy.max_retention.map(span),
            max_input_price: policy.max_input_price,
            max_output_price: policy.max_output_price,
        }
    }
}

/// What a request says that it will need, and the most tokens of its answer.
pub(super) fn needs(violations: &mut Violations, needs: Option<pb::Needs>) -> (BTreeSet<Capability>, Option<u32>) {
    let needs = needs.unwrap_or_default();
    let mut capabilities = BTreeSet::new();
    for (at, word) in needs.capabilities.iter().enumerate() {
        match Capability::ALL.into_iter().find(|capability| capability.as_str() == word) {
            Some(capability) => drop(capabilities.insert(capability)),
            None => {
                let known = Capability::ALL.map(Capability::as_str).join(", ");
                violations.add(format!("needs.capabilities[{at}]"), format!("{word:?} is none of {known}"));
            }
        }
    }
    if needs.max_output_tokens == Some(0) {
        violations.add("needs.max_output_tokens", "is 0, must be at least 1");
    }
    (capabilities, needs.max_output_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::RoutingConfig;

    fn known() -> Known {
        let text = "[[targets]]\nname = 't'\nprovider = 'p'\nmodel = 'm'\nregion = 'eu'\ncertifications = ['x']";
        let config = toml::from_str::<RoutingConfig>(text).unwrap();
        Known::new(&RoutingConfig { providers: BTreeSet::from(["p".to_owned()]), ..config })
    }

    fn words(word: &str) -> Vec<String> {
        vec![word.to_owned()]
    }

    #[test]
    fn a_policy_goes_there_and_back() {
        let message = pb::DataPolicy {
            allowed_regions: words("eu"),
            required_certifications: words("x"),
            allowed_providers: words("p"),
            denied_providers: words("p"),
            max_retention: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            max_input_price: Some(0.5),
            max_output_price: Some(2.0),
        };
        let mut violations = Violations::default();
        let read = policy(&mut violations, "data_policy", Some(message.clone()), &known());
        violations.check().unwrap();
        assert_eq!(pb::DataPolicy::from(&read), message);
        let none = policy(&mut Violations::default(), "data_policy", Some(pb::DataPolicy::default()), &known());
        assert!(none.is_empty());
    }

    #[test]
    fn every_fault_is_told_with_its_field() {
        let message = pb::DataPolicy {
            allowed_regions: words("eu-wst"),
            required_certifications: words(""),
            allowed_providers: words("q"),
            denied_providers: words("P"),
            max_retention: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
            max_input_price: Some(f64::NAN),
            max_output_price: Some(-1.0),
        };
        let mut violations = Violations::default();
        policy(&mut violations, "data_policy", Some(message), &known());
        let wanted = pb::Needs { capabilities: words("sight"), max_output_tokens: Some(0) };
        needs(&mut violations, Some(wanted));
        let status = violations.check().unwrap_err();
        let fields = [
            "data_policy.max_retention: ",
            "data_policy.allowed_regions: \"eu-wst\" is no known region; known: \"eu\"",
            "data_policy.required_certifications: ",
            "data_policy.allowed_providers: ",
            "data_policy.denied_providers: ",
            "data_policy.max_input_price: ",
            "data_policy.max_output_price: ",
            "needs.capabilities[0]: \"sight\" is none of tools, vision, json-schema",
            "needs.max_output_tokens: ",
        ];
        for field in fields {
            assert!(status.message().contains(field), "{field}: {}", status.message());
        }
    }
}
