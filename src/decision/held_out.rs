//! Prompts judged by classifiers that have not seen them, nor their near-duplicates.

use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::channels::{Classifiers, Opinions, Signs, View};
use crate::corpus::Corpus;
use crate::error::FitError;
use crate::neighbours::{DUPLICATE, KEPT, Nearest, PARAPHRASE, nearest};
use crate::random::SplitMix64;
use crate::scope::{ScopeKind, ScopeRow};
use crate::training::{Part, Trainer};
use crate::votes::VOTERS;
use crate::watch::{Phase, Watch};

/// Numbers of opinions that are kept, a channel: they bound the memory of a fit with very many routes.
const MAX_OPINIONS: usize = 6_000_000;

/// Prompts of each kind that a group of routes left out is judged by.
const SCOPE_SAMPLE: usize = 600;

/// Groups of routes that are left out in turn.
const SCOPE_GROUPS: usize = 5;

/// A held-out prompt, and what the channels said of it.
pub(crate) struct HeldOut {
    pub(crate) row: usize,
    /// `None`: no route applies.
    pub(crate) route: Option<u32>,
    pub(crate) fold: usize,
    /// How much it counts beside its paraphrases, in (0, 1].
    pub(crate) weight: f32,
    pub(crate) opinions: Opinions,
    pub(crate) signs: Signs,
}

/// What holding out needs.
pub(crate) struct HeldOutInput<'a> {
    pub(crate) trainer: &'a Trainer<'a>,
    /// Fold of each row, and their number.
    pub(crate) fold_of: &'a [usize],
    pub(crate) folds: usize,
    /// Nearest prompts of the training set of each row, and the embeddings of all of them.
    pub(crate) nearest: &'a [Nearest],
    pub(crate) embeddings: ArrayView2<'a, f32>,
    /// Prompts of the training set that are there: those from here on neither teach nor vote.
    pub(crate) present: usize,
    pub(crate) watch: &'a dyn Watch,
}

