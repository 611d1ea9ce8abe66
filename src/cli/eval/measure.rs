//! Classifies prompts as a server would, and says what became of each.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::classify::{Cascade, ClassifyOptions, Decision, LlmAccess, Purpose, RouteScore, Stage};
use crate::cli::CommandError;
use crate::cli::progress::{Bar, Unit};
use crate::embed::EmbedQueue;
use crate::evaluate::{Outcome, Perturbation, Ranked, Said, Stability, Steps, Trial, sample};
use crate::prompt::Prompt;
use crate::reference::{LabelledText, Snapshot};

/// Longest test prompt in bytes.
const MAX_PROMPT_BYTES: usize = 16 << 20;

/// A test prompt.
pub(super) struct Row {
    pub(super) row: LabelledText,
    pub(super) in_scope: bool,
}

pub(super) struct Measure {
    cascade: Cascade,
    snapshot: Arc<Snapshot>,
    concurrency: usize,
}

impl Measure {
    /// `mend`: see [`Cascade::mending`].
    pub(super) fn new(queue: &EmbedQueue, snapshot: Arc<Snapshot>, concurrency: usize, mend: bool) -> Self {
        Self { cascade: Cascade::new(queue.clone(), None).mending(mend), snapshot, concurrency }
    }

    /// In the order of the rows.
    pub(super) async fn outcomes(&self, rows: &[Row]) -> Result<Vec<Outcome>, CommandError> {
        let outcome = |row: &Row| {
            let expected = row.in_scope.then(|| row.row.label.to_string());
            let (text, kind) = (row.row.text.clone(), row.row.kind.clone());
            async move { Ok(Outcome { expected, kind, ..self.classify(text).await? }) }
        };
        self.each("Classifying", rows, outcome).await
    }

    /// Classifies at most `prompts` of the test's prompts in every perturbation.
    pub(super) async fn stability(
        &self,
        outcomes: &[Outcome],
        prompts: usize,
        seed: u64,
    ) -> Result<Stability, CommandError> {
        let in_scope: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.in_scope()).collect();
        let texts: Vec<&str> = in_scope.iter().map(|outcome| outcome.text.as_str()).collect();
        let drawn = sample(&texts, prompts, seed);
        let before: Vec<(&Outcome, Said)> =
            drawn.iter().filter_map(|at| in_scope.get(*at)).map(|outcome| (*outcome, said(outcome))).collect();
        let trials: Vec<(usize, &'static str, Option<String>)> = before
            .iter()
            .enumerate()
            .flat_map(|(at, (outcome, _))| perturbed(&outcome.text, seed).map(move |(kind, text)| (at, kind, text)))
            .collect();
        let decide = |(_, _, text): &(usize, &'static str, Option<String>)| {
            let text = text.clone();
            async move {
                match text {
                    Some(text) => Ok(Some(said(&self.classify(text).await?))),
                    None => Ok(None),
                }
            }
        };
        let after = self.each("Classifying perturbed prompts", &trials, decide).await?;
        let trials: Vec<Trial<'_>> = trials
            .iter()
            .zip(after)
            .filter_map(|((at, kind, _), after)| {
                let (outcome, before) = before.get(*at)?;
                Some(Trial { kind, expected: outcome.expected.as_deref(), before, after })
            })
            .collect();
        Ok(Stability::of(&trials, seed))
    }

    /// Works on so many at once as was asked for; results in the order of `rows`.
    async fn each<'a, R, T, F>(
        &'a self,
        label: &str,
        rows: &'a [R],
        work: impl FnMut(&'a R) -> F,
    ) -> Result<Vec<T>, CommandError>
    where
        F: Future<Output = Result<T, CommandError>>,
    {
        let bar = Bar::new(label, Unit::Items, Some(rows.len() as u64));
        let mut results = Vec::with_capacity(rows.len());
        let mut running = stream::iter(rows.iter().map(work)).buffered(self.concurrency);
        while let Some(result) = running.try_next().await? {
            results.push(result);
            bar.set(results.len() as u64);
        }
        bar.finish();
        Ok(results)
    }

    /// Of a text of which nothing is expected.
    async fn classify(&self, text: String) -> Result<Outcome, CommandError> {
        let prompt = Prompt::from_text(&text, MAX_PROMPT_BYTES)?;
        let options = ClassifyOptions {
            neighbours: 1,
            llm: LlmAccess::NotAllowed,
            deadline: None,
            purpose: Purpose::Answer,
            target_accuracy: None,
        };
        let begun = Instant::now();
        let decision = self.cascade.decide(Arc::clone(&self.snapshot), &prompt, options).await?;
        let latency = begun.elapsed();
        Ok(Outcome { latency, text, ..outcome(&decision) })
    }
}

/// What a decision says, in the words of the metrics: the one place that knows both.
fn outcome(decision: &Decision) -> Outcome {
    let name = |route| decision.snapshot.route(route).map(|route| route.name.to_string());
    // The likeliest, whether or not it was chosen: an abstention too has a confidence.
    let winner = decision.scores().first();
    let judged = decision.judged();
    // Without a decision model the shares of the vote stand for probabilities.
    let probability = |score: &RouteScore| if judged.is_some() { score.probability } else { Some(score.score) };
    let ranked = |score: &RouteScore| Some(Ranked { route: name(score.route)?, probability: probability(score)? });
    let nearest = decision.neighbours().first();
    let evidence = &decision.evidence;
    Outcome {
        text: String::new(),
        expected: None,
        kind: None,
        predicted: decision.route().map(|route| route.name.to_string()),
        winner: winner.and_then(|winner| name(winner.route)),
        ranking: decision.scores().iter().filter_map(ranked).collect(),
        confidence: judged.map_or_else(|| winner.map_or(0.0, |winner| winner.score), |judged| judged.confidence),
        margin: decision.margin(),
        similarity: winner.map_or(-1.0, |winner| winner.similarity),
        in_scope_score: judged
            .map_or_else(|| nearest.map_or(-1.0, |nearest| nearest.similarity), |judged| judged.in_scope),
        stage: decision.stage.as_str(),
        decided_alone: decision.stage == Stage::Embedding,
        latency: decision.timings.total,
        steps: Steps { queue: decision.timings.queue, embed: decision.timings.embed, search: decision.timings.search },
        // Of a prompt that was read in part, as many more as there is more of it.
        tokens: (evidence.input_tokens as f64 / f64::from(evidence.input_seen.max(1e-3))).round() as u64,
    }
}

/// A prompt in every other way of writing it, with the name of the way; `None`: this way leaves it as it is.
fn perturbed(text: &str, seed: u64) -> impl Iterator<Item = (&'static str, Option<String>)> {
    Perturbation::ALL.into_iter().map(move |kind| (kind.as_str(), kind.apply(text, seed)))
}

fn said(outcome: &Outcome) -> Said {
    Said {
        text: outcome.text.clone(),
        route: outcome.predicted.clone(),
        confidence: outcome.confidence,
        decided_alone: outcome.decided_alone,
    }
}
