//! Puts the entries of the audit log together: what was asked, decided, tried and answered.
//!
//! An entry is written before the answer, or the last event of a stream, leaves. A request whose caller goes away is
//! recorded too, by a task of its own, with what had been tried by then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic_types::StatusExt;

use super::convert;
use super::delivery::Event;
use super::status;
use crate::classify::Decision;
use crate::dispatch::{self, Attempt, DispatchEvent, DispatchStream, Dispatched, Outcome};
use crate::govern::audit::{Answered, Audit, Decided, Entry, Method, Refused, Tokens, Tried};
use crate::money::Money;
use crate::prompt::Prompt;
use crate::provider::{FinishReason, Usage};
use crate::routing::{Plan, Target};
use crate::rpc_code::NAMES;

/// Longest word of a caller or a provider that is recorded, in characters.
const MAX_WORD_CHARS: usize = 128;

/// Most refused targets that are listed.
const MAX_REFUSED: usize = 64;

/// The record of one request, under way. Dropped before its end, its caller has gone.
pub(super) struct Recording(Option<Draft>);

struct Draft {
    audit: Audit,
    tasks: TaskTracker,
    began: Instant,
    dispatch_began: Option<Instant>,
    entry: Entry,
}

impl Recording {
    /// Of a request that nobody records.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// # Errors
    /// UNAVAILABLE where nothing may be done that cannot be recorded.
    pub(super) fn begin(
        audit: &Audit,
        tasks: &TaskTracker,
        method: Method,
        metadata: &MetadataMap,
    ) -> Result<Self, Status> {
        if !audit.wants(method) {
            return Ok(Self::none());
        }
        audit.ready().map_err(|error| status::from_audit(&error))?;
        let request_id = metadata.get("x-request-id").and_then(|id| id.to_str().ok()).map(word);
        let entry = Entry { method, request_id, ..Entry::default() };
        let (audit, tasks, began) = (audit.clone(), tasks.clone(), Instant::now());
        Ok(Self(Some(Draft { audit, tasks, began, dispatch_began: None, entry })))
    }

    pub(super) fn asked(&mut self, prompt: &Prompt) {
        if let Some(draft) = &mut self.0 {
            draft.entry.prompt = draft.audit.hash_prompt(&prompt.text());
        }
    }

    pub(super) fn decided(&mut self, decision: &Decision) {
        if let Some(draft) = &mut self.0 {
            draft.entry.decision = Some(decided(decision));
        }
    }

    /// The dispatch begins now.
    pub(super) fn planned(&mut self, plan: &Plan) {
        let Some(draft) = &mut self.0 else { return };
        draft.dispatch_began = Some(Instant::now());
        let refused = plan
            .refused
            .iter()
            .take(MAX_REFUSED)
            .map(|refusal| Refused { target: refusal.target.to_string(), reason: refusal.reason.to_string() });
        draft.entry.refused = refused.collect();
        draft.entry.more_refused = plan.refused.len().saturating_sub(MAX_REFUSED) as u64;
    }

    pub(super) fn dispatched(&mut self, dispatched: &Result<Dispatched, dispatch::Error>) {
        match dispatched {
            Ok(dispatched) => self.answered(
                &dispatched.attempts,
                &Last {
                    target: &dispatched.target,
                    model: dispatched.completion.model.as_deref(),
                    finish: &dispatched.completion.finish,
                    usage: dispatched.completion.usage,
                },
            ),
            Err(error) => self.tried(error.attempts()),
        }
    }

    /// Writes the entry; then, and only then, the answer may leave.
    ///
    /// # Errors
    /// That of the request; or UNAVAILABLE where the entry is required and could not be written.
    pub(super) async fn end<T>(mut self, answer: Result<T, Status>) -> Result<T, Status> {
        let Some(mut draft) = self.0.take() else { return answer };
        draft.entry.code = name(answer.as_ref().err()).to_owned();
        let info = answer.as_ref().err().and_then(|status| status.get_details_error_info());
        draft.entry.reason = info.map(|info| info.reason).filter(|reason| !reason.is_empty());
        draft.entry.took_us = micros(draft.began.elapsed());
        draft.audit.record(draft.entry).await.map_err(|error| status::from_audit(&error))?;
        answer
    }

