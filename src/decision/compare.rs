//! Whether prompts that might be added would make decisions better or worse.

use std::collections::HashMap;

use crate::channels::Opinions;
use crate::config::FitConfig;
use crate::corpus::Corpus;
use crate::error::FitError;
use crate::fit::Folded;
use crate::held_out::{HeldOut, HeldOutInput};
use crate::mix;
use crate::model::ranking;
use crate::neighbours::KEPT;
use crate::training::Trainer;
use crate::training_set::TrainingSet;
use crate::watch::Watch;

/// Held-out prompts that are decided rightly without what might be added, and with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Prompts that were asked: those that were there before, as far as they can be held out.
    pub prompts: usize,
    pub right_before: usize,
    pub right_after: usize,
}

impl Comparison {
    /// Whether decisions are no worse with what might be added. Of nothing that could be asked, nothing can be said.
    pub fn is_harmless(self) -> bool {
        self.prompts > 0 && self.right_after >= self.right_before
    }
}

/// Asks the prompts before `added_from`, each of what is fitted without its fold: once without the examples from
/// `added_from` on, once with them. Folds and the lexical channel's features are the same both times, so that nothing
/// differs but what was added. Prompts of no route are learned from and not asked. The work is that of two
/// [`fit`](crate::fit)s. Runs on rayon's current pool.
///
/// Errors as of [`fit`](crate::fit).
pub fn compare(
    set: &TrainingSet,
    added_from: usize,
    config: &FitConfig,
    watch: &dyn Watch,
) -> Result<Comparison, FitError> {
    config.check()?;
    if added_from == 0 {
        return Ok(Comparison { prompts: 0, right_before: 0, right_after: 0 });
    }
    let cancelled = || watch.cancelled();
    let corpus = Corpus::new(set, config, None);
    let trainer = Trainer::new(&corpus, config, &cancelled);
    // Even if all that is added lies nearer than what was there, as many of that are left.
    let kept = KEPT + set.examples().len() - added_from.min(set.examples().len());
    let Folded { nearest, fold_of, folds } = Folded::new(set, &corpus, config, kept, &cancelled)?;
    let judge = |present: usize| {
        let embeddings = set.embeddings();
        let (fold_of, nearest) = (&fold_of, &nearest);
        let judged = HeldOutInput { trainer: &trainer, fold_of, folds, nearest, embeddings, present, watch }.judge()?;
        Ok::<_, FitError>(right(&judged, |row| corpus.examples[row] < added_from))
    };
    let (before, after) = (judge(added_from)?, judge(set.examples().len())?);
    let both = before.iter().filter_map(|(row, right)| Some((*right, *after.get(row)?)));
    let count = |which: &dyn Fn((bool, bool)) -> bool| both.clone().filter(|pair| which(*pair)).count();
    Ok(Comparison {
        prompts: count(&|_| true),
        right_before: count(&|(before, _)| before),
        right_after: count(&|(_, after)| after),
    })
}

/// Whether each of the rows that are `asked` is decided rightly.
fn right(judged: &[HeldOut], asked: impl Fn(usize) -> bool) -> HashMap<usize, bool> {
    let labelled: Vec<(&HeldOut, u32)> =
        judged.iter().filter(|held| asked(held.row)).filter_map(|held| Some((held, held.route?))).collect();
    let opinions: Vec<(&Opinions, u32)> = labelled.iter().map(|(held, route)| (&held.opinions, *route)).collect();
    let mix = mix::fit(&opinions);
    let mut posterior = Vec::new();
    let decide = |(held, route): (&HeldOut, u32)| {
        mix.posterior(&held.opinions, &mut posterior);
        let first = ranking(&posterior, 1).first().map(|(route, _)| *route);
        (held.row, first == Some(route))
    };
    labelled.into_iter().map(decide).collect()
}
