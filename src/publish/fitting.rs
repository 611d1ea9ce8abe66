//! The decision model of a version: fitted when the version is built, kept with it, and read by all who serve it.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use ndarray::{Array2, ArrayView2};
use semroute_decision::{
    DecisionModel, Example, FitConfig, FitError, HeldOutVerdict, Label, Purpose, TrainingSet, Watch, fit, refit,
};

use super::error::BuildError;
use super::load::Apart;
use super::report::{Expectation, FitSummary, listed};
use super::sealed;
use crate::embed::{EmbedError, EmbedQueue, Embedding};
use crate::index::{BuildWatch, Stopped, VectorMatrix};
use crate::prompt::words_of;
use crate::reference::{DecisionRule, PromptPurpose, Reference, Route, SetPolicy, SetVersion, Snapshot};

/// Descriptions on their way through the embedding queue at once.
const IN_FLIGHT: usize = 32;

/// Share of the prompts that may have changed since the last whole fit.
const MAX_CHANGED: f64 = 0.05;

/// What a fit is made from, beside the references and their vectors.
pub(super) struct FitInput {
    pub set: String,
    pub policy: SetPolicy,
    /// In the order of a snapshot, each with the embedding of its name and description where there is one.
    pub routes: Vec<(Route, Option<Embedding>)>,
    pub apart: Vec<Apart>,
}

/// A model with the rule that the policy makes of it, or why there is none.
pub(super) struct Fit {
    pub rule: Option<DecisionRule>,
    /// As the store keeps it; empty if there is none.
    pub bytes: Vec<u8>,
    pub summary: Option<FitSummary>,
    /// Of the prompts by their places, first the references; empty after a refit.
    pub held_out: Vec<HeldOutVerdict>,
    pub refused: Option<String>,
}

/// How the warning of routes begins whose descriptions the model does without.
const UNDESCRIBED: &str = "what is said of these routes could not be embedded, and is not learned from";

/// Embeds what is said of each route: a reference more for it, and all that there is for one without prompts. What
/// cannot be embedded is left out, logged, and told in the report: a version can do without.
pub async fn describe(queue: &EmbedQueue, routes: &[Route]) -> Result<Vec<(Route, Option<Embedding>)>, BuildError> {
    stream::iter(routes.to_vec())
        .map(|route| async move {
            match queue.embed_patiently(route.words().into()).await {
                Ok(embedded) => Ok((route, Some(embedded.embedding))),
                Err(source @ EmbedError::Stopped) => Err(BuildError::Describe { route: route.name, source }),
                Err(error) => {
                    tracing::warn!(route = %route.name, %error, "what is said of the route could not be embedded");
                    Ok((route, None))
                }
            }
        })
        .buffered(IN_FLIGHT)
        .try_collect()
        .await
}

/// On the caller's thread and rayon's: seconds for large sets.
pub(super) fn fitted(
    input: &FitInput,
    references: &[Reference],
    vectors: &VectorMatrix,
    watch: &BuildWatch,
) -> Result<Fit, Stopped> {
    let begun = Instant::now();
    let result = input.training(references, vectors, |set| fit(set, &FitConfig::default(), &Looking(watch)));
    let fitted = match result {
        Ok(fitted) => fitted,
        Err(FitError::Cancelled) => return Err(Stopped),
        Err(error) => {
            tracing::warn!(set = %input.set, %error, "no decision model was fitted: the neighbours' vote decides");
            let refused = Some(error.to_string());
            return Ok(Fit { rule: None, bytes: Vec::new(), summary: None, held_out: Vec::new(), refused });
        }
    };
    let bytes = sealed::seal(&fitted.model);
    let rule = DecisionRule::new(Arc::new(fitted.model), &input.policy);
    let names: Vec<&str> = input.routes.iter().map(|(route, _)| route.name.as_str()).collect();
    let mut summary = FitSummary::of(&fitted.report, &rule, &names, bytes.len(), begun.elapsed());
    summary.warnings.extend(input.undescribed());
    for warning in &summary.warnings {
        tracing::warn!(set = %input.set, %warning, "the decision model");
    }
    Ok(Fit { rule: Some(rule), bytes, summary: Some(summary), held_out: fitted.held_out, refused: None })
}

/// What the references of a snapshot say of each other: each is judged by what is fitted to the others. `described`:
/// what [`describe`] makes of its routes. Empty where nothing can be fitted.
pub fn cross_examine(
    snapshot: &Snapshot,
    vectors: &VectorMatrix,
    described: Vec<(Route, Option<Embedding>)>,
    watch: &BuildWatch,
) -> Result<Vec<HeldOutVerdict>, Stopped> {
    let set = snapshot.set.to_string();
    let input = FitInput { set, policy: snapshot.policy.clone(), routes: described, apart: Vec::new() };
    Ok(fitted(&input, &snapshot.references, vectors, watch)?.held_out)
}

/// What a refit starts from: the model of the version before, and what was found when it was last fitted as a whole.
pub(super) struct Previous {
    pub model: DecisionModel,
    /// `changed` counts what is different by now.
    pub summary: FitSummary,
}

