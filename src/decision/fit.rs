//! A fit, from the prompts to the model.

use std::time::Instant;

use crate::channels::{Classifiers, Mix, Opinions};
use crate::confidence::{Calibrator, Evidence, LEAST_ROWS, evidence};
use crate::config::FitConfig;
use crate::corpus::Corpus;
use crate::error::FitError;
use crate::folds::{FoldInput, assign};
use crate::held_out::{HeldOut, HeldOutInput};
use crate::metrics::{self, Outcome};
use crate::mix;
use crate::model::{DecisionModel, ranking};
use crate::neighbours::nearest;
use crate::report::{FitReport, FitTime, ShortlistReport};
use crate::scope::{ScopeKind, ScopeModel, ScopeRow};
use crate::shortlist::ShortlistRule;
use crate::training::{Part, Trainer};
use crate::training_set::{Purpose, TrainingSet};
use crate::warnings::{WarningInput, warnings};
use crate::watch::{Phase, Watch};

/// Neighbours kept of each prompt: 20 of them vote, and those in the prompt's own fold do not.
const KEPT: usize = 64;

/// Parts that the held-out prompts are cut into to judge the calibration.
const CALIBRATION_PARTS: usize = 5;

const BINS: usize = 15;

/// A model and what is known about it.
#[derive(Debug, Clone)]
pub struct Fitted {
    pub model: DecisionModel,
    pub report: FitReport,
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
    let rows = corpus.design.embeddings(corpus.rows());
    let nearest = nearest(rows, rows, KEPT, &|query, row| query != row, &cancelled)?;
    let folds = config.folds_for(corpus.rows());
    let fold_of = assign(&FoldInput {
        classes: &corpus.classes[..corpus.rows()],
        texts: &corpus.texts,
        nearest: &nearest,
        folds,
        seed: config.seed,
    });
    time.neighbours = clock.elapsed();

    watch.progress(Phase::Classifiers, 0, 1);
    let all = Part { rows: &|_| true, classes: &|_| true, start: None, lexical: true };
    let classifiers = trainer.fit(all)?;
    time.classifiers = clock.elapsed() - time.neighbours;

    let input = HeldOutInput { trainer: &trainer, fold_of: &fold_of, folds, nearest: &nearest, watch };
    let start = Instant::now();
    let held_out = input.judge()?;
    time.held_out = start.elapsed();
    let start = Instant::now();
    let scope_rows = input.scope_rows()?;
    time.out_of_scope = start.elapsed();

    watch.progress(Phase::Calibration, 0, 1);
    let start = Instant::now();
    let calibrated = Calibrated::new(&held_out, scope_rows, config, corpus.routes);
    time.calibration = start.elapsed();
    let report = report(set, &corpus, folds, &calibrated, time);
    Ok(Fitted { model: calibrated.into_model(corpus, classifiers), report })
}

/// What the held-out prompts teach.
struct Calibrated {
    mix: Mix,
    calibrator: Calibrator,
    scope: ScopeModel,
    scope_rows: Vec<ScopeRow>,
    shortlist: ShortlistRule,
    shortlist_report: ShortlistReport,
    outcomes: Vec<Outcome>,
}

