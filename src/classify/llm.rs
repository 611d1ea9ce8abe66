//! The LLM stage: asks a model to choose among the shortlisted routes. Bounded in time and by its budget, asked once for
//! identical prompts that come together, and its verdicts are cached.

mod config;
mod question;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use moka::future::Cache;

pub use config::LlmConfig;
use question::{Matter, Question};

use super::budget::{Budget, Cap};
use super::verdict::{self, NoVerdict, Verdict};
use crate::money::Money;
use crate::provider::{self, Provider, Usage};
use crate::reference::{RouteIndex, RouteName, SetName, Snapshot};

/// Why the stage has no verdict.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LlmError {
    #[error("no verdict within {waited:?}")]
    Timeout { waited: Duration },
    #[error("the call failed: {kind}")]
    Call { kind: &'static str },
    #[error(transparent)]
    NoVerdict(#[from] NoVerdict),
    #[error("the LLM stage is not asked: {0}")]
    OverBudget(#[from] Cap),
}

/// A usable answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LlmChoice {
    /// A route of the snapshot, or none.
    pub route: Option<RouteIndex>,
    /// That the answer is right, in [0, 1], as the model says; chat models say nothing.
    pub probability: Option<f32>,
    /// Whether it was given to the same question before, so that nobody was asked.
    pub kept: bool,
    /// Whether the model was asked for this very decision: not if the answer was kept, or another's who asked the same.
    pub asked: bool,
    /// What the call cost, if it was asked for this very decision; zero without configured prices.
    pub cost: Option<Money>,
}

#[derive(Debug, Clone)]
struct Answered {
    verdict: Verdict,
    probability: Option<f32>,
    cost: Money,
}

impl Answered {
    fn choice(&self, shortlist: &[RouteIndex]) -> LlmChoice {
        let route = self.verdict.among(shortlist);
        LlmChoice { route, probability: self.probability, kept: false, asked: false, cost: None }
    }
}

pub struct LlmStage {
    provider: Arc<dyn Provider>,
    config: LlmConfig,
    budget: Budget,
    /// Routes whose prompts it must not see.
    kept_from: HashSet<(SetName, RouteName)>,
    verdicts: Cache<[u8; 32], Answered>,
}

impl LlmStage {
    pub fn new(provider: Arc<dyn Provider>, config: LlmConfig) -> Self {
        let verdicts = Cache::builder().max_capacity(config.cache_entries).time_to_live(config.cache_ttl).build();
        let budget = Budget::new(&config.budget);
        Self { provider, config, budget, kept_from: HashSet::new(), verdicts }
    }

    /// It is not asked about a prompt that may belong to one of these routes.
    #[must_use]
    pub fn kept_from(self, routes: impl IntoIterator<Item = (SetName, RouteName)>) -> Self {
        Self { kept_from: routes.into_iter().collect(), ..self }
    }

    /// Whether any of the likely routes is one whose prompts it must not see.
    pub(super) fn is_kept_from(&self, snapshot: &Snapshot, candidates: &[RouteIndex]) -> bool {
        let mut routes = candidates.iter().filter_map(|route| snapshot.route(*route));
        !self.kept_from.is_empty()
            && routes.any(|route| self.kept_from.contains(&(snapshot.set.clone(), route.name.clone())))
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The model that is asked.
    pub fn model(&self) -> &str {
        &self.config.model
    }

    /// Asks for a choice among the likeliest routes (`candidates`, likeliest first). Identical questions that are
    /// under way are asked once; only verdicts are cached, failures are not.
    pub async fn choose(
        &self,
        text: &str,
        snapshot: &Snapshot,
        candidates: &[RouteIndex],
        deadline: Option<Instant>,
    ) -> Result<LlmChoice, LlmError> {
        let begun = now();
        let shortlist: Vec<RouteIndex> = candidates.iter().copied().take(self.config.shortlist).collect();
        let latest = begun + self.config.timeout;
        let deadline = deadline.map_or(latest, |deadline| deadline.min(latest));
        let matter = Matter { text, snapshot, shortlist: &shortlist };
        let key = question::key(matter);
        if let Some(answered) = self.verdicts.get(&key).await {
            return Ok(LlmChoice { kept: true, ..answered.choice(&shortlist) });
        }
        let asked = AtomicBool::new(false);
        let answered = loop {
            // Run by one of those who ask the same; the others get what it gets.
            let ask = async {
                asked.store(true, Ordering::Relaxed);
                self.ask(matter, deadline).await
            };
            match tokio::time::timeout_at(deadline.into(), self.verdicts.try_get_with(key, ask)).await {
                Err(_) => return Err(LlmError::Timeout { waited: now().saturating_duration_since(begun) }),
                // The time that was up is that of another caller who asked the same: ours goes on.
                Ok(Err(error)) if matches!(*error, LlmError::Timeout { .. }) && now() < deadline => {}
                Ok(Err(error)) => return Err((*error).clone()),
                Ok(Ok(answered)) => break answered,
            }
        };
        let asked = asked.into_inner();
        Ok(LlmChoice { asked, cost: asked.then_some(answered.cost), ..answered.choice(&shortlist) })
    }

    async fn ask(&self, matter: Matter<'_>, deadline: Instant) -> Result<Answered, LlmError> {
        let begun = now();
        let routes = matter.shortlist.iter().filter_map(|route| matter.snapshot.route(*route));
        let names: Vec<&str> = routes.map(|route| route.name.as_str()).collect();
        let question = if self.provider.takes_typed_questions() {
            Question::typed(matter, &self.config)
        } else {
            Question::chat(matter, &self.config, &names)
        };
        let ticket = self.budget.admit(question.most())?;
        match tokio::time::timeout_at(deadline.into(), self.put(&question, &names)).await {
            Err(_) => Err(LlmError::Timeout { waited: now().saturating_duration_since(begun) }),
            Ok(Err(error)) => {
                if costs_nothing(&error) {
                    ticket.free();
                }
                tracing::warn!(provider = %self.config.provider, %error, "the LLM stage's call failed");
                Err(LlmError::Call { kind: error.kind() })
            }
            Ok(Ok((answered, usage))) => {
                // A provider that reports no tokens at all has not counted.
                let cost = ticket.settle(usage.filter(|usage| usage.input_tokens > 0));
                Ok(Answered { cost, ..answered? })
            }
        }
    }

    /// One call: what was answered, and what it took.
    async fn put(
        &self,
        question: &Question,
        names: &[&str],
    ) -> Result<(Result<Answered, NoVerdict>, Option<Usage>), provider::Error> {
        match question {
            Question::Chat(request) => {
                let completion = self.provider.complete(&self.config.model, request).await?;
                let verdict = verdict::read(&completion.text, names);
                Ok((
                    verdict.map(|verdict| Answered { verdict, probability: None, cost: Money::ZERO }),
                    completion.usage,
                ))
            }
            Question::Typed(question) => {
                let choice = self.provider.choose(&self.config.model, question).await?;
                let verdict = verdict::named(&choice.label, names);
                Ok((
                    verdict.map(|verdict| Answered { verdict, probability: choice.probability, cost: Money::ZERO }),
                    choice.usage,
                ))
            }
        }
    }
}

/// Nothing reached the provider, or it refused. A 5xx may come from a gateway behind which the answer was made, and is
/// charged.
fn costs_nothing(error: &provider::Error) -> bool {
    use provider::Error::{Connect, Status, Unconfigured, Unsupported};
    match error {
        Connect { .. } | Unconfigured { .. } | Unsupported { .. } => true,
        Status { status, .. } => *status < 500,
        _ => false,
    }
}

/// By tokio's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
