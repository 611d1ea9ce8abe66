//! A set's files into its draft: what the files hold is written, what they no longer hold is deleted.

use std::collections::{HashMap, HashSet};

use crate::reference::{
    Precondition, PromptEdit, PromptFilter, ReferenceId, ReferenceSet, Result, Route, RouteName, SetFiles, Store,
    StoreError, TextHash,
};

/// Prompts written or read in one transaction.
const BATCH: usize = 1_000;

/// What changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Synced {
    /// Prompts in the files.
    pub prompts: u64,
    /// Prompts of the draft that the files do not hold.
    pub deleted: u64,
}

/// Makes the draft of the set equal to its files. The set and its routes come first, so that a kill in the middle
/// leaves a draft that the next call completes; nothing of it is live before it is published.
pub async fn sync_files(store: &dyn Store, files: SetFiles) -> Result<Synced> {
    let set = &files.edit.name;
    let unchanged = match store.get_set(set).await {
        Ok(present) => present.description == files.edit.description && present.policy == files.edit.policy,
        Err(StoreError::UnknownSet { .. }) => false,
        Err(error) => return Err(error),
    };
    if !unchanged {
        store.upsert_set(&files.edit, Precondition::None).await?;
    }
    let present = store.list_routes(set).await?;
    for route in &files.routes {
        if !present.iter().any(|known| same_route(known, route)) {
            store.upsert_route(set, route, Precondition::None).await?;
        }
    }
    for batch in files.prompts.chunks(BATCH) {
        store.upsert_prompts(set, batch).await?;
    }

    let wanted: HashSet<ReferenceId> = files.prompts.iter().filter_map(id_of).collect();
    let mut synced = Synced { prompts: wanted.len() as u64, deleted: 0 };
    let mut after = None;
    loop {
        let filter = PromptFilter { route: None, after: after.take(), limit: BATCH as u32 };
        let page = store.list_prompts(set, &filter).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        let gone: Vec<(ReferenceId, Precondition)> = page
            .iter()
            .filter(|prompt| !wanted.contains(&prompt.id))
            .map(|prompt| (prompt.id.clone(), Precondition::None))
            .collect();
        if !gone.is_empty() {
            store.delete_prompts(set, &gone).await?;
            synced.deleted += gone.len() as u64;
        }
    }
    let kept: HashSet<&RouteName> = files.routes.iter().map(|route| &route.name).collect();
    for route in present.iter().filter(|route| !kept.contains(&route.name)) {
        store.delete_route(set, &route.name, true, Precondition::None).await?;
    }
    Ok(synced)
}

/// Whether a draft is what a kill leaves of a first [`sync_files`]: nothing was ever built of it, and it holds a part of
/// the files and nothing else. A draft that somebody has worked on is not, and stays as it is.
pub async fn is_half_taken(store: &dyn Store, present: &ReferenceSet, files: &SetFiles) -> Result<bool> {
    let edit = &files.edit;
    if present.description != edit.description || present.policy != edit.policy {
        return Ok(false);
    }
    if (present.routes, present.prompts) == (files.routes.len() as u64, files.prompts.len() as u64)
        || !store.list_versions(&present.name).await?.is_empty()
    {
        return Ok(false);
    }
    let routes = store.list_routes(&present.name).await?;
    if !routes.iter().all(|known| files.routes.iter().any(|route| same_route(known, route))) {
        return Ok(false);
    }
    let prompts: HashMap<ReferenceId, &PromptEdit> =
        files.prompts.iter().filter_map(|edit| Some((id_of(edit)?, edit))).collect();
    let mut after = None;
    loop {
        let filter = PromptFilter { route: None, after: after.take(), limit: BATCH as u32 };
        let page = store.list_prompts(&present.name, &filter).await?;
        let Some(last) = page.last() else { return Ok(true) };
        after = Some(last.id.clone());
        let from_files = page.iter().all(|prompt| {
            prompts.get(&prompt.id).is_some_and(|edit| {
                edit.text == prompt.text && edit.route == prompt.route && edit.purpose == prompt.purpose
            })
        });
        if !from_files {
            return Ok(false);
        }
    }
}

/// But for the revision, which files do not know.
fn same_route(known: &Route, route: &Route) -> bool {
    Route { revision: route.revision, ..known.clone() } == *route
}

/// The id that a prompt has or will be given.
fn id_of(edit: &PromptEdit) -> Option<ReferenceId> {
    edit.id.clone().or_else(|| ReferenceId::new(&TextHash::of(&edit.text).short()).ok())
}
