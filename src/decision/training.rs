//! Fits of the two classifiers, on all rows or on some.

use ndarray::Array2;

use crate::channels::Classifiers;
use crate::config::FitConfig;
use crate::corpus::Corpus;
use crate::error::FitError;
use crate::lbfgs::{Stop, minimise};
use crate::loss::{DenseLoss, Design, SparseLoss, Targets};

/// A fit ends where another step promises less, in mean cross-entropy.
const HEAD_GAIN: f64 = 1e-3;
const LEXICAL_GAIN: f64 = 3e-3;

const MAX_ITERATIONS: usize = 60;

/// A fit that starts from another ends where another step promises less than this for a single row.
const GAIN_OF_A_ROW: f64 = 0.01;

/// Its steps at most: it has not far to go.
const RESTARTED_ITERATIONS: usize = 10;

/// Rare classes weigh more: (mean count / count) to this power. 0 would be as counted, 1 all classes alike; the
/// references' numbers say something of what will come, but less than a count of it would.
const BALANCE: f32 = 0.5;

/// Bounds of that factor: it grows until a class has one prompt where the mean has 10,000.
const BALANCE_RANGE: (f32, f32) = (0.1, 100.0);

/// A class with less than a quarter of what each had if all weighed the same is rare: where a fit stops is measured by
/// the rarest. Of a mean over 100,000 prompts, what five of another class gain is nothing. That set is fitted in
/// 40.3 s instead of 36.7 (two cores with AVX2), sets without rare classes in the same time.
const RARE: f64 = 4.0;

/// The finest that a fit becomes for their sake.
const FINEST: f64 = 0.01;

/// Fits on parts of a corpus.
pub(crate) struct Trainer<'a> {
    pub(crate) corpus: &'a Corpus,
    pub(crate) config: &'a FitConfig,
    preconditioner: Array2<f32>,
    cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// What a fit leaves out and starts from.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// Whether the row (or description) is learned from.
    pub(crate) rows: &'a dyn Fn(usize) -> bool,
    /// Classes that exist; the others are not even wrong.
    pub(crate) classes: &'a dyn Fn(u32) -> bool,
    /// A fit on more rows to start from. The optimum is the same; it is only reached sooner.
    pub(crate) start: Option<&'a Classifiers>,
    /// Whether the lexical classifier is fitted too.
    pub(crate) lexical: bool,
}

impl<'a> Trainer<'a> {
    pub(crate) fn new(corpus: &'a Corpus, config: &'a FitConfig, cancelled: &'a (dyn Fn() -> bool + Sync)) -> Self {
        let weights = weights(corpus, config, &|_| true);
        let total: f32 = weights.iter().sum();
        let moments = corpus.design.moments(&weights);
        let ridge = f64::from(config.head_ridge / total.max(1.0));
        let preconditioner = Design::preconditioner(&moments, corpus.class_count(), ridge);
        Self { corpus, config, preconditioner, cancelled }
    }

    /// The classifiers of a part. Classes left out are renumbered away.
    pub(crate) fn fit(&self, part: Part) -> Result<Classifiers, FitError> {
        let corpus = self.corpus;
        let mut renumbered = vec![0u32; corpus.class_count()];
        let mut count = 0;
        for (class, number) in renumbered.iter_mut().enumerate() {
            *number = count;
            count += u32::from((part.classes)(class as u32));
        }
        let exists = |row: usize| {
            let class = corpus.classes[row];
            (class as usize) < corpus.class_count() && (part.classes)(class) && (part.rows)(row)
        };
        let weights = weights(corpus, self.config, &exists);
        let classes: Vec<u32> =
            corpus.classes.iter().map(|class| renumbered.get(*class as usize).copied().unwrap_or(0)).collect();
        let targets = Targets { classes: &classes, weights: &weights, count: count as usize };
        let (head, lexical) = rayon::join(
            || self.head(targets, part.start),
            || if part.lexical { self.lexical(targets, part.start) } else { Some(Vec::new()) },
        );
        let none = corpus.none && (part.classes)(corpus.routes as u32);
        Ok(Classifiers {
            routes: count as usize - usize::from(none),
            none,
            dimension: corpus.design.view().ncols() - 1,
            head: head.ok_or(FitError::Cancelled)?,
            lexical: lexical.ok_or(FitError::Cancelled)?,
        })
    }

