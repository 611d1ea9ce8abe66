//! Which routes the LLM stage is asked to choose from. The one place that decides it.

use super::evidence::Evidence;
use crate::reference::RouteIndex;

/// Likeliest first: every route that got a vote. The stage asks of the first `llm.shortlist` of them.
pub(super) fn shortlist(evidence: &Evidence) -> Vec<RouteIndex> {
    evidence.scores.iter().map(|score| score.route).collect()
}
