//! A set's files into its draft: what the files hold is written, what they no longer hold is deleted.

use std::collections::HashSet;

use crate::reference::{
    Precondition, PromptFilter, ReferenceId, Result, RouteName, SetFiles, Store, StoreError, TextHash,
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
        let same = |known: &&crate::reference::Route| {
            crate::reference::Route { revision: route.revision, ..(*known).clone() } == *route
        };
        if present.iter().find(|known| known.name == route.name).filter(same).is_none() {
            store.upsert_route(set, route, Precondition::None).await?;
        }
    }
    for batch in files.prompts.chunks(BATCH) {
        store.upsert_prompts(set, batch).await?;
    }

    let wanted: HashSet<ReferenceId> = files
        .prompts
        .iter()
        .filter_map(|edit| edit.id.clone().or_else(|| ReferenceId::new(&TextHash::of(&edit.text).short()).ok()))
        .collect();
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
