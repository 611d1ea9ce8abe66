//! What the embedding stage found about a prompt: all that a decision rests on, and that no option of a request
//! changes but the number of neighbours. Shared, never changed: answers from the cache point to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::judge::{Doubt, doubts};
use super::knn::{RouteScore, VOTERS, vote};
use crate::embed::{EmbedError, EmbedQueue, Embedded};
use crate::prompt::Prompt;
use crate::reference::{Neighbour, Snapshot};

#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Likeliest route first.
    pub scores: Box<[RouteScore]>,
    /// What speaks against trusting the vote.
    pub doubts: Box<[Doubt]>,
    /// Nearest first.
    pub neighbours: Box<[Neighbour]>,
    /// Neighbours that were searched for: a small set has fewer.
    pub searched: usize,
    /// Tokens read, special tokens included.
    pub input_tokens: usize,
    /// Share of the prompt that was read, in [0, 1].
    pub input_seen: f32,
}

/// Evidence that was gathered just now, and what it took.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub evidence: Arc<Evidence>,
    pub queue: Duration,
    pub embed: Duration,
    pub search: Duration,
}

/// What evidence is wanted on.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub embed: &'a EmbedQueue,
    pub snapshot: &'a Arc<Snapshot>,
    pub prompt: &'a Prompt,
    /// Neighbours wanted.
    pub neighbours: usize,
    pub deadline: Option<Instant>,
}

impl Question<'_> {
    /// How it is answered: by what can outlive the request that asked first.
    pub(super) fn search(self) -> Search {
        Search {
            embed: self.embed.clone(),
            snapshot: Arc::clone(self.snapshot),
            text: self.prompt.text(),
            neighbours: self.neighbours,
            deadline: self.deadline,
        }
    }
}

/// Gathers evidence.
pub(super) struct Search {
    pub embed: EmbedQueue,
    pub snapshot: Arc<Snapshot>,
    pub text: Arc<str>,
    pub neighbours: usize,
    pub deadline: Option<Instant>,
}

impl Search {
    pub(super) async fn run(self) -> Result<Found, EmbedError> {
        let embedded = self.embed.embed(self.text, self.deadline).await?;
        let begun = Instant::now();
        let evidence = Arc::new(Evidence::gather(&embedded, &self.snapshot, self.neighbours));
        Ok(Found { evidence, queue: embedded.queued, embed: embedded.computed, search: begun.elapsed() })
    }
}

impl Evidence {
    /// Searches and counts the vote. A snapshot without neighbours has every doubt.
    fn gather(embedded: &Embedded, snapshot: &Snapshot, neighbours: usize) -> Self {
        let searched = VOTERS.max(neighbours);
        let neighbours = snapshot.nearest(&embedded.embedding, searched);
        let scores = vote(&neighbours);
        let winner = scores.first().and_then(|first| snapshot.route(first.route));
        let doubts = match winner.or_else(|| snapshot.routes.first()) {
            Some(route) => doubts(&scores, route, &snapshot.policy),
            None => Vec::new(),
        };
        Self {
            scores: scores.into(),
            doubts: doubts.into(),
            neighbours: neighbours.into(),
            searched,
            input_tokens: embedded.tokens,
            input_seen: embedded.seen,
        }
    }

    /// Whether it tells as many neighbours as are wanted, or all that there are.
    pub(super) fn suffices(&self, neighbours: usize) -> bool {
        self.searched >= neighbours
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.scores) + size_of_val(&*self.doubts) + size_of_val(&*self.neighbours)
    }
}
