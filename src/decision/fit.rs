//! A fit, from the prompts to the model.

use std::time::Instant;

use crate::calibrated::{Calibrated, HeldOutVerdict};
use crate::confidence::LEAST_ROWS;
use crate::config::FitConfig;
use crate::corpus::Corpus;
use crate::error::FitError;
use crate::folds::{FoldInput, assign};
use crate::held_out::HeldOutInput;
use crate::metrics;
use crate::model::DecisionModel;
use crate::neighbours::{KEPT, Nearest, nearest};
use crate::report::{FitReport, FitTime};
use crate::scope::ScopeKind;
use crate::training::{Part, Trainer};
use crate::training_set::{Purpose, TrainingSet};
use crate::warnings::{WarningInput, warnings};
use crate::watch::{Phase, Watch};

const BINS: usize = 15;

/// A model and what is known about it.
#[derive(Debug, Clone)]
pub struct Fitted {
    pub model: DecisionModel,
    pub report: FitReport,
    /// Of the prompts of routes that were held out: all, or a sample of a large set.
    pub held_out: Vec<HeldOutVerdict>,
}

/// Fits a model to `set`. Runs on rayon's current pool. Equal input gives an equal model, whatever the number of
/// threads.
///
/// Errors: `BadSetting`; `Cancelled` once `watch` says so. [`TrainingSet::new`] has refused all else.
pub fn fit(set: &TrainingSet, config: &FitConfig, watch: &dyn Watch) -> Result<Fitted, FitError> {
    config.check()?;
    let cancelled = || watch.cancelled();
    let mut time = FitTime::default();
    let clock = Instant::now();
    let corpus = Corpus::new(set, config, None);
    let trainer = Trainer::new(&corpus, config, &cancelled);

    watch.progress(Phase::Neighbours, 0, 1);
    let Folded { nearest, fold_of, folds } = Folded::new(set, &corpus, config, KEPT, &cancelled)?;
    time.neighbours = clock.elapsed();

    watch.progress(Phase::Classifiers, 0, 1);
    let all = Part { rows: &|_| true, classes: &|_| true, start: None, lexical: true };
    let classifiers = trainer.fit(all)?;
    time.classifiers = clock.elapsed() - time.neighbours;

    let (embeddings, present) = (set.embeddings(), set.examples().len());
    let input =
        HeldOutInput { trainer: &trainer, fold_of: &fold_of, folds, nearest: &nearest, embeddings, present, watch };
    let start = Instant::now();
    let held_out = input.judge()?;
    time.held_out = start.elapsed();
    let start = Instant::now();
    let scope_rows = input.scope_rows()?;
    time.out_of_scope = start.elapsed();

    watch.progress(Phase::Calibration, 0, 1);
    let start = Instant::now();
    let mut calibrated = Calibrated::new(&held_out, scope_rows, config, corpus.routes);
    time.calibration = start.elapsed();
    let report = report(set, &corpus, folds, &calibrated, time);
    let held_out = calibrated.verdicts(&corpus);
    Ok(Fitted { model: calibrated.into_model(corpus, classifiers), report, held_out })
}

/// A corpus cut into folds.
pub(crate) struct Folded {
    /// Nearest prompts of the training set of each row.
    pub(crate) nearest: Vec<Nearest>,
    pub(crate) fold_of: Vec<usize>,
    pub(crate) folds: usize,
}

impl Folded {
    /// `kept`: neighbours of each row.
    pub(crate) fn new(
        set: &TrainingSet,
        corpus: &Corpus,
        config: &FitConfig,
        kept: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self, FitError> {
        let rows = corpus.design.embeddings(corpus.rows());
        let others = |row: usize, example: usize| corpus.examples[row] != example;
        let nearest = nearest(rows, set.embeddings(), kept, &others, cancelled)?;
        let folds = config.folds_for(corpus.rows());
        let fold_of = assign(&FoldInput {
            classes: &corpus.classes[..corpus.rows()],
            texts: &corpus.texts,
            nearest: &nearest,
            row_of: &|example| corpus.row_of(example),
            folds,
            seed: config.seed,
        });
        Ok(Self { nearest, fold_of, folds })
    }
}

fn report(set: &TrainingSet, corpus: &Corpus, folds: usize, calibrated: &Calibrated, time: FitTime) -> FitReport {
    let outcomes = &calibrated.outcomes;
    let count = |purpose: Purpose| set.examples().iter().filter(|example| example.purpose == purpose).count();
    let none = (0..corpus.rows()).filter(|row| corpus.route(*row).is_none()).count();
    let scope_auroc = |kind: ScopeKind| {
        let rows = calibrated.scope_rows.iter().filter(|(row, _)| row.kind == kind || row.kind == ScopeKind::Known);
        let scores: Vec<(f32, bool)> =
            rows.map(|(row, probability)| (*probability, row.kind == ScopeKind::Known)).collect();
        scores.iter().any(|(_, known)| !known).then(|| metrics::area_under_roc(&scores))
    };
    FitReport {
        routes: corpus.routes,
        references: count(Purpose::Reference),
        evaluations: count(Purpose::Evaluation),
        none,
        left_aside: set.examples().len() - corpus.rows(),
        folds,
        held_out: outcomes.len(),
        accuracy: metrics::accuracy(outcomes),
        calibration_error: metrics::expected_calibration_error(outcomes, BINS),
        brier: metrics::brier(outcomes),
        reliability: metrics::reliability(outcomes, BINS),
        mix: [calibrated.mix.head, calibrated.mix.lexical, calibrated.mix.votes],
        features: corpus.vocabulary.features().len(),
        scope_auroc_left_out: scope_auroc(ScopeKind::LeftOut),
        scope_auroc_none: scope_auroc(ScopeKind::None),
        shortlist: calibrated.shortlist_report,
        warnings: warnings(&WarningInput {
            set,
            corpus,
            held_out: outcomes.len(),
            needed: LEAST_ROWS,
            scope_trained: calibrated.scope_rows.iter().any(|(row, _)| row.kind != ScopeKind::Known),
        }),
        time,
    }
}