    fn head(&self, targets: Targets, start: Option<&Classifiers>) -> Option<Vec<f32>> {
        let used: Vec<usize> = (0..targets.weights.len()).filter(|row| targets.weights[*row] > 0.0).collect();
        let design = self.corpus.design.select(&used);
        let classes: Vec<u32> = used.iter().map(|row| targets.classes[*row]).collect();
        let weights: Vec<f32> = used.iter().map(|row| targets.weights[*row]).collect();
        let mut loss = DenseLoss {
            design: &design,
            targets: Targets { classes: &classes, weights: &weights, count: targets.count },
            ridge: self.config.head_ridge,
            preconditioner: &self.preconditioner,
        };
        let size = targets.count * design.view().ncols();
        let mut point = start.map_or_else(|| vec![0.0; size], |start| start.head.clone());
        minimise(&mut loss, &mut point, stop(HEAD_GAIN, &targets, start.map(|_| used.len())), &self.cancelled)?;
        Some(point)
    }

    fn lexical(&self, targets: Targets, start: Option<&Classifiers>) -> Option<Vec<f32>> {
        let mut loss = SparseLoss::new(&self.corpus.bags, targets, self.config.lexical_ridge);
        let size = targets.count * (self.corpus.bags.columns() + 1);
        let mut point = start.map_or_else(|| vec![0.0; size], |start| start.lexical.clone());
        let stop = stop(LEXICAL_GAIN, &targets, start.map(|_| targets.weights.len()));
        minimise(&mut loss, &mut point, stop, &self.cancelled)?;
        Some(point)
    }
}

/// `restarted`: rows of a fit that starts from another. What a single new row promises is little of the mean, and must
/// not be too little to begin.
fn stop(least_gain: f64, targets: &Targets, restarted: Option<usize>) -> Stop {
    let least_gain = least_gain * rarity(targets);
    match restarted {
        None => Stop { max_iterations: MAX_ITERATIONS, least_gain },
        Some(rows) => {
            let of_a_row = GAIN_OF_A_ROW / rows.max(1) as f64;
            Stop { max_iterations: RESTARTED_ITERATIONS, least_gain: least_gain.min(of_a_row) }
        }
    }
}

/// 1, or less where a class is rare.
fn rarity(targets: &Targets) -> f64 {
    let mut sums = vec![0.0f64; targets.count];
    let learned = targets.classes.iter().zip(targets.weights).filter(|(_, weight)| **weight > 0.0);
    for (class, weight) in learned {
        sums[*class as usize] += f64::from(*weight);
    }
    let total: f64 = sums.iter().sum();
    let present = || sums.iter().copied().filter(|sum| *sum > 0.0);
    let least = present().fold(total, f64::min);
    if total > 0.0 { (RARE * least * present().count() as f64 / total).clamp(FINEST, 1.0) } else { 1.0 }
}

/// Weights of the rows and descriptions that `used` and that are learned from; 0 of the others.
fn weights(corpus: &Corpus, config: &FitConfig, used: &dyn Fn(usize) -> bool) -> Vec<f32> {
    let mut counts = vec![0usize; corpus.routes + 1];
    let taught = |row: usize| corpus.taught[row] && used(row);
    let prompts = (0..corpus.rows()).filter(|row| taught(*row));
    prompts.for_each(|row| counts[corpus.classes[row] as usize] += 1);
    let present = counts.iter().filter(|count| **count > 0).count().max(1);
    let mean = counts.iter().sum::<usize>() as f32 / present as f32;
    (0..corpus.classes.len())
        .map(|row| {
            if !taught(row) {
                return 0.0;
            }
            let count = counts[corpus.classes[row] as usize].max(1) as f32;
            let balance = (mean / count).powf(BALANCE).clamp(BALANCE_RANGE.0, BALANCE_RANGE.1);
            if row < corpus.rows() { balance } else { balance * config.description_weight }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: &[(usize, f32)]) -> f64 {
        let classes: Vec<u32> = counts.iter().zip(0..).flat_map(|((count, _), class)| vec![class; *count]).collect();
        let weights: Vec<f32> = counts.iter().flat_map(|(count, weight)| vec![*weight; *count]).collect();
        rarity(&Targets { classes: &classes, weights: &weights, count: counts.len() })
    }

    #[test]
    fn only_a_rare_class_makes_fits_finer() {
        assert_eq!(of(&[(10, 1.0), (10, 1.0), (4, 1.0)]), 1.0);
        assert!((of(&[(1_000, 1.0), (5, 10.0)]) - 4.0 * 50.0 * 2.0 / 1_050.0).abs() < 1e-6);
        assert_eq!(of(&[(100_000, 1.0), (1, 1.0)]), FINEST);
        assert_eq!(of(&[(100, 1.0), (100, 0.0)]), 1.0, "a class that nothing is learned of is not rare");
        assert_eq!(of(&[]), 1.0);
    }
}
