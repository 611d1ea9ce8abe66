//! What is looked at before a version goes live: do its prompts agree with each other, and with the version before?

use std::collections::HashMap;

use super::error::BuildError;
use super::report::{MAX_RELABELLED_SHOWN, Relabelled};
use crate::classify::{VOTERS, vote};
use crate::embed::Embedding;
use crate::index::VectorMatrix;
use crate::reference::{ReferenceId, RouteIndex, SetVersion, Snapshot, Store, TextHash};

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
        for prompt in page {
            let present = routes.get(&TextHash::of(&prompt.text)).and_then(|index| now.route(*index));
            let Some(route) = present.filter(|route| route.name != prompt.route) else { continue };
            count += 1;
            if examples.len() < MAX_RELABELLED_SHOWN {
                examples.push(Relabelled { text: prompt.text, before: prompt.route, after: route.name.clone() });
            }
        }
    }
}
