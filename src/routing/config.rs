//! Targets, and the rules of sets and routes, as an operator writes them down.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::known::Known;
use super::order::Order;
use super::policy::DataPolicy;
use super::target::Target;
use crate::money::{Currency, Prices};
use crate::provider::Capability;
use crate::reference::{RouteName, SetName, TargetName};

/// Longest name of a region or a certification in bytes.
const MAX_WORD_BYTES: usize = 128;
const MAX_TOKENS: u64 = 1_000_000_000;

/// Where requests may go, and by which rules. Without any target, every plan leads to the built-in demo.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingConfig {
    pub targets: Vec<TargetConfig>,
    /// In order; for routes that name no target.
    pub default_targets: Vec<TargetName>,
    /// Rules for every request of every caller.
    pub policy: DataPolicy,
    pub sets: BTreeMap<SetName, SetConfig>,
    /// Of all prices.
    pub currency: Currency,
    /// Names of the configured providers, that of the demo among them.
    #[serde(skip)]
    pub providers: BTreeSet<String>,
    /// Where the LLM stage asks: prompts go there too, so that the rules hold for it as for a target.
    #[serde(skip)]
    pub llm: Option<TargetConfig>,
}

/// `[sets.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SetConfig {
    /// Rules for every route of the set, beside those for all.
    pub policy: DataPolicy,
    pub routes: BTreeMap<RouteName, RouteConfig>,
}

/// `[sets.NAME.routes.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// In order. Default: those of the route in the store.
    pub targets: Option<Vec<TargetName>>,
    /// Rules for this route, beside those of its set and those for all.
    pub policy: DataPolicy,
    /// Which of the targets goes first. Default: `priority`.
    pub order: Order,
}

/// `[[targets]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    pub name: TargetName,
    pub provider: String,
    pub model: String,
    #[serde(default)]
    pub region: Option<String>,
    #[serde(default)]
    pub certifications: BTreeSet<String>,
    /// How long the provider keeps what it is sent, for example `30days`; `0s`: not at all. Default: not known.
    #[serde(default, with = "humantime_serde")]
    pub retention: Option<Duration>,
    /// Exactly these of `tools`, `vision` and `json-schema`. Left out: all are assumed.
    #[serde(default)]
    pub capabilities: Option<BTreeSet<Capability>>,
    /// Most tokens of prompt and answer together. Default: not known, and not checked.
    #[serde(default)]
    pub max_context_tokens: Option<u64>,
    /// Most tokens of an answer. Default: not known, and not checked.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// Default: not known.
    #[serde(default)]
    pub prices: Option<Prices>,
    /// Targets of a lower number go first, whatever the order. Default: 0.
    #[serde(default)]
    pub priority: u32,
    /// Share of the requests among targets of one priority, where the route's order is `weighted`. Default: 1.
    #[serde(default = "default_weight")]
    pub weight: NonZeroU32,
}

fn default_weight() -> NonZeroU32 {
    NonZeroU32::MIN
}

impl TargetConfig {
    /// A target of which nothing else is known.
    pub fn new(name: TargetName, provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            name,
            provider: provider.into(),
            model: model.into(),
            region: None,
            certifications: BTreeSet::new(),
            retention: None,
            capabilities: None,
            max_context_tokens: None,
            max_output_tokens: None,
            prices: None,
            priority: 0,
            weight: default_weight(),
        }
    }

    /// Everything that is wrong with the target alone: field and fault.
    fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, what: String| faults.push((field.to_owned(), what));
        if self.model.is_empty() || self.model.chars().any(char::is_control) {
            fault("model", "must not be empty or hold control characters".to_owned());
        }
        if let Some(what) = self.region.as_deref().and_then(wrong_word) {
            fault("region", what);
        }
        for what in self.certifications.iter().filter_map(|word| wrong_word(word)) {
            fault("certifications", what);
        }
        for (field, tokens) in
            [("max_context_tokens", self.max_context_tokens), ("max_output_tokens", self.max_output_tokens)]
        {
            if let Some(tokens) = tokens.filter(|tokens| !(1..=MAX_TOKENS).contains(tokens)) {
                fault(field, format!("is {tokens}, must be from 1 to {MAX_TOKENS}"));
            }
        }
        let prices = self.prices.map(|prices| prices.faults()).unwrap_or_default();
        faults.extend(prices.into_iter().map(|(field, what)| (format!("prices.{field}"), what)));
        faults
    }
}

/// Why a text is no name of a region or a certification.
fn wrong_word(word: &str) -> Option<String> {
    let is_word =
        !word.is_empty() && word.len() <= MAX_WORD_BYTES && word.trim() == word && !word.chars().any(char::is_control);
    let rule =
        "must have 1 to 128 bytes, no control characters and no white space at its ends; leave out what is not known";
    (!is_word).then(|| format!("{word:?} {rule}"))
}

