//! The way from a prompt to a decision: embed, search, vote; if unsure ask the LLM; else do as the set's policy says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::decision::{Decision, LlmOutcome, Stage, Timings};
use super::judge::{Doubt, doubts};
use super::knn::{RouteScore, VOTERS, vote};
use super::llm::{LlmError, LlmStage};
use crate::embed::{EmbedError, EmbedQueue};
use crate::prompt::Prompt;
use crate::reference::{Fallback, Neighbour, RouteIndex, Snapshot};

/// What a request may ask of the classification.
#[derive(Debug, Clone, Copy)]
pub struct ClassifyOptions {
    /// Neighbours to show as evidence.
    pub neighbours: usize,
    pub allow_llm: bool,
    pub deadline: Option<Instant>,
    pub purpose: Purpose,
}

/// What the decision is for, and so what the LLM stage has to leave time for: it is optional, and must not cost the
/// caller the answer that there is without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The decision is the answer: a fifth of the time left is kept back, at most [`MAX_RESERVE`].
    Answer,
    /// A completion follows: half of the time left is kept back, as between targets of a dispatch.
    Completion,
}

/// See [`Purpose::Answer`].
const MAX_RESERVE: Duration = Duration::from_millis(100);

impl Purpose {
    /// When the LLM stage must have answered.
    fn llm_deadline(self, deadline: Instant, now: Instant) -> Instant {
        let left = deadline.saturating_duration_since(now);
        let reserve = match self {
            Self::Answer => MAX_RESERVE.min(left / 5),
            Self::Completion => left / 2,
        };
        now + (left - reserve)
    }
}

/// Clone it freely.
#[derive(Clone)]
pub struct Cascade {
    queue: EmbedQueue,
    llm: Option<Arc<LlmStage>>,
}

/// What the embedding stage found.
struct Vote {
    scores: Vec<RouteScore>,
    doubts: Vec<Doubt>,
}

impl Cascade {
    pub fn new(queue: EmbedQueue, llm: Option<Arc<LlmStage>>) -> Self {
        Self { queue, llm }
    }

    /// Decides on one snapshot from beginning to end. The only errors are those of embedding: an LLM stage that fails
    /// degrades, and the decision says so.
    pub async fn decide(
        &self,
        snapshot: Arc<Snapshot>,
        prompt: &Prompt,
        options: ClassifyOptions,
    ) -> Result<Decision, EmbedError> {
        let begun = Instant::now();
        let embedded = self.queue.embed(prompt.text(), options.deadline).await?;
        let searching = Instant::now();
        let mut neighbours = snapshot.nearest(&embedded.embedding, VOTERS.max(options.neighbours));
        let vote = count(&neighbours, &snapshot);
        let search = searching.elapsed();

        let asking = Instant::now();
        let (llm, choice) = self.ask_llm(&vote, prompt, &snapshot, options).await;
        let asked = !matches!(llm, LlmOutcome::NotNeeded | LlmOutcome::NotConfigured | LlmOutcome::NotAllowed);
        let (stage, route) = settle(llm, choice, &vote, &snapshot);

        neighbours.truncate(options.neighbours);
        let timings = Timings {
            queue: embedded.queued,
            embed: embedded.computed,
            search,
            llm: asked.then(|| asking.elapsed()),
            total: begun.elapsed(),
        };
        Ok(Decision {
            id: Uuid::now_v7(),
            snapshot,
            route,
            stage,
            llm,
            doubts: vote.doubts,
            scores: vote.scores,
            neighbours,
            input_tokens: embedded.tokens,
            input_seen: embedded.seen,
            timings,
        })
    }

    async fn ask_llm(
        &self,
        vote: &Vote,
        prompt: &Prompt,
        snapshot: &Snapshot,
        options: ClassifyOptions,
    ) -> (LlmOutcome, Option<RouteIndex>) {
        if vote.doubts.is_empty() {
            return (LlmOutcome::NotNeeded, None);
        }
        let Some(llm) = &self.llm else { return (LlmOutcome::NotConfigured, None) };
        if !options.allow_llm {
            return (LlmOutcome::NotAllowed, None);
        }
        let candidates: Vec<RouteIndex> = vote.scores.iter().map(|score| score.route).collect();
        let deadline = options.deadline.map(|deadline| options.purpose.llm_deadline(deadline, Instant::now()));
        match llm.choose(&prompt.text(), snapshot, &candidates, deadline).await {
            Ok(Some(route)) => (LlmOutcome::Verdict, Some(route)),
            Ok(None) => (LlmOutcome::NoneApplies, None),
            Err(LlmError::Timeout { .. }) => (LlmOutcome::Timeout, None),
            Err(LlmError::Call { .. }) => (LlmOutcome::Error, None),
            Err(LlmError::NoVerdict(_)) => (LlmOutcome::NoVerdict, None),
        }
    }
}

/// Counts the vote and what speaks against trusting it. A snapshot without neighbours has every doubt.
fn count(neighbours: &[Neighbour], snapshot: &Snapshot) -> Vote {
    let scores = vote(neighbours);
    let winner = scores.first().and_then(|first| snapshot.route(first.route));
    let doubts = match winner.or_else(|| snapshot.routes.first()) {
        Some(route) => doubts(&scores, route, &snapshot.policy),
        None => Vec::new(),
    };
    Vote { scores, doubts }
}

/// Which stage decides, and what: pure.
fn settle(
    llm: LlmOutcome,
    choice: Option<RouteIndex>,
    vote: &Vote,
    snapshot: &Snapshot,
) -> (Stage, Option<RouteIndex>) {
    let winner = vote.scores.first().map(|first| first.route);
    let default_route = match &snapshot.policy.fallback {
        Fallback::DefaultRoute(name) => snapshot.find_route(name.as_str()),
        Fallback::BestGuess | Fallback::Abstain => None,
    };
    match (llm, &snapshot.policy.fallback) {
        (LlmOutcome::NotNeeded, _) => (Stage::Embedding, winner),
        (LlmOutcome::Verdict, _) => (Stage::Llm, choice),
        (_, Fallback::DefaultRoute(_)) if default_route.is_some() => (Stage::DefaultRoute, default_route),
        // The LLM was sure that nothing applies: guessing against it would be worse than saying so.
        (LlmOutcome::NoneApplies, _) => (Stage::Llm, None),
        (_, Fallback::BestGuess) if winner.is_some() => (Stage::BestGuess, winner),
        (_, _) => (Stage::Abstained, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llm_stage_leaves_time_for_what_follows() {
        let now = Instant::now();
        let millis = Duration::from_millis;
        let table = [
            (Purpose::Answer, 10_000, 9_900),
            (Purpose::Answer, 600, 500),
            (Purpose::Answer, 100, 80),
            (Purpose::Answer, 0, 0),
            (Purpose::Completion, 10_000, 5_000),
            (Purpose::Completion, 0, 0),
        ];
        for (purpose, left, expected) in table {
            assert_eq!(purpose.llm_deadline(now + millis(left), now), now + millis(expected), "{purpose:?} {left}");
        }
        assert_eq!(Purpose::Answer.llm_deadline(now, now + millis(5)), now + millis(5), "it has passed already");
    }
}