    /// The one place where the attempts of a dispatch are read.
    fn tried(&mut self, attempts: &[Attempt]) {
        if let Some(draft) = &mut self.0 {
            draft.entry.attempts = attempts.iter().map(tried).collect();
            draft.entry.cost_nano = cost(&draft.entry);
        }
    }

    fn answered(&mut self, attempts: &[Attempt], last: &Last<'_>) {
        self.tried(attempts);
        let Some(draft) = &mut self.0 else { return };
        let target = last.target;
        draft.entry.answer = Some(Answered {
            target: target.name.to_string(),
            model: word(last.model.unwrap_or(&target.model)),
            finish: finish(last.finish).to_owned(),
        });
        if let Some(attempt) = draft.entry.attempts.last_mut() {
            attempt.tokens = attempt.tokens.or_else(|| last.usage.map(tokens));
            let price = || target.prices.zip(last.usage).map(|(prices, usage)| prices.cost(usage).0);
            attempt.cost_nano = attempt.cost_nano.or_else(price);
        }
        draft.entry.cost_nano = cost(&draft.entry);
    }

    /// Of a stream: a call begins. What became of it is known when the dispatch has ended.
    fn attempting(&mut self, target: &Target) {
        let Some(draft) = &mut self.0 else { return };
        draft.stop_last("failed");
        draft.entry.attempts.push(Tried {
            target: target.name.to_string(),
            provider: target.provider.clone(),
            model: target.model.clone(),
            region: target.region.clone(),
            outcome: "cancelled".to_owned(),
            started_us: draft.dispatch_micros(),
            ..Tried::default()
        });
    }

    /// Of a stream: text is handed over.
    fn text(&mut self) {
        let Some(draft) = &mut self.0 else { return };
        let now = draft.dispatch_micros();
        if let Some(last) = draft.entry.attempts.last_mut().filter(|last| !last.committed) {
            last.committed = true;
            last.first_text_us = Some(now.saturating_sub(last.started_us));
        }
    }
}

impl Draft {
    /// Since the begin of the dispatch.
    fn dispatch_micros(&self) -> u64 {
        self.dispatch_began.map_or(0, |began| micros(began.elapsed()))
    }

    fn stop_last(&mut self, outcome: &str) {
        let now = self.dispatch_micros();
        if let Some(last) = self.entry.attempts.last_mut().filter(|last| last.outcome == "cancelled") {
            last.outcome = outcome.to_owned();
            last.took_us = now.saturating_sub(last.started_us);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let Some(mut draft) = self.0.take() else { return };
        // Without a runtime the process is at its end.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        draft.stop_last("cancelled");
        draft.entry.code = "CANCELLED".to_owned();
        draft.entry.took_us = micros(draft.began.elapsed());
        let (audit, entry) = (draft.audit, draft.entry);
        let recorded = async move {
            if let Err(error) = audit.record(entry).await {
                tracing::error!(%error, "a request whose caller had gone was not recorded");
            }
        };
        draft.tasks.spawn_on(recorded, &runtime);
    }
}

/// The events of a stream as its caller gets them: the last one, or the status that ends it, once it is recorded.
pub(super) fn follow(events: DispatchStream, recording: Recording) -> impl Stream<Item = Event> + Send + 'static {
    stream::unfold((events, recording), |(mut events, mut recording)| async move {
        loop {
            let event = match events.next().await? {
                Ok(event) => event,
                Err(error) => {
                    recording.tried(error.attempts());
                    let ended = recording.end(Err(status::from_dispatch(&error))).await;
                    return Some((ended, (events, Recording::none())));
                }
            };
            let is_end = recording.heard(&event);
            let Some(event) = convert::event(event) else { continue };
            if is_end {
                return Some((recording.end(Ok(event)).await, (events, Recording::none())));
            }
            return Some((Ok(event), (events, recording)));
        }
    })
}

