//! The prompts of one set as they are read, and the faults that only show when lines are compared with each other.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::fault::{Faults, FileError, Place, Wrong};
use super::prompt_line::PromptLine;
use super::{SetFiles, Warning};
use crate::reference::name::{ReferenceId, RouteName};
use crate::reference::policy::Fallback;
use crate::reference::types::{Precondition, PromptEdit, PromptPurpose, Route, SetEdit, TextHash};

#[derive(Default)]
pub(super) struct Collection {
    prompts: Vec<PromptEdit>,
    texts: HashMap<TextHash, (RouteName, Place)>,
    ids: HashMap<ReferenceId, Place>,
    duplicates: u64,
    /// By route, also those without any prompt.
    counts: BTreeMap<RouteName, u64>,
}

impl Collection {
    /// Makes a route known although it may have no prompts.
    pub(super) fn add_route(&mut self, route: RouteName) {
        self.counts.entry(route).or_default();
    }

    /// Takes a prompt. One that stands there already with the same route is dropped; an id or text that is taken
    /// otherwise is a fault.
    pub(super) fn add(&mut self, place: Place, route: RouteName, line: PromptLine, faults: &mut Faults) {
        // The many prompts of a route share one name.
        let route = self.counts.get_key_value(&route).map_or(route, |(known, _)| known.clone());
        let hash = TextHash::of(&line.text);
        match self.texts.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert((route.clone(), place.clone()));
            }
            Entry::Occupied(entry) => {
                let (other, first) = entry.get();
                if *other == route {
                    self.duplicates += 1;
                } else {
                    faults.add(&place, Wrong::TwoRoutes { route: other.clone(), first: first.clone() });
                }
                return;
            }
        }
        self.take_id(&place, line.id.as_ref(), hash, faults);
        // A route is known by its references; what is only measured on makes none of it.
        *self.counts.entry(route.clone()).or_default() += u64::from(line.purpose == PromptPurpose::Reference);
        self.prompts.push(PromptEdit {
            id: line.id,
            route,
            text: line.text,
            purpose: line.purpose,
            precondition: Precondition::None,
        });
    }

    /// A prompt without an id will get one from its text, and nobody else may have taken that.
    fn take_id(&mut self, place: &Place, id: Option<&ReferenceId>, hash: TextHash, faults: &mut Faults) {
        let id = match id {
            Some(id) => id.clone(),
            None => match ReferenceId::new(&hash.short()) {
                Ok(id) => id,
                Err(wrong) => return faults.add(place, wrong.into()),
            },
        };
        match self.ids.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(place.clone());
            }
            Entry::Occupied(entry) => {
                faults.add(place, Wrong::DuplicateId { id: entry.key().clone(), first: entry.get().clone() });
            }
        }
    }

    /// Completes the set. `routes` are those that are described; `policy` is where the fallback is written.
    pub(super) fn into_set(
        self,
        edit: SetEdit,
        mut routes: BTreeMap<RouteName, Route>,
        policy: &Place,
        mut faults: Faults,
    ) -> Result<SetFiles, FileError> {
        for name in self.counts.keys() {
            routes.entry(name.clone()).or_insert_with(|| Route::named(name.clone()));
        }
        if let Fallback::DefaultRoute(route) = &edit.policy.fallback
            && !routes.contains_key(route)
        {
            faults.add(policy, Wrong::UnknownFallback { route: route.clone() });
        }
        faults.check()?;
        let mut warnings: Vec<_> = routes
            .keys()
            .filter(|route| self.counts.get(*route).is_none_or(|prompts| *prompts == 0))
            .map(|route| Warning::RouteWithoutPrompts { route: route.clone() })
            .collect();
        if self.duplicates > 0 {
            warnings.push(Warning::DuplicatesDropped { prompts: self.duplicates });
        }
        Ok(SetFiles { edit, routes: routes.into_values().collect(), prompts: self.prompts, warnings })
    }
}
