//! What the embedding stage found about a prompt: all that a decision rests on, and that no option of a request
//! changes but the number of neighbours. Shared, never changed: answers from the cache point to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use semroute_decision::Judgement;
use tracing::Instrument;

use super::knn::{RouteScore, VOTERS, vote};
use super::trace;
use super::weigh::ranked;
use crate::embed::{EmbedError, EmbedQueue, Embedded};
use crate::prompt::Prompt;
use crate::reference::{Neighbour, Snapshot};
use crate::telemetry::step;

#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Likeliest route first.
    pub scores: Box<[RouteScore]>,
    /// What the decision model says; `None` if the version has none.
    pub judged: Option<Judged>,
    /// Nearest first.
    pub neighbours: Box<[Neighbour]>,
    /// Neighbours that were searched for: a small set has fewer.
    pub searched: usize,
    /// Tokens read, special tokens included.
    pub input_tokens: usize,
    /// Share of the prompt that was read, in [0, 1].
    pub input_seen: f32,
    /// Words that were read as others, which they are a slip away from.
    pub mended_words: usize,
}

#[cfg(test)]
impl Evidence {
    /// Nothing was found for a prompt of one token.
    pub fn nothing() -> Self {
        Self {
            scores: Box::default(),
            judged: None,
            neighbours: Box::default(),
            searched: 20,
            input_tokens: 1,
            input_seen: 1.0,
            mended_words: 0,
        }
    }
}

/// What the decision model says of the first score's route.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Probability that it is right, given that one of the routes is.
    pub confidence: f32,
    /// Probability that any route applies.
    pub in_scope: f32,
    /// So many of the first scores hold the right route with the probability that the fit was asked for.
    pub shortlist: usize,
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
    /// Whether typing errors are mended.
    pub mend: bool,
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
            mend: self.mend,
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
    pub mend: bool,
}

impl Search {
    pub(super) async fn run(self) -> Result<Found, EmbedError> {
        let (text, mended) = self.read();
        let span = step!("embed");
        let embedded = self.embed.embed(Arc::clone(&text), self.deadline).instrument(span.clone()).await;
        trace::embedded(&span, &embedded);
        let embedded = embedded?;
        let begun = Instant::now();
        let evidence = Evidence::gather(&embedded, &text, &self.snapshot, self.neighbours);
        let evidence = Arc::new(Evidence { mended_words: mended, ..evidence });
        Ok(Found { evidence, queue: embedded.queued, embed: embedded.computed, search: begun.elapsed() })
    }

    /// The text to be classified, and how many words of it were read as others.
    fn read(&self) -> (Arc<str>, usize) {
        let mended =
            self.mend.then(|| self.snapshot.spelling.mend(&self.text, &|word: &str| self.embed.knows_word(word)));
        match mended.filter(|mended| mended.words > 0) {
            Some(mended) => (Arc::from(mended.text), mended.words),
            None => (Arc::clone(&self.text), 0),
        }
    }
}

impl Evidence {
    /// Searches, counts the vote, and asks the decision model.
    fn gather(embedded: &Embedded, text: &str, snapshot: &Snapshot, neighbours: usize) -> Self {
        let searched = VOTERS.max(neighbours);
        let neighbours = step!("search").in_scope(|| snapshot.nearest(&embedded.embedding, searched));
        let mut scores = vote(&neighbours);
        let judgement = step!("judge").in_scope(|| snapshot.judge(&embedded.embedding, text, &neighbours));
        let judged = judgement.map(|judgement| {
            scores = ranked(&judgement, std::mem::take(&mut scores));
            let Judgement { confidence, in_scope, shortlist, .. } = judgement;
            Judged { confidence, in_scope, shortlist }
        });
        Self {
            scores: scores.into(),
            judged,
            neighbours: neighbours.into(),
            searched,
            input_tokens: embedded.tokens,
            input_seen: embedded.seen,
            mended_words: 0,
        }
    }

    /// Whether it tells as many neighbours as are wanted, or all that there are.
    pub(super) fn suffices(&self, neighbours: usize) -> bool {
        self.searched >= neighbours
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.scores) + size_of_val(&*self.neighbours)
    }
}