impl HeldOutInput<'_> {
    /// Judges the rows, or a sample of them, each by the fit without its fold.
    pub(crate) fn judge(&self) -> Result<Vec<HeldOut>, FitError> {
        let corpus = self.trainer.corpus;
        let chosen = self.sample();
        let done = AtomicUsize::new(0);
        let parts: Result<Vec<Vec<HeldOut>>, FitError> = (0..self.folds)
            .into_par_iter()
            .map(|fold| {
                let seen = |row: usize| self.teaches(row, fold);
                let part = Part { rows: &seen, classes: &|_| true, start: None, lexical: true };
                let classifiers = self.trainer.fit(part)?;
                let judge = |row: usize| self.held_out(&classifiers, row, fold);
                let rows = chosen.iter().copied().filter(|row| self.fold_of[*row] == fold);
                let judged = rows.map(judge).collect();
                self.watch.progress(Phase::HeldOut, done.fetch_add(1, Ordering::Relaxed) + 1, self.folds);
                Ok(judged)
            })
            .collect();
        let mut all: Vec<HeldOut> = parts?.into_iter().flatten().collect();
        all.retain(|held| held.route.is_none() || self.measurable(corpus, held.row));
        all.sort_unstable_by_key(|held| held.row);
        Ok(all)
    }

    fn sample(&self) -> Vec<usize> {
        let corpus = self.trainer.corpus;
        let limit = self.trainer.config.max_held_out.min(MAX_OPINIONS / corpus.routes.max(1));
        let mut rows: Vec<usize> = (0..corpus.rows()).collect();
        if rows.len() > limit {
            SplitMix64::new(self.trainer.config.seed ^ 1).shuffle(&mut rows);
            rows.truncate(limit);
            rows.sort_unstable();
        }
        rows
    }

    /// Whether anything is left of the row's route without its fold. A route of one prompt cannot be held out.
    fn measurable(&self, corpus: &Corpus, row: usize) -> bool {
        let fold = self.fold_of[row];
        (0..corpus.classes.len()).any(|other| {
            corpus.classes[other] == corpus.classes[row] && corpus.taught[other] && self.teaches(other, fold)
        })
    }

    /// Whether a row, or a description behind the rows, may be learned from by those who judge the fold.
    fn teaches(&self, row: usize, fold: usize) -> bool {
        let example = self.trainer.corpus.examples.get(row);
        self.fold_of.get(row).is_none_or(|other| *other != fold) && example.is_none_or(|at| *at < self.present)
    }

    fn held_out(&self, classifiers: &Classifiers, row: usize, fold: usize) -> HeldOut {
        let corpus = self.trainer.corpus;
        let voter = |near: &(u32, f32)| {
            let route = corpus.voter(near.0 as usize).filter(|_| self.is_strange(near, fold));
            Some((route?, near.1))
        };
        let neighbours: Vec<(u32, f32)> = self.nearest[row].iter().filter_map(voter).take(VOTERS).collect();
        let mut opinions = Opinions::default();
        let signs = classifiers.judge(&view(corpus, row, &neighbours), &mut opinions);
        HeldOut { row, route: corpus.route(row), fold, weight: self.weight(row), opinions, signs }
    }

    /// Whether a neighbour is neither in the fold nor a near-duplicate of what it is the neighbour of.
    fn is_strange(&self, (other, similarity): &(u32, f32), fold: usize) -> bool {
        match self.trainer.corpus.row_of(*other as usize) {
            Some(row) => self.teaches(row, fold),
            // Left aside by the sample, and hence in no fold.
            None => *similarity < DUPLICATE,
        }
    }

    /// References of one route that paraphrase each other are one question together: each makes the others easy. Those
    /// of other routes make it hard, and evaluation prompts come as often as they come.
    fn weight(&self, row: usize) -> f32 {
        let corpus = self.trainer.corpus;
        if !corpus.taught[row] {
            return 1.0;
        }
        let route = corpus.route(row);
        let alike = self.nearest[row].iter().take_while(|(_, similarity)| *similarity >= PARAPHRASE);
        let own = alike.filter(|(other, _)| route.is_some() && corpus.voter(*other as usize) == route);
        1.0 / (1.0 + own.count() as f32)
    }

    /// Judges prompts by fits without their routes, and others by the same fits.
    pub(crate) fn scope_rows(&self) -> Result<Vec<ScopeRow>, FitError> {
        let corpus = self.trainer.corpus;
        // Of fewer than 4 routes, too much would be missing.
        if corpus.routes < 4 {
            return Ok(Vec::new());
        }
        let groups = SCOPE_GROUPS.min(corpus.routes / 2);
        let mut order: Vec<usize> = (0..corpus.routes).collect();
        SplitMix64::new(self.trainer.config.seed ^ 2).shuffle(&mut order);
        let mut group_of = vec![usize::MAX; corpus.class_count()];
        order.iter().enumerate().for_each(|(place, route)| group_of[*route] = place % groups);
        let done = AtomicUsize::new(0);
        let parts: Result<Vec<Vec<ScopeRow>>, FitError> = (0..groups)
            .into_par_iter()
            .map(|group| {
                let rows = self.scope_group(group, &group_of)?;
                self.watch.progress(Phase::OutOfScope, done.fetch_add(1, Ordering::Relaxed) + 1, groups);
                Ok(rows)
            })
            .collect();
        Ok(parts?.into_iter().flatten().collect())
    }

    /// The fit without a group of routes, and without one fold of the others.
    fn scope_group(&self, group: usize, group_of: &[usize]) -> Result<Vec<ScopeRow>, FitError> {
        let corpus = self.trainer.corpus;
        let left_out = |class: u32| group_of.get(class as usize).is_some_and(|other| *other == group);
        let fold = group % self.folds;
        let seen = |row: usize| self.teaches(row, fold);
        let part = Part { rows: &seen, classes: &|class| !left_out(class), start: None, lexical: false };
        let classifiers = self.trainer.fit(part)?;
        let mut order: Vec<usize> = (0..corpus.rows()).collect();
        SplitMix64::new(self.trainer.config.seed ^ (3 + group as u64)).shuffle(&mut order);
        let some = |kind: &dyn Fn(usize) -> bool| -> Vec<usize> {
            order.iter().copied().filter(|row| kind(*row)).take(SCOPE_SAMPLE).collect()
        };
        let strange = some(&|row| left_out(corpus.classes[row]));
        let known = some(&|row| corpus.route(row).is_some() && !left_out(corpus.classes[row]) && !seen(row));
        let queries: Vec<usize> = strange.iter().chain(&known).copied().collect();
        let keep = |_: usize, other: usize| corpus.voter(other).is_some_and(|route| !left_out(route));
        let embeddings = corpus.design.select(&queries);
        let cancelled = || self.watch.cancelled();
        let nearest = nearest(embeddings.embeddings(queries.len()), self.embeddings, KEPT, &keep, &cancelled)?;
        // The classifiers count without the routes that are left out.
        let numbers: Vec<u32> = (0..corpus.routes as u32).filter(|route| !left_out(*route)).collect();
        let mut logits = Vec::new();
        let mut rows = Vec::with_capacity(queries.len());
        for (place, (row, near)) in queries.into_iter().zip(nearest).enumerate() {
            let voters = near.into_iter().filter(|near| self.is_strange(near, fold));
            let votes = voters.filter_map(|(other, similarity)| Some((corpus.voter(other as usize)?, similarity)));
            let neighbours: Vec<(u32, f32)> = votes.take(VOTERS).collect();
            let view = view(corpus, row, &neighbours);
            classifiers.head_logits(view.embedding, &mut logits);
            let kind = if place < strange.len() { ScopeKind::LeftOut } else { ScopeKind::Known };
            let signs = classifiers.signs(&view, &logits);
            let Some(head_first) = numbers.get(signs.head_first as usize).copied() else { continue };
            rows.push(ScopeRow { signs: Signs { head_first, ..signs }, kind });
        }
        Ok(rows)
    }
}

fn view<'a>(corpus: &'a Corpus, row: usize, neighbours: &'a [(u32, f32)]) -> View<'a> {
    let embedding = corpus.design.row(row);
    View { embedding, bag: corpus.bags.row(row), neighbours }
}
