//! A few prompts more or less: new classifiers from the old ones, in a tenth of the time of a fit.

use crate::config::FitConfig;
use crate::corpus::Corpus;
use crate::error::FitError;
use crate::model::DecisionModel;
use crate::training::{Part, Trainer};
use crate::training_set::TrainingSet;
use crate::watch::{Phase, Watch};

/// Share of the prompts that may have come or gone since the calibration.
const DRIFT: f64 = 0.05;

/// Fits the classifiers to `set`, starting from `previous`, and keeps its vocabulary and its calibration: confidence,
/// probability of a route applying, shortlist and outcomes. What one prompt in many changes of those is far below
/// what held-out prompts can tell; a small route that grows manifold is calibrated as the small one was until the next
/// whole fit. The optimum does not depend on the start.
///
/// `None` where a whole [`fit`](crate::fit) is due: other routes or another dimension, `none` prompts for the first
/// time or no more, a set that is sampled, or more than 5 % of the prompts come or gone since the last whole fit. The
/// routes are the same in the same order, or the caller's model is of other routes; only their number is checked.
///
/// Errors as of [`fit`](crate::fit).
pub fn refit(
    set: &TrainingSet,
    config: &FitConfig,
    previous: &DecisionModel,
    watch: &dyn Watch,
) -> Result<Option<DecisionModel>, FitError> {
    config.check()?;
    let known = &previous.classifiers;
    if set.routes().len() != known.routes
        || set.dimension() != known.dimension
        || set.examples().len() > config.max_rows
    {
        return Ok(None);
    }
    let corpus = Corpus::new(set, config, Some(&previous.vocabulary));
    let before = f64::from(previous.references);
    if corpus.none != known.none || (corpus.references() as f64 - before).abs() > DRIFT * before {
        return Ok(None);
    }
    watch.progress(Phase::Classifiers, 0, 1);
    let cancelled = || watch.cancelled();
    let trainer = Trainer::new(&corpus, config, &cancelled);
    let part = Part { rows: &|_| true, classes: &|_| true, start: Some(known), lexical: true };
    let classifiers = trainer.fit(part)?;
    Ok(Some(DecisionModel { classifiers, ..previous.clone() }))
}
