//! The way from a prompt to a decision: embed, search, vote; if unsure ask the LLM; else do as the set's policy says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument;
use uuid::Uuid;

use super::cache::{ExactCache, Source};
use super::decision::{Decision, LlmOutcome, Stage, Timings};
use super::evidence::{Evidence, Judged, Question};
use super::judge::{Doubt, Sureness, doubts};
use super::llm::{LlmChoice, LlmError, LlmStage};
use super::shortlist::shortlist;
use super::trace;
use crate::embed::{EmbedError, EmbedQueue};
use crate::prompt::Prompt;
use crate::reference::{DecisionRule, Fallback, RouteIndex, Snapshot};
use crate::telemetry::step;

/// What a request may ask of the classification.
#[derive(Debug, Clone, Copy)]
pub struct ClassifyOptions {
    /// Neighbours to show as evidence.
    pub neighbours: usize,
    pub llm: LlmAccess,
    pub deadline: Option<Instant>,
    pub purpose: Purpose,
    /// Accuracy wanted of what is decided without the LLM stage, in [0, 1]; `None`: as the set's policy says.
    pub target_accuracy: Option<f32>,
}

/// Whether the LLM stage may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlmAccess {
    Allowed,
    /// The request does not want it.
    NotAllowed,
    /// A data policy does not let the prompt go there.
    NotPermitted,
}

/// What the decision is for, and so what the LLM stage has to leave time for: it is optional, and must not cost the
/// caller the answer that there is without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The decision is the answer: a fifth of the time left is kept back, at most [`MAX_RESERVE`].
    Answer,
    /// A completion follows: half of the time left is kept back, as between targets of a dispatch.
    Completion,
}

/// See [`Purpose::Answer`].
const MAX_RESERVE: Duration = Duration::from_millis(100);

impl Purpose {
    /// When the LLM stage must have answered.
    fn llm_deadline(self, deadline: Instant, now: Instant) -> Instant {
        let left = deadline.saturating_duration_since(now);
        let reserve = match self {
            Self::Answer => MAX_RESERVE.min(left / 5),
            Self::Completion => left / 2,
        };
        now + (left - reserve)
    }
}

/// Clone it freely.
#[derive(Clone)]
pub struct Cascade {
    queue: EmbedQueue,
    llm: Option<Arc<LlmStage>>,
    cache: Option<ExactCache>,
    mend: bool,
}

impl Cascade {
    /// Without a cache (see [`Cascade::caching`]), and typing errors are mended (see [`Cascade::mending`]).
    pub fn new(queue: EmbedQueue, llm: Option<Arc<LlmStage>>) -> Self {
        Self { queue, llm, cache: None, mend: true }
    }

    /// Whether words that nobody knows are read as those of the reference prompts that they are a slip away from.
    #[must_use]
    pub fn mending(self, mend: bool) -> Self {
        Self { mend, ..self }
    }

    #[must_use]
    pub fn caching(self, cache: Option<ExactCache>) -> Self {
        Self { cache, ..self }
    }

    pub fn llm(&self) -> Option<&Arc<LlmStage>> {
        self.llm.as_ref()
    }

    pub fn cache(&self) -> Option<&ExactCache> {
        self.cache.as_ref()
    }

    /// Decides on one snapshot from beginning to end. The only errors are those of embedding, shared by those who
    /// asked for the same: an LLM stage that fails degrades, and the decision says so.
    pub async fn decide(
        &self,
        snapshot: Arc<Snapshot>,
        prompt: &Prompt,
        options: ClassifyOptions,
    ) -> Result<Decision, Arc<EmbedError>> {
        let id = Uuid::now_v7();
        let span = trace::deciding(id, &snapshot);
        let decided = self.decide_as(id, snapshot, prompt, options).instrument(span.clone()).await;
        trace::decided(&span, &decided);
        decided
    }

