//! What is looked at before a version goes live: do its prompts agree with each other, and with the version before?

use std::collections::{BTreeMap, HashMap};

use super::error::BuildError;
use super::report::{MAX_RELABELLED_SHOWN, Relabelled};
use crate::classify::{VOTERS, vote};
use crate::embed::Embedding;
use crate::index::VectorMatrix;
use crate::reference::{
    PromptPurpose, ReferenceId, RouteIndex, RouteName, SetVersion, Snapshot, Store, TextHash, is_neighbour,
};

/// Prompts whose vote is taken, evenly spread over the set.
const SAMPLE: usize = 2_000;

const PAGE: u32 = 1_000;

/// Share of sampled prompts whose own route wins the vote of all other prompts; `None` for fewer than two prompts.
pub(super) fn agreement(snapshot: &Snapshot, vectors: &VectorMatrix) -> Option<f32> {
    let rows = snapshot.references.len();
    if rows < 2 {
        return None;
    }
    let (mut asked, mut agreed) = (0usize, 0usize);
    for row in (0..rows).step_by(rows.div_ceil(SAMPLE)) {
        let reference = snapshot.references.get(row)?;
        let own = Embedding::stored(vectors.row(row).to_vec(), vectors.dimension()).ok()?;
        let mut neighbours = snapshot.nearest(&own, VOTERS + 1);
        neighbours.retain(|neighbour| neighbour.reference as usize != row);
        asked += 1;
        agreed += usize::from(vote(&neighbours).first().is_some_and(|first| first.route == reference.route));
    }
    Some(agreed as f32 / asked.max(1) as f32)
}

/// How many prompts of two versions stand in one of them only, or with another route or purpose. `None` if
/// they have other evaluation prompts: what was measured on the old ones says nothing then.
pub(super) async fn changed(
    store: &dyn Store,
    before: &SetVersion,
    now: &SetVersion,
) -> Result<Option<u64>, BuildError> {
    let (mut old, new) = (labels_by_text(store, before).await?, labels_by_text(store, now).await?);
    if measured_on(&old) != measured_on(&new) {
        return Ok(None);
    }
    let differing = new.iter().filter(|(text, label)| old.remove(*text).as_ref() != Some(*label)).count();
    Ok(Some((differing + old.len()) as u64))
}

fn measured_on(labels: &HashMap<TextHash, Label>) -> BTreeMap<TextHash, &RouteName> {
    let measured = labels.iter().filter(|(_, (_, purpose))| *purpose == PromptPurpose::Evaluation);
    measured.map(|(text, (route, _))| (*text, route)).collect()
}

/// What is said of a text.
type Label = (RouteName, PromptPurpose);

async fn labels_by_text(store: &dyn Store, version: &SetVersion) -> Result<HashMap<TextHash, Label>, BuildError> {
    let mut labels = HashMap::with_capacity(version.prompts as usize);
    let mut after: Option<ReferenceId> = None;
    loop {
        let page = store.version_texts(&version.set, version.version, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(labels) };
        after = Some(last.id.clone());
        labels.extend(page.into_iter().map(|prompt| (TextHash::of(&prompt.text), (prompt.route, prompt.purpose))));
    }
}

/// Texts that the version before had under another route: how many, and the first of them.
pub(super) async fn relabelled(
    store: &dyn Store,
    before: &SetVersion,
    now: &Snapshot,
) -> Result<(u64, Vec<Relabelled>), BuildError> {
    let routes: HashMap<TextHash, RouteIndex> =
        now.references.iter().map(|reference| (TextHash::of(&reference.text), reference.route)).collect();
    let (mut count, mut examples) = (0, Vec::new());
    let mut after: Option<ReferenceId> = None;
    loop {
        let page = store.version_texts(&before.set, before.version, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok((count, examples)) };
        after = Some(last.id.clone());
        for prompt in page.into_iter().filter(|prompt| is_neighbour(&prompt.route, prompt.purpose)) {
            let present = routes.get(&TextHash::of(&prompt.text)).and_then(|index| now.route(*index));
            let Some(route) = present.filter(|route| route.name != prompt.route) else { continue };
            count += 1;
            if examples.len() < MAX_RELABELLED_SHOWN {
                examples.push(Relabelled { text: prompt.text, before: prompt.route, after: route.name.clone() });
            }
        }
    }
}