/// The same from the model before, for a set of which little has changed: the classifiers learn what is new, and what
/// held-out prompts have taught stays as it is. A tenth of the time. `None`: a whole fit is due.
pub(super) fn refitted(
    input: &FitInput,
    previous: Previous,
    references: &[Reference],
    vectors: &VectorMatrix,
    watch: &BuildWatch,
) -> Result<Option<Fit>, Stopped> {
    let Previous { model, summary } = previous;
    if summary.changed as f64 > MAX_CHANGED * references.len() as f64 {
        return Ok(None);
    }
    let begun = Instant::now();
    let model = input.training(references, vectors, |set| refit(set, &FitConfig::default(), &model, &Looking(watch)));
    let model = match model {
        Ok(Some(model)) => model,
        Err(FitError::Cancelled) => return Err(Stopped),
        Ok(None) | Err(_) => return Ok(None),
    };
    let bytes = sealed::seal(&model);
    let rule = DecisionRule::new(Arc::new(model), &input.policy);
    let (expected, seconds) = (Expectation::of(&rule), begun.elapsed().as_secs_f64());
    let mut summary = FitSummary { expected, bytes: bytes.len() as u64, seconds, ..summary };
    // What was found then holds for the model before; this is of the one that is built now.
    summary.warnings.retain(|warning| !warning.starts_with(UNDESCRIBED));
    summary.warnings.extend(input.undescribed());
    Ok(Some(Fit { rule: Some(rule), bytes, summary: Some(summary), held_out: Vec::new(), refused: None }))
}

/// The rule of a stored model. `None` if it is to be fitted again: it is of another release, or damaged.
pub(super) fn restored(version: &SetVersion, bytes: &[u8], dimension: usize) -> Option<Option<DecisionRule>> {
    if bytes.is_empty() {
        return Some(None);
    }
    let (set, number) = (&version.set, version.version);
    let routes = version.routes.iter().filter(|route| !route.is_none()).count();
    match sealed::open(bytes) {
        Ok(model) if model.routes() == routes && model.dimension() == dimension => {
            Some(Some(DecisionRule::new(Arc::new(model), &version.policy)))
        }
        Ok(_) => {
            tracing::warn!(%set, version = number, "the stored decision model is not that of this version");
            None
        }
        Err(error) => {
            tracing::warn!(%set, version = number, %error, "the stored decision model cannot be read");
            None
        }
    }
}

impl FitInput {
    fn undescribed(&self) -> Option<String> {
        let without = self.routes.iter().filter(|(_, embedding)| embedding.is_none());
        let names: Vec<&str> = without.map(|(route, _)| route.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{UNDESCRIBED}: {}", listed(&names)))
    }

    /// Puts the training set together and has something fitted to it.
    fn training<T>(
        &self,
        references: &[Reference],
        vectors: &VectorMatrix,
        fit: impl FnOnce(&TrainingSet<'_>) -> Result<T, FitError>,
    ) -> Result<T, FitError> {
        let routes: Vec<_> = self.routes.iter().map(|(route, embedding)| route.to_fit(embedding.as_ref())).collect();
        // As prompts come: without what agents put around them.
        let words: Vec<Arc<str>> = references.iter().map(|reference| words_of(&reference.text)).collect();
        let known = references.iter().zip(&words).map(|(reference, words)| Example {
            text: words,
            label: Label::Route(reference.route),
            purpose: Purpose::Reference,
        });
        // As prompts come, too: an evaluation prompt is measured as it would be served.
        let said: Vec<Arc<str>> = self.apart.iter().map(|apart| words_of(&apart.text)).collect();
        let apart = self.apart.iter().zip(&said).map(|(apart, text)| Example {
            text,
            label: apart.route.map_or(Label::None, Label::Route),
            purpose: match apart.purpose {
                PromptPurpose::Reference => Purpose::Reference,
                PromptPurpose::Evaluation => Purpose::Evaluation,
            },
        });
        let examples: Vec<Example<'_>> = known.chain(apart).collect();
        let all = (!self.apart.is_empty()).then(|| self.with_apart(vectors));
        let embeddings = all.as_ref().map_or_else(|| vectors.view(), |all| all.view());
        fit(&TrainingSet::new(&routes, &examples, embeddings)?)
    }

    /// The references' vectors, then those of the prompts beside them.
    fn with_apart(&self, vectors: &VectorMatrix) -> Array2<f32> {
        let apart: Vec<f32> = self.apart.iter().flat_map(|apart| apart.embedding.as_slice()).copied().collect();
        let apart = ArrayView2::from_shape((self.apart.len(), vectors.dimension()), &apart);
        // Every embedding has the model's dimension: were it otherwise, the fit would say that the rows disagree.
        apart.and_then(|apart| ndarray::concatenate(ndarray::Axis(0), &[vectors.view(), apart])).unwrap_or_default()
    }
}

/// Ends the fit when the build is to end.
struct Looking<'a>(&'a BuildWatch);

impl Watch for Looking<'_> {
    fn cancelled(&self) -> bool {
        self.0.is_stopped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::RouteName;

    #[test]
    fn routes_whose_descriptions_are_not_learned_from_are_told() {
        let input = |described: [bool; 3]| {
            let routes = ["a", "b", "c"].into_iter().zip(described).map(|(name, described)| {
                let embedding = described.then(|| Embedding::normalised(vec![1.0, 0.0]).unwrap());
                (Route::named(RouteName::new(name).unwrap()), embedding)
            });
            let (set, policy) = ("s".to_owned(), SetPolicy::default());
            FitInput { set, policy, routes: routes.collect(), apart: Vec::new() }
        };
        assert_eq!(input([true; 3]).undescribed(), None);
        assert_eq!(input([true, false, false]).undescribed(), Some(format!("{UNDESCRIBED}: b, c")));
    }
}