impl Recording {
    /// Whether the event is the last.
    fn heard(&mut self, event: &DispatchEvent) -> bool {
        match event {
            DispatchEvent::Attempting { target } => self.attempting(target),
            DispatchEvent::Text(_) => self.text(),
            DispatchEvent::End { finish, usage, model, target, attempts } => {
                let last = Last { target, model: model.as_deref(), finish, usage: *usage };
                self.answered(attempts, &last);
                return true;
            }
        }
        false
    }
}

/// What is known of an answer beside its attempts.
struct Last<'a> {
    target: &'a Arc<Target>,
    model: Option<&'a str>,
    finish: &'a FinishReason,
    usage: Option<Usage>,
}

fn decided(decision: &Decision) -> Decided {
    let snapshot = &decision.snapshot;
    let evidence = decision.neighbours().iter().filter_map(|neighbour| snapshot.reference(neighbour));
    Decided {
        id: decision.id.to_string(),
        set: snapshot.set.to_string(),
        version: snapshot.version,
        model: snapshot.model.to_string(),
        route: decision.route().map(|route| route.name.to_string()),
        confidence: decision.judged().map(|judged| judged.confidence),
        threshold: decision.threshold,
        stage: decision.stage.as_str().to_owned(),
        llm: decision.llm.as_str().to_owned(),
        llm_asked: decision.verdict.is_some_and(|choice| choice.asked),
        llm_cost_nano: decision
            .verdict
            .and_then(|choice| choice.cost)
            .filter(|cost| *cost > Money::ZERO)
            .map(|cost| cost.0),
        cached: decision.cached,
        took_us: micros(decision.timings.total),
        evidence: evidence.map(|reference| reference.id.to_string()).collect(),
    }
}

fn tried(attempt: &Attempt) -> Tried {
    // The message may quote the prompt: the kind alone is recorded.
    let outcome = match &attempt.outcome {
        Outcome::Ok => "ok",
        Outcome::Failed { kind, .. } => kind,
    };
    Tried {
        target: attempt.target.to_string(),
        provider: attempt.provider.clone(),
        model: attempt.model.clone(),
        region: attempt.region.clone(),
        outcome: outcome.to_owned(),
        status: attempt.status,
        started_us: micros(attempt.started),
        took_us: micros(attempt.duration),
        first_text_us: attempt.first_text.map(micros),
        tokens: attempt.usage.map(tokens),
        cost_nano: attempt.cost.map(|cost| cost.0),
        hedge: attempt.is_hedge,
        committed: attempt.committed,
    }
}

fn tokens(usage: Usage) -> Tokens {
    Tokens {
        input: usage.input_tokens,
        output: usage.output_tokens,
        cached_input: usage.cached_input_tokens,
        cache_write: usage.cache_write_tokens,
        reasoning: usage.reasoning_tokens,
        estimated: false,
    }
}

/// `None` if nothing is known.
fn cost(entry: &Entry) -> Option<u64> {
    let llm = entry.decision.as_ref().and_then(|decision| decision.llm_cost_nano);
    let known: Vec<u64> = entry.attempts.iter().filter_map(|attempt| attempt.cost_nano).chain(llm).collect();
    (!known.is_empty()).then(|| known.into_iter().map(Money).sum::<Money>().0)
}

fn finish(finish: &FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ToolCalls => "tool_calls",
        // The provider's own word could be anything.
        FinishReason::Other(_) => "other",
    }
}

/// Name of the code that a request ends with.
fn name(status: Option<&Status>) -> &'static str {
    let number = status.map_or(0, |status| i32::from(status.code()));
    usize::try_from(number).ok().and_then(|number| NAMES.get(number)).copied().unwrap_or("UNKNOWN")
}

/// Without control characters, and not too long.
fn word(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MAX_WORD_CHARS).collect()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