    async fn decide_as(
        &self,
        id: Uuid,
        snapshot: Arc<Snapshot>,
        prompt: &Prompt,
        options: ClassifyOptions,
    ) -> Result<Decision, Arc<EmbedError>> {
        let begun = Instant::now();
        let source = self.gather(&snapshot, prompt, options).await?;
        let mut timings = Timings::default();
        let (evidence, kept) = match source {
            Source::Kept(evidence) => (evidence, true),
            Source::Joined(evidence) => {
                timings.queue = Some(begun.elapsed());
                (evidence, false)
            }
            Source::Gathered(found) => {
                timings.queue = Some(found.queue);
                timings.embed = Some(found.embed);
                timings.search = Some(found.search);
                (found.evidence, false)
            }
        };

        let verdict = trust(&evidence, &snapshot, options.target_accuracy);
        let asking = Instant::now();
        let (llm, choice) = self.ask_llm(&evidence, &verdict.doubts, prompt, &snapshot, options).await;
        let called = llm.was_asked() && !choice.is_some_and(|choice| choice.kept);
        let (stage, route) = settle(llm, choice.and_then(|choice| choice.route), &evidence, &snapshot);
        let alone = if verdict.doubts.is_empty() { LlmOutcome::NotNeeded } else { LlmOutcome::NotAllowed };
        let without_llm = settle(alone, None, &evidence, &snapshot);
        timings.llm = called.then(|| asking.elapsed());
        timings.total = begun.elapsed();
        Ok(Decision {
            id,
            snapshot,
            route,
            stage,
            llm,
            verdict: choice,
            evidence,
            threshold: verdict.threshold,
            doubts: verdict.doubts.into(),
            without_llm,
            shown: options.neighbours,
            cached: kept && !called,
            timings,
        })
    }

    async fn gather(
        &self,
        snapshot: &Arc<Snapshot>,
        prompt: &Prompt,
        options: ClassifyOptions,
    ) -> Result<Source, Arc<EmbedError>> {
        let ClassifyOptions { neighbours, deadline, .. } = options;
        let question = Question { embed: &self.queue, snapshot, prompt, neighbours, deadline, mend: self.mend };
        match &self.cache {
            Some(cache) => {
                let span = step!("cache");
                let source = cache.evidence(question).instrument(span.clone()).await;
                trace::looked_up(&span, &source);
                source
            }
            None => question.search().run().await.map(Source::Gathered).map_err(Arc::new),
        }
    }

    /// What became of the stage, and its choice if it made one.
    async fn ask_llm(
        &self,
        evidence: &Evidence,
        doubts: &[Doubt],
        prompt: &Prompt,
        snapshot: &Snapshot,
        options: ClassifyOptions,
    ) -> (LlmOutcome, Option<LlmChoice>) {
        if let Some(llm) = &self.llm {
            llm.budget().decided();
        }
        if doubts.is_empty() {
            return (LlmOutcome::NotNeeded, None);
        }
        let Some(llm) = &self.llm else { return (LlmOutcome::NotConfigured, None) };
        let candidates = shortlist(evidence);
        match options.llm {
            LlmAccess::NotAllowed => return (LlmOutcome::NotAllowed, None),
            // Not even for a verdict that is kept: it would tell that somebody else sent the same.
            LlmAccess::NotPermitted => return (LlmOutcome::NotPermitted, None),
            LlmAccess::Allowed if llm.is_kept_from(snapshot, &candidates) => return (LlmOutcome::NotPermitted, None),
            LlmAccess::Allowed => {}
        }
        let deadline = options.deadline.map(|deadline| options.purpose.llm_deadline(deadline, Instant::now()));
        let span = step!("llm");
        let chosen = llm.choose(&prompt.text(), snapshot, &candidates, deadline).instrument(span.clone()).await;
        let (outcome, choice) = match chosen {
            Ok(choice) if choice.route.is_some() => (LlmOutcome::Verdict, Some(choice)),
            Ok(choice) => (LlmOutcome::NoneApplies, Some(choice)),
            Err(LlmError::Timeout { .. }) => (LlmOutcome::Timeout, None),
            Err(LlmError::Call { .. }) => (LlmOutcome::Error, None),
            Err(LlmError::NoVerdict(_)) => (LlmOutcome::NoVerdict, None),
            Err(LlmError::OverBudget(cap)) => (LlmOutcome::over(cap), None),
        };
        trace::asked(&span, outcome);
        (outcome, choice)
    }
}

/// Whether the first stage is trusted.
struct Trust {
    /// Least confidence; `None`: the bounds on the vote were asked.
    threshold: Option<f32>,
    doubts: Vec<Doubt>,
}

