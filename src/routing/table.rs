//! Which targets a set's route is sent to: those of the configuration, else those of the route in the store, else the
//! default targets.

use std::collections::HashMap;
use std::sync::Arc;

use super::catalogue::Catalogue;
use super::config::RoutingConfig;
use super::plan::Plan;
use super::target::Target;
use crate::reference::{NameError, Route, RouteName, SetName, TargetName};

/// Immutable; share it behind an `Arc`.
#[derive(Debug)]
pub struct RoutingTable {
    catalogue: Catalogue,
    /// Targets in the configuration's order.
    targets: Vec<Arc<Target>>,
    default_targets: Vec<TargetName>,
    configured: HashMap<(SetName, RouteName), Vec<TargetName>>,
}

impl RoutingTable {
    /// From a configuration without faults.
    pub fn new(
        config: &RoutingConfig,
        configured: impl IntoIterator<Item = ((SetName, RouteName), Vec<TargetName>)>,
    ) -> Result<Self, NameError> {
        Ok(Self {
            catalogue: Catalogue::new(config)?,
            targets: config.targets.iter().map(|target| Arc::new(target.into())).collect(),
            default_targets: config.default_targets.clone(),
            configured: configured.into_iter().collect(),
        })
    }

    /// The plan of a decision for `route` of `set`; a pin chooses one of the route's targets.
    pub fn plan(&self, set: &SetName, route: &Route, pin: Option<&TargetName>) -> Plan {
        let configured = self.configured.get(&(set.clone(), route.name.clone()));
        let plan = self.catalogue.plan(Some(&route.name), configured.unwrap_or(&route.targets));
        match pin {
            Some(pin) => plan.pin_target(pin),
            None => plan,
        }
    }

    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    pub fn default_targets(&self) -> &[TargetName] {
        &self.default_targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_goes_before_the_store_and_the_store_before_the_defaults() {
        let config: RoutingConfig = toml::from_str(
            "default_targets = ['a']\n\
             [[targets]]\nname = 'a'\nprovider = 'p'\nmodel = 'm'\n\
             [[targets]]\nname = 'b'\nprovider = 'p'\nmodel = 'm'\n\
             [[targets]]\nname = 'c'\nprovider = 'p'\nmodel = 'm'\n",
        )
        .unwrap();
        let target = |name: &str| TargetName::new(name).unwrap();
        let (set, maths) = (SetName::new("s").unwrap(), RouteName::new("maths").unwrap());
        let table = RoutingTable::new(&config, [((set.clone(), maths.clone()), vec![target("c")])]).unwrap();
        let check = |route: &Route, expected: &str| {
            let plan = table.plan(&set, route, None);
            assert_eq!(plan.targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(), [expected]);
        };
        let stored = Route { targets: vec![target("b")], ..Route::named(maths) };
        check(&stored, "c");
        let other = Route { name: RouteName::new("other").unwrap(), ..stored };
        check(&other, "b");
        check(&Route { targets: Vec::new(), ..other }, "a");
    }
}
