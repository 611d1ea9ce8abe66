//! The prompts that a fit works on, in the form that it needs them in. Routes' descriptions are rows behind the
//! prompts.

use rayon::prelude::*;

use crate::config::FitConfig;
use crate::lexical::{Vocabulary, normalise};
use crate::loss::{Design, SparseRows};
use crate::random::SplitMix64;
use crate::training_set::{Example, Label, Purpose, TrainingSet};

/// Prompts a route that a sample takes in any case, as far as there are so many.
const LEAST_PER_ROUTE: usize = 20;

/// Sampled prompts, and what is computed once for all fits.
pub(crate) struct Corpus {
    pub(crate) routes: usize,
    /// Whether there are prompts that no route applies to; their class is `routes`.
    pub(crate) none: bool,
    /// The prompt's place in the training set, of each row.
    pub(crate) examples: Vec<usize>,
    /// The row of each prompt of the training set; `None` of those that the sample leaves aside.
    rows_of: Vec<Option<usize>>,
    /// The route that each prompt of the training set votes for: also those left aside, which vote where the model is
    /// used.
    voters: Vec<Option<u32>>,
    /// Of each row, and then of each description.
    pub(crate) classes: Vec<u32>,
    /// Whether it is learned from. Descriptions always are.
    pub(crate) taught: Vec<bool>,
    /// Normalised texts of the rows, without the descriptions.
    pub(crate) texts: Vec<String>,
    pub(crate) design: Design,
    pub(crate) bags: SparseRows,
    pub(crate) vocabulary: Vocabulary,
}

impl Corpus {
    /// `vocabulary`: that of a model to start from; `None` learns one.
    pub(crate) fn new(set: &TrainingSet, config: &FitConfig, vocabulary: Option<&Vocabulary>) -> Self {
        let routes = set.routes().len();
        let examples = sample(set, config);
        let class = |example: &Example| match example.label {
            Label::Route(route) => route,
            Label::None => routes as u32,
        };
        let chosen = || examples.iter().map(|example| &set.examples()[*example]);
        let described: Vec<u32> = (0..routes as u32)
            .filter(|route| config.description_weight > 0.0 && set.routes()[*route as usize].embedding.is_some())
            .collect();
        let texts: Vec<String> = examples.par_iter().map(|example| normalise(set.examples()[*example].text)).collect();
        let describe = |route: &u32| {
            let route = set.routes()[*route as usize];
            normalise(&format!("{} {}", spaced(route.name), route.description))
        };
        let descriptions: Vec<String> = described.iter().map(describe).collect();
        let all: Vec<&str> = texts.iter().chain(&descriptions).map(String::as_str).collect();
        let classes: Vec<u32> = chosen().map(class).chain(described.iter().copied()).collect();
        let none = chosen().any(|example| example.label == Label::None && example.purpose == Purpose::Reference);
        let limit = feature_limit(config, routes + usize::from(none));
        let learn = || Vocabulary::learn(all.iter().copied(), limit);
        let vocabulary = vocabulary.cloned().unwrap_or_else(learn);
        let bags: Vec<_> = all.par_iter().map(|text| vocabulary.bag(text)).collect();
        let bags = SparseRows::new(bags, vocabulary.features().len());
        let embeddings = examples.iter().map(|example| set.embeddings().row(*example).to_vec());
        let embedded =
            described.iter().map(|route| set.routes()[*route as usize].embedding.unwrap_or_default().to_vec());
        let rows: Vec<Vec<f32>> = embeddings.chain(embedded).collect();
        let design = Design::new(rows.iter().map(|row| row.as_slice().into()), set.dimension());
        let taught = chosen().map(|example| example.purpose == Purpose::Reference);
        let taught = taught.chain(described.iter().map(|_| true)).collect();
        let mut rows_of = vec![None; set.examples().len()];
        examples.iter().enumerate().for_each(|(row, example)| rows_of[*example] = Some(row));
        let voters = set.examples().iter().map(voter).collect();
        Self { routes, none, examples, rows_of, voters, classes, taught, texts, design, bags, vocabulary }
    }

    /// Prompts that are learned from.
    pub(crate) fn references(&self) -> usize {
        self.taught[..self.rows()].iter().filter(|taught| **taught).count()
    }

    /// Prompts, without the descriptions.
    pub(crate) fn rows(&self) -> usize {
        self.examples.len()
    }

    pub(crate) fn class_count(&self) -> usize {
        self.routes + usize::from(self.none)
    }

    /// The row's route; `None` for prompts that no route applies to.
    pub(crate) fn route(&self, row: usize) -> Option<u32> {
        Some(self.classes[row]).filter(|class| (*class as usize) < self.routes)
    }

    /// The row of a prompt of the training set.
    pub(crate) fn row_of(&self, example: usize) -> Option<usize> {
        self.rows_of[example]
    }

    /// The route that a prompt of the training set votes for.
    pub(crate) fn voter(&self, example: usize) -> Option<u32> {
        self.voters[example]
    }
}

fn voter(example: &Example) -> Option<u32> {
    match (example.label, example.purpose) {
        (Label::Route(route), Purpose::Reference) => Some(route),
        (Label::None, _) | (_, Purpose::Evaluation) => None,
    }
}

/// Names are written as identifiers often are.
fn spaced(name: &str) -> String {
    name.replace(['_', '-', '.', '/'], " ")
}

/// Bounds the lexical weights to some 3 million: more cost memory and time and gain nothing measurable.
fn feature_limit(config: &FitConfig, classes: usize) -> usize {
    config.max_features.min(3_000_000 / classes.max(1))
}

/// All examples, or as many as allowed: of each class the same number, as far as it has so many.
fn sample(set: &TrainingSet, config: &FitConfig) -> Vec<usize> {
    let examples = set.examples();
    if examples.len() <= config.max_rows {
        return (0..examples.len()).collect();
    }
    let mut random = SplitMix64::new(config.seed);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    random.shuffle(&mut order);
    let slot = |example: usize| match examples[example].label {
        Label::Route(route) => route as usize,
        Label::None => set.routes().len(),
    };
    let mut counts = vec![0usize; set.routes().len() + 1];
    order.iter().for_each(|example| counts[slot(*example)] += 1);
    let quota = quota(&counts, config.max_rows).max(LEAST_PER_ROUTE.min(config.max_rows / counts.len()));
    let mut taken = vec![0usize; counts.len()];
    order.retain(|example| {
        let taken = &mut taken[slot(*example)];
        *taken += 1;
        *taken <= quota
    });
    order.truncate(config.max_rows);
    order.sort_unstable();
    order
}

/// The largest number of prompts a class with which all classes together stay within `limit`.
fn quota(counts: &[usize], limit: usize) -> usize {
    let (mut low, mut high) = (0, limit);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if counts.iter().map(|count| (*count).min(middle)).sum::<usize>() <= limit {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_spares_small_classes() {
        assert_eq!(quota(&[100_000, 5], 1_000), 995);
        assert_eq!(quota(&[10, 10], 1_000), 1_000);
        assert_eq!(quota(&[100, 100, 100], 150), 50);
    }
}