impl RoutingConfig {
    /// Everything that is wrong: path and fault.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut names = HashSet::new();
        let mut faults = Vec::new();
        for (position, target) in self.targets.iter().enumerate() {
            let path = format!("targets[{position}]");
            if !names.insert(&target.name) {
                faults.push((format!("{path}.name"), format!("\"{}\" is given twice", target.name)));
            }
            if !self.providers.contains(&target.provider) {
                faults.push((format!("{path}.provider"), format!("no provider is named {:?}", target.provider)));
            }
            faults.extend(below(&path, target.faults()));
        }
        let unknown = |path: String, list: &[TargetName]| -> Vec<(String, String)> {
            let strange = list.iter().enumerate().filter(|(_, name)| !names.contains(name));
            strange.map(|(at, name)| (format!("{path}[{at}]"), format!("no target is named \"{name}\""))).collect()
        };
        faults.extend(unknown("default_targets".to_owned(), &self.default_targets));
        let known = Known::new(self);
        faults.extend(below("policy", known.faults(&self.policy)));
        for (set, rules) in &self.sets {
            faults.extend(below(&format!("sets.{set}.policy"), known.faults(&rules.policy)));
            for (route, rules) in &rules.routes {
                let path = format!("sets.{set}.routes.{route}");
                faults.extend(unknown(format!("{path}.targets"), rules.targets.as_deref().unwrap_or_default()));
                faults.extend(below(&format!("{path}.policy"), known.faults(&rules.policy)));
            }
        }
        // All else of it is the LLM stage's own affair.
        let place = self.llm.as_ref().map(TargetConfig::faults).unwrap_or_default().into_iter();
        faults
            .extend(below("llm", place.filter(|(field, _)| field == "region" || field == "certifications").collect()));
        faults
    }
}

fn below(path: &str, faults: Vec<(String, String)>) -> impl Iterator<Item = (String, String)> {
    faults.into_iter().map(move |(field, what)| (format!("{path}.{field}"), what))
}

impl From<&TargetConfig> for Target {
    fn from(config: &TargetConfig) -> Self {
        let TargetConfig { name, provider, model, region, certifications, .. } = config.clone();
        Self {
            region,
            certifications,
            retention: config.retention,
            capabilities: config.capabilities.clone().unwrap_or_else(|| Capability::ALL.into()),
            max_context_tokens: config.max_context_tokens,
            max_output_tokens: config.max_output_tokens,
            prices: config.prices,
            priority: config.priority,
            weight: config.weight,
            ..Self::new(name, provider, model)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> RoutingConfig {
        let providers = BTreeSet::from(["p".to_owned()]);
        RoutingConfig { providers, ..toml::from_str(toml).unwrap() }
    }

    fn check(toml: &str, expected: &[&str]) {
        let faults = read(toml).faults();
        assert_eq!(faults.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), expected, "{toml}\n{faults:?}");
    }

    #[test]
    fn faults_are_listed_at_once() {
        check("", &[]);
        check("default_targets = ['a']\n[[targets]]\nname = 'a'\nprovider = 'p'\nmodel = 'm'\nregion = 'eu'", &[]);
        let bad = "default_targets = ['b']\n\
            [[targets]]\nname = 'a'\nprovider = 'q'\nmodel = ''\nregion = ''\ncertifications = [' x']\n\
            max_context_tokens = 0\nmax_output_tokens = 0\nprices = { input = -1.0, output = nan }\n\
            [[targets]]\nname = 'a'\nprovider = 'p'\nmodel = 'm'";
        let expected = [
            "targets[0].provider",
            "targets[0].model",
            "targets[0].region",
            "targets[0].certifications",
            "targets[0].max_context_tokens",
            "targets[0].max_output_tokens",
            "targets[0].prices.input",
            "targets[0].prices.output",
            "targets[1].name",
            "default_targets[0]",
        ];
        check(bad, &expected);
    }

    #[test]
    fn a_policy_that_names_what_no_target_has_is_a_fault() {
        let target = "[[targets]]\nname = 'a'\nprovider = 'p'\nmodel = 'm'\nregion = 'eu'\ncertifications = ['x']\n";
        let good = "allowed_regions = ['eu']\nrequired_certifications = ['x']\nallowed_providers = ['p']\n";
        let bad = "allowed_regions = ['eu-wst']\nrequired_certifications = ['y']\ndenied_providers = ['q']\n\
            max_input_price = -1.0\n";
        check(&format!("{target}[policy]\n{good}[sets.s.policy]\n{good}[sets.s.routes.r.policy]\n{good}"), &[]);
        let fields = ["allowed_regions", "required_certifications", "denied_providers", "max_input_price"];
        for path in ["policy", "sets.s.policy", "sets.s.routes.r.policy"] {
            let expected = fields.map(|field| format!("{path}.{field}"));
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            check(&format!("{target}[{path}]\n{bad}"), &expected);
        }
    }

    #[test]
    fn what_is_left_out_is_not_known_but_capabilities_are_assumed() {
        let target = |more: &str| {
            let config = read(&format!("[[targets]]\nname = 'a'\nprovider = 'p'\nmodel = 'm'\n{more}"));
            Target::from(&config.targets[0])
        };
        let bare = target("");
        let unknown = Target::new(bare.name.clone(), "p", "m");
        assert_eq!(bare, Target { capabilities: Capability::ALL.into(), ..unknown });
        assert_eq!(target("capabilities = ['tools']").capabilities, BTreeSet::from([Capability::Tools]));
        assert!(target("capabilities = []").capabilities.is_empty());
        assert_eq!(target("retention = '0s'").retention, Some(Duration::ZERO));
        assert_eq!(target("retention = '30days'").retention, Some(Duration::from_secs(30 * 86_400)));
        for wrong in ["weight = 0", "capabilities = ['sight']", "priority = -1", "reigon = 'eu'"] {
            let text = format!("[[targets]]\nname = 'a'\nprovider = 'p'\nmodel = 'm'\n{wrong}");
            assert!(toml::from_str::<RoutingConfig>(&text).is_err(), "{wrong}");
        }
    }
}
