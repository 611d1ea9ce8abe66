//! The words that a key's terms may use: those of configured places, and the sets and routes that there are. Any other
//! is a typing error more often than not, and would lock its holder out, or forbid nothing, in silence.
//!
//! A word can become unknown later, by a change of the configuration. Then it allows nothing, as before; a key that
//! denies a provider that is no more can send nothing, since what was meant may bear another name now.

use std::collections::{BTreeMap, BTreeSet};

use super::key::KeyTerms;
use crate::reference::{RouteName, SetName, Store, StoreError};
use crate::routing::{Known, RoutingConfig, SetConfig, Strange};

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
            if let Some(routes) = routes_of(store, &set.name).await? {
                words.sets.entry(set.name).or_default().extend(routes);
            }
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
        self.strange(terms).iter().map(Strange::fault).collect()
    }

    /// What in the terms nothing bears and did not stand in the same field before: field and fault.
    pub(super) fn added(&self, before: &KeyTerms, after: &KeyTerms) -> Vec<(String, String)> {
        let before = self.strange(before);
        let added = self.strange(after).into_iter().filter_map(|strange| strange.added_to(&before));
        added.map(|strange| strange.fault()).collect()
    }

    fn strange(&self, terms: &KeyTerms) -> Vec<Strange> {
        let all = self.sets.keys().cloned().collect();
        let sets = terms.sets.as_ref().and_then(|sets| Strange::find("sets", "set", &texts(sets), &texts(&all)));
        let usable = self.sets.iter().filter(|(set, _)| terms.sets.as_ref().is_none_or(|sets| sets.contains(*set)));
        let usable = usable.flat_map(|(_, routes)| routes.iter().cloned()).collect();
        let routes = terms.routes.as_ref();
        let routes =
            routes.and_then(|routes| Strange::find("routes", "route of its sets", &texts(routes), &texts(&usable)));
        let policy = terms.policy.iter().flat_map(|policy| self.places.strange(policy));
        let policy = policy.map(|strange| strange.below("policy"));
        sets.into_iter().chain(routes).chain(policy).collect()
    }
}

/// Those of a set's draft; `None` if the set has been deleted since it was listed.
async fn routes_of(store: &dyn Store, set: &SetName) -> Result<Option<BTreeSet<RouteName>>, StoreError> {
    match store.list_routes(set).await {
        Ok(routes) => Ok(Some(routes.into_iter().map(|route| route.name).collect())),
        Err(StoreError::UnknownSet { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn texts<T: ToString>(names: &BTreeSet<T>) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SqliteStore;

    #[tokio::test]
    async fn a_set_that_is_deleted_meanwhile_has_no_words() {
        let (store, _folder) = SqliteStore::temporary().await;
        assert_eq!(routes_of(&store, &SetName::new("gone").unwrap()).await.unwrap(), None);
    }
}
