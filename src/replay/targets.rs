//! The targets that are replayed to, found by their names.

use std::collections::HashSet;

use super::fault::Error;
use crate::provider::{DEMO, DEMO_MODEL};
use crate::reference::TargetName;
use crate::routing::{RoutingConfig, Target};

/// The configured targets of these names, each once, in their order. Without any configured target there is the built-in
/// demo.
pub fn targets(config: &RoutingConfig, names: &[TargetName]) -> Result<Vec<Target>, Error> {
    let mut known: Vec<Target> = config.targets.iter().map(Into::into).collect();
    if known.is_empty() {
        known.extend(TargetName::new(DEMO).map(|name| Target::new(name, DEMO, DEMO_MODEL)));
    }
    let mut seen = HashSet::new();
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for name in names.iter().filter(|name| seen.insert(*name)) {
        match known.iter().find(|target| target.name == *name) {
            Some(target) => found.push(target.clone()),
            None => unknown.push(name.to_string()),
        }
    }
    if unknown.is_empty() {
        return Ok(found);
    }
    Err(Error::UnknownTargets { unknown, configured: known.iter().map(|target| target.name.to_string()).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str, names: &[&str], expected: Result<&[&str], &str>) {
        let config: RoutingConfig = toml::from_str(toml).unwrap();
        let names: Vec<_> = names.iter().map(|name| TargetName::new(name).unwrap()).collect();
        let found = targets(&config, &names).map_err(|error| error.to_string());
        let found = found.map(|targets| targets.iter().map(|target| target.name.to_string()).collect::<Vec<_>>());
        assert_eq!(found, expected.map(|names| names.iter().map(ToString::to_string).collect()).map_err(str::to_owned));
    }

    #[test]
    fn targets_are_found_by_name_and_unknown_ones_told_at_once() {
        let two = "[[targets]]\nname = 'a'\nprovider = 'p'\nmodel = 'm'\n\
                   [[targets]]\nname = 'b'\nprovider = 'p'\nmodel = 'm'";
        check(two, &["b", "a", "b"], Ok(&["b", "a"]));
        check(two, &["x", "a", "demo"], Err("no target is named x, demo; configured are a, b"));
        check("", &["demo"], Ok(&["demo"]));
        check("", &["a"], Err("no target is named a; configured are demo"));
    }
}