/// A snapshot with routes and without neighbours has every doubt, one without routes none: there is nothing to doubt.
fn trust(evidence: &Evidence, snapshot: &Snapshot, target: Option<f32>) -> Trust {
    let wanted = |rule: &DecisionRule| match target {
        Some(target) => rule.threshold_for(target),
        None => rule.threshold().copied(),
    };
    let threshold = snapshot.rule.as_ref().and_then(wanted).map(|threshold| threshold.confidence);
    let sureness = evidence.judged.zip(threshold).map(|(judged, threshold)| {
        let Judged { confidence, in_scope, .. } = judged;
        Sureness { confidence, threshold, in_scope }
    });
    let winner = evidence.scores.first().and_then(|first| snapshot.route(first.route));
    let doubts = match winner.or_else(|| snapshot.routes.first()) {
        Some(route) => doubts(&evidence.scores, sureness, route, &snapshot.policy),
        None => Vec::new(),
    };
    Trust { threshold: sureness.map(|sureness| sureness.threshold), doubts }
}

/// Which stage decides, and what: pure.
fn settle(
    llm: LlmOutcome,
    choice: Option<RouteIndex>,
    evidence: &Evidence,
    snapshot: &Snapshot,
) -> (Stage, Option<RouteIndex>) {
    let winner = evidence.scores.first().map(|first| first.route);
    let default_route = match &snapshot.policy.fallback {
        Fallback::DefaultRoute(name) => snapshot.find_route(name.as_str()),
        Fallback::BestGuess | Fallback::Abstain => None,
    };
    match (llm, &snapshot.policy.fallback) {
        (LlmOutcome::NotNeeded, _) if winner.is_some() => (Stage::Embedding, winner),
        (LlmOutcome::Verdict, _) => (Stage::Llm, choice),
        (_, Fallback::DefaultRoute(_)) if default_route.is_some() => (Stage::DefaultRoute, default_route),
        // The LLM was sure that nothing applies: guessing against it would be worse than saying so.
        (LlmOutcome::NoneApplies, _) => (Stage::Llm, None),
        (_, Fallback::BestGuess) if winner.is_some() => (Stage::BestGuess, winner),
        (_, _) => (Stage::Abstained, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{BuildWatch, IndexConfig};
    use crate::publish::Draft;
    use crate::reference::{Fingerprint, SetEdit, SetName, SetPolicy};

    #[test]
    fn where_there_are_no_routes_nothing_is_decided() {
        let name = SetName::new("empty").unwrap();
        let edit = SetEdit { name, description: String::new(), policy: SetPolicy::default() };
        let draft = Draft::new(&edit, &[], 2);
        let snapshot = draft.finish(Fingerprint("m".to_owned()), &IndexConfig::default(), &BuildWatch::default());
        let (snapshot, evidence) = (Arc::new(snapshot.unwrap()), Arc::new(Evidence::nothing()));
        let settled = settle(LlmOutcome::NotNeeded, None, &evidence, &snapshot);
        assert_eq!(settled, (Stage::Abstained, None));
        let decision = Decision {
            id: Uuid::now_v7(),
            snapshot,
            route: settled.1,
            stage: settled.0,
            threshold: None,
            doubts: Box::default(),
            without_llm: settled,
            llm: LlmOutcome::NotNeeded,
            verdict: None,
            evidence,
            shown: 5,
            cached: false,
            timings: Timings::default(),
        };
        assert_eq!(decision.reason(), "the set has no routes");
    }

    #[test]
    fn the_llm_stage_leaves_time_for_what_follows() {
        let now = Instant::now();
        let millis = Duration::from_millis;
        let table = [
            (Purpose::Answer, 10_000, 9_900),
            (Purpose::Answer, 600, 500),
            (Purpose::Answer, 100, 80),
            (Purpose::Answer, 0, 0),
            (Purpose::Completion, 10_000, 5_000),
            (Purpose::Completion, 0, 0),
        ];
        for (purpose, left, expected) in table {
            assert_eq!(purpose.llm_deadline(now + millis(left), now), now + millis(expected), "{purpose:?} {left}");
        }
        assert_eq!(Purpose::Answer.llm_deadline(now, now + millis(5)), now + millis(5), "it has passed already");
    }
}