impl Calibrated {
    fn new(held_out: &[HeldOut], mut scope_rows: Vec<ScopeRow>, config: &FitConfig, routes: usize) -> Self {
        let labelled: Vec<(&HeldOut, u32)> =
            held_out.iter().filter_map(|held| held.route.map(|route| (held, route))).collect();
        let opinions: Vec<(&Opinions, u32)> = labelled.iter().map(|(held, route)| (&held.opinions, *route)).collect();
        let mix = mix::fit(&opinions);
        let mut posterior = Vec::new();
        let mut rows = Vec::with_capacity(labelled.len());
        let mut right_posteriors = Vec::with_capacity(labelled.len());
        let mut ranks = Vec::with_capacity(labelled.len());
        for (held, route) in &labelled {
            mix.posterior(&held.opinions, &mut posterior);
            rows.push((held.fold, evidence(&held.opinions, &posterior, &held.signs), *route));
            right_posteriors.push(posterior[*route as usize]);
            ranks.push((ranking(&posterior, config.shortlist_limit), *route));
        }
        let shortlist = ShortlistRule::fit(right_posteriors, config.shortlist_coverage, config.shortlist_limit);
        let judged: Vec<(&Evidence, bool)> =
            rows.iter().map(|(_, evidence, route)| (evidence, evidence.route == *route)).collect();
        let folds: Vec<usize> = rows.iter().map(|(fold, ..)| *fold).collect();
        if scope_rows.is_empty() {
            let known = labelled.iter().map(|(held, _)| ScopeRow { signs: held.signs, kind: ScopeKind::Known });
            scope_rows.extend(known);
        }
        let none = held_out.iter().filter(|held| held.route.is_none());
        scope_rows.extend(none.map(|held| ScopeRow { signs: held.signs, kind: ScopeKind::None }));
        Self {
            mix,
            calibrator: Calibrator::fit(&judged, routes),
            scope: ScopeModel::fit(&scope_rows, config.out_of_scope_share),
            scope_rows,
            shortlist,
            shortlist_report: shortlist_report(&shortlist, &ranks),
            outcomes: outcomes(&judged, &folds, routes),
        }
    }

    fn into_model(self, corpus: Corpus, classifiers: Classifiers) -> DecisionModel {
        let references = corpus.references();
        DecisionModel {
            vocabulary: corpus.vocabulary,
            classifiers,
            mix: self.mix,
            calibrator: self.calibrator,
            scope: self.scope,
            shortlist: self.shortlist,
            outcomes: self.outcomes,
            references: references as u32,
        }
    }
}

/// Confidences of held-out prompts by calibrators that have not seen them.
fn outcomes(judged: &[(&Evidence, bool)], folds: &[usize], routes: usize) -> Vec<Outcome> {
    let mut outcomes = vec![None; judged.len()];
    for part in 0..CALIBRATION_PARTS {
        let others: Vec<(&Evidence, bool)> = judged
            .iter()
            .zip(folds)
            .filter(|(_, fold)| *fold % CALIBRATION_PARTS != part)
            .map(|(row, _)| *row)
            .collect();
        let calibrator = Calibrator::fit(&others, routes);
        for ((evidence, right), outcome) in judged
            .iter()
            .zip(&mut outcomes)
            .zip(folds)
            .filter_map(|(row, fold)| (*fold % CALIBRATION_PARTS == part).then_some(row))
        {
            let confidence = calibrator.confidence(evidence);
            *outcome = Some(Outcome { route: evidence.route, confidence, right: *right });
        }
    }
    outcomes.into_iter().flatten().collect()
}

fn shortlist_report(rule: &ShortlistRule, ranks: &[(Vec<(u32, f32)>, u32)]) -> ShortlistReport {
    let length = |ranking: &[(u32, f32)]| rule.length(ranking.iter().map(|(_, probability)| *probability));
    let holds = |(ranking, route): &(Vec<(u32, f32)>, u32)| {
        ranking[..length(ranking)].iter().any(|(listed, _)| listed == route)
    };
    ShortlistReport {
        coverage: metrics::mean(ranks.iter().map(|rank| f64::from(u8::from(holds(rank))))),
        mean_length: metrics::mean(ranks.iter().map(|(ranking, _)| length(ranking) as f64)),
    }
}

fn report(set: &TrainingSet, corpus: &Corpus, folds: usize, calibrated: &Calibrated, time: FitTime) -> FitReport {
    let outcomes = &calibrated.outcomes;
    let count = |purpose: Purpose| set.examples().iter().filter(|example| example.purpose == purpose).count();
    let none = (0..corpus.rows()).filter(|row| corpus.route(*row).is_none()).count();
    let scope_auroc = |kind: ScopeKind| {
        let rows = calibrated.scope_rows.iter().filter(|row| row.kind == kind || row.kind == ScopeKind::Known);
        let scores: Vec<(f32, bool)> =
            rows.map(|row| (calibrated.scope.probability(&row.signs), row.kind == ScopeKind::Known)).collect();
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
            scope_trained: calibrated.scope_rows.iter().any(|row| row.kind != ScopeKind::Known),
        }),
        time,
    }
}
