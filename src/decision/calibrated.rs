//! What the held-out prompts teach: the channels' weights, confidence, scope and shortlist, and how good these are.
//!
//! What is reported of confidence and shortlist is measured crosswise: on prompts that they were not fitted to. The
//! three weights and the scope's four coefficients are few beside the prompts, and are used as they are. What is usual
//! for a route leaves out the prompt that it is held against in the areas under ROC, and in the outcomes of sets of so
//! few routes that none is left out in turn; in those of others a prompt has a tenth of the say, or less.

use crate::channels::{Classifiers, Mix, Opinions};
use crate::confidence::{Calibrator, Evidence, evidence};
use crate::config::FitConfig;
use crate::corpus::Corpus;
use crate::held_out::HeldOut;
use crate::metrics::{self, Outcome};
use crate::mix;
use crate::model::{DecisionModel, ranking};
use crate::report::ShortlistReport;
use crate::scope::{ScopeKind, ScopeModel, ScopeRow};
use crate::shortlist::ShortlistRule;

/// Parts that the held-out prompts are cut into, along their folds.
const PARTS: usize = 5;

pub(crate) struct Calibrated {
    pub(crate) mix: Mix,
    calibrator: Calibrator,
    pub(crate) scope: ScopeModel,
    /// With the probability that a route applies.
    pub(crate) scope_rows: Vec<(ScopeRow, f32)>,
    shortlist: ShortlistRule,
    pub(crate) shortlist_report: ShortlistReport,
    pub(crate) outcomes: Vec<Outcome>,
    /// Row and ranking of the prompt of each outcome.
    rankings: Vec<(usize, Vec<(u32, f32)>)>,
}

/// What was said of a prompt by classifiers and a calibration that had not seen it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOutVerdict {
    /// Place of the prompt in the training set.
    pub example: usize,
    /// (route, posterior), likeliest first, at most as many as a shortlist may have.
    pub ranking: Vec<(u32, f32)>,
    /// Probability that the first is right.
    pub confidence: f32,
}

/// A held-out prompt of a route, under the weights of the channels.
struct Judged {
    row: usize,
    route: u32,
    fold: usize,
    evidence: Evidence,
    right_posterior: f32,
    ranking: Vec<(u32, f32)>,
    in_scope: f32,
    weight: f32,
}

impl Calibrated {
    pub(crate) fn new(held_out: &[HeldOut], mut scope_rows: Vec<ScopeRow>, config: &FitConfig, routes: usize) -> Self {
        let labelled: Vec<(&HeldOut, u32)> =
            held_out.iter().filter_map(|held| held.route.map(|route| (held, route))).collect();
        let of_labelled = scope_rows.is_empty();
        if of_labelled {
            let known = labelled.iter().map(|(held, _)| ScopeRow { signs: held.signs, kind: ScopeKind::Known });
            scope_rows.extend(known);
        }
        let none = held_out.iter().filter(|held| held.route.is_none());
        scope_rows.extend(none.map(|held| ScopeRow { signs: held.signs, kind: ScopeKind::None }));
        let (scope, judged) = ScopeModel::fit(&scope_rows, config.out_of_scope_share, routes);
        // Without routes left out, the labelled prompts are the first of the rows.
        let judged_here = if of_labelled { judged[..labelled.len()].to_vec() } else { Vec::new() };
        let scope_rows = scope_rows.into_iter().zip(judged).collect();

        let opinions: Vec<(&Opinions, u32)> = labelled.iter().map(|(held, route)| (&held.opinions, *route)).collect();
        let mix = mix::fit(&opinions);
        let mut posterior = Vec::new();
        let judge = |(at, (held, route)): (usize, &(&HeldOut, u32))| {
            mix.posterior(&held.opinions, &mut posterior);
            Judged {
                row: held.row,
                route: *route,
                fold: held.fold,
                evidence: evidence(&held.opinions, &posterior, &held.signs),
                right_posterior: posterior[*route as usize],
                ranking: ranking(&posterior, config.shortlist_limit),
                in_scope: judged_here.get(at).copied().unwrap_or_else(|| scope.probability(&held.signs)),
                weight: held.weight,
            }
        };
        let judged: Vec<Judged> = labelled.iter().enumerate().map(judge).collect();
        let all: Vec<&Judged> = judged.iter().collect();
        Self {
            mix,
            calibrator: calibrator(&all, routes),
            scope,
            scope_rows,
            shortlist: shortlist(&all, config),
            shortlist_report: shortlist_report(&judged, config),
            outcomes: outcomes(&judged, routes),
            rankings: judged.into_iter().map(|row| (row.row, row.ranking)).collect(),
        }
    }

