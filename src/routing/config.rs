//! Targets as an operator writes them down.

use std::collections::HashSet;

use serde::Deserialize;

use super::target::Target;
use crate::reference::TargetName;

/// The configured targets. Without any, every plan leads to the built-in demo.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingConfig {
    pub targets: Vec<TargetConfig>,
    /// In order; for routes that name no target.
    pub default_targets: Vec<TargetName>,
}

/// One configured target.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    pub name: TargetName,
    pub provider: String,
    pub model: String,
    #[serde(default)]
    pub region: Option<String>,
}

impl RoutingConfig {
    /// Everything that is wrong: path and fault. `has_provider` says which providers are configured.
    pub fn faults(&self, has_provider: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let mut names = HashSet::new();
        let mut faults = Vec::new();
        for (position, target) in self.targets.iter().enumerate() {
            let mut fault = |field: &str, what: String| faults.push((format!("targets[{position}].{field}"), what));
            if !names.insert(&target.name) {
                fault("name", format!("\"{}\" is given twice", target.name));
            }
            if !has_provider(&target.provider) {
                fault("provider", format!("no provider is named {:?}", target.provider));
            }
            if target.model.is_empty() || target.model.chars().any(char::is_control) {
                fault("model", "must not be empty or hold control characters".to_owned());
            }
            if target.region.as_deref().is_some_and(str::is_empty) {
                fault("region", "must not be empty; leave it out instead".to_owned());
            }
        }
        for (position, name) in self.default_targets.iter().enumerate() {
            if !names.contains(name) {
                faults.push((format!("default_targets[{position}]"), format!("no target is named \"{name}\"")));
            }
        }
        faults
    }
}

impl From<&TargetConfig> for Target {
    fn from(config: &TargetConfig) -> Self {
        let TargetConfig { name, provider, model, region } = config.clone();
        Self { region, ..Self::new(name, provider, model) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str, expected: &[&str]) {
        let config: RoutingConfig = toml::from_str(toml).unwrap();
        let faults = config.faults(|provider| provider == "p");
        assert_eq!(faults.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), expected, "{toml}\n{faults:?}");
    }

    #[test]
    fn faults_are_listed_at_once() {
        check("", &[]);
        check("default_targets = ['a']\n[[targets]]\nname = 'a'\nprovider = 'p'\nmodel = 'm'\nregion = 'eu'", &[]);
        let bad = "default_targets = ['b']\n\
            [[targets]]\nname = 'a'\nprovider = 'q'\nmodel = ''\nregion = ''\n\
            [[targets]]\nname = 'a'\nprovider = 'p'\nmodel = 'm'";
        let expected =
            ["targets[0].provider", "targets[0].model", "targets[0].region", "targets[1].name", "default_targets[0]"];
        check(bad, &expected);
    }
}
