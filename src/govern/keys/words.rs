//! The words that a key's terms may use: those of configured places, and the sets and routes that there are. Any other is
//! a typing error more often than not, and would lock its holder out, or forbid nothing, in silence.
//!
//! A word can become unknown later, by a change of the configuration. Then it allows nothing, as before; a key that
//! denies a provider that is no more can send nothing, since what was meant may bear another name now.

use std::collections::{BTreeMap, BTreeSet};

use super::key::KeyTerms;
use crate::reference::{RouteName, SetName, Store, StoreError};
use crate::routing::{Known, RoutingConfig, SetConfig, unknown};

#[derive(Debug, Clone, Default)]
pub struct Words {
    places: Known,
    sets: BTreeMap<SetName, BTreeSet<RouteName>>,
}

impl Words {
    /// Those of the configuration and of the store; `more`: sets that the store will soon have.
    pub async fn read(
        config: &RoutingConfig,
        store: &dyn Store,
        more: impl IntoIterator<Item = (SetName, BTreeSet<RouteName>)>,
    ) -> Result<Self, StoreError> {
        let mut words = Self::of(config);
        for (set, routes) in more {
            words.sets.entry(set).or_default().extend(routes);
        }
        for set in store.list_sets().await? {
            let routes = store.list_routes(&set.name).await?.into_iter().map(|route| route.name);
            words.sets.entry(set.name).or_default().extend(routes);
        }
        Ok(words)
    }

    /// Those of the configuration alone.
    pub fn of(config: &RoutingConfig) -> Self {
        let routes = |rules: &SetConfig| rules.routes.keys().cloned().collect();
        let sets = config.sets.iter().map(|(set, rules)| (set.clone(), routes(rules))).collect();
        Self { places: Known::new(config), sets }
    }

    /// What in the terms nothing bears: field and fault.
    pub fn unknown(&self, terms: &KeyTerms) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let all = self.sets.keys().cloned().collect();
        if let Some(what) = terms.sets.as_ref().and_then(|sets| unknown("set", &texts(sets), &texts(&all))) {
            faults.push(("sets".to_owned(), what));
        }
        let usable = self.sets.iter().filter(|(set, _)| terms.sets.as_ref().is_none_or(|sets| sets.contains(*set)));
        let routes = usable.flat_map(|(_, routes)| routes.iter().cloned()).collect();
        let named = terms.routes.as_ref();
        if let Some(what) = named.and_then(|named| unknown("route of its sets", &texts(named), &texts(&routes))) {
            faults.push(("routes".to_owned(), what));
        }
        let policy = terms.policy.iter().flat_map(|policy| self.places.unknown(policy));
        faults.extend(policy.map(|(field, what)| (format!("policy.{field}"), what)));
        faults
    }
}

fn texts<T: ToString>(names: &BTreeSet<T>) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}