    /// In the order of the training set.
    pub(crate) fn verdicts(&mut self, corpus: &Corpus) -> Vec<HeldOutVerdict> {
        let rankings = std::mem::take(&mut self.rankings);
        let judged = rankings.into_iter().zip(&self.outcomes);
        let verdicts = judged.map(|((row, ranking), outcome)| HeldOutVerdict {
            example: corpus.examples[row],
            ranking,
            confidence: outcome.confidence,
        });
        verdicts.collect()
    }

    pub(crate) fn into_model(self, corpus: Corpus, classifiers: Classifiers) -> DecisionModel {
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

fn calibrator(judged: &[&Judged], routes: usize) -> Calibrator {
    let rows: Vec<(&Evidence, bool)> =
        judged.iter().map(|row| (&row.evidence, row.evidence.route == row.route)).collect();
    Calibrator::fit(&rows, routes)
}

fn shortlist(judged: &[&Judged], config: &FitConfig) -> ShortlistRule {
    let right = judged.iter().map(|row| row.right_posterior).collect();
    ShortlistRule::fit(right, config.shortlist_coverage, config.shortlist_limit)
}

/// Judges each prompt by what was fitted to the other parts, in the order of the prompts.
fn crosswise<Rule, T>(
    judged: &[Judged],
    fit: impl Fn(&[&Judged]) -> Rule,
    judge: impl Fn(&Rule, &Judged) -> T,
) -> Vec<T> {
    let mut found: Vec<Option<T>> = judged.iter().map(|_| None).collect();
    for part in 0..PARTS {
        let in_part = |row: &Judged| row.fold % PARTS == part;
        let others: Vec<&Judged> = judged.iter().filter(|row| !in_part(row)).collect();
        if others.len() == judged.len() {
            continue;
        }
        let rule = fit(&others);
        let own = judged.iter().zip(&mut found).filter(|(row, _)| in_part(row));
        own.for_each(|(row, found)| *found = Some(judge(&rule, row)));
    }
    found.into_iter().flatten().collect()
}

fn outcomes(judged: &[Judged], routes: usize) -> Vec<Outcome> {
    let outcome = |calibrator: &Calibrator, row: &Judged| Outcome {
        route: row.evidence.route,
        confidence: calibrator.confidence(&row.evidence),
        in_scope: row.in_scope,
        weight: row.weight,
        right: row.evidence.route == row.route,
    };
    crosswise(judged, |others| calibrator(others, routes), outcome)
}

fn shortlist_report(judged: &[Judged], config: &FitConfig) -> ShortlistReport {
    let listed = |rule: &ShortlistRule, row: &Judged| {
        let length = rule.length(row.ranking.iter().map(|(_, probability)| *probability));
        (row.ranking[..length].iter().any(|(route, _)| *route == row.route), length)
    };
    let found = crosswise(judged, |others| shortlist(others, config), listed);
    ShortlistReport {
        coverage: metrics::mean(found.iter().map(|(holds, _)| f64::from(u8::from(*holds)))),
        mean_length: metrics::mean(found.iter().map(|(_, length)| *length as f64)),
    }
}
