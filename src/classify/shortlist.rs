//! Which routes the LLM stage is asked to choose from. The one place that decides it.

use super::evidence::Evidence;
use crate::reference::RouteIndex;

/// Routes without which there is nothing to choose.
const LEAST: usize = 2;

/// Likeliest first: the fewest that hold the right one in all likelihood, as the decision model has found; without
/// one, every route that got a vote. The stage asks of the first `llm.shortlist` of them.
pub(super) fn shortlist(evidence: &Evidence) -> Vec<RouteIndex> {
    let wanted = evidence.judged.map_or(usize::MAX, |judged| judged.shortlist.max(LEAST));
    evidence.scores.iter().take(wanted).map(|score| score.route).collect()
}
