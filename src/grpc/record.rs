//! Puts the entries of the audit log together: what was asked, decided, tried and answered.
//!
//! An entry is written before the answer, or the last event of a stream, leaves. A request whose caller goes away, or
//! that is ended from outside, is recorded too, by a task of its own, with what had been tried by then.

use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic_types::StatusExt;

use super::ending::Ending;
use super::status;
use crate::classify::Decision;
use crate::dispatch::{Account, Attempt, Outcome, Passed};
use crate::govern::Caller;
use crate::govern::audit::{Answered, Audit, AuditError, Decided, Entry, Method, Refused, Tokens, Tried};
use crate::money::Money;
use crate::prompt::Prompt;
use crate::provider::{FinishReason, Usage};
use crate::routing::{Plan, Target};
use crate::rpc_code::NAMES;

/// Longest word of a caller or a provider that is recorded, in characters.
const MAX_WORD_CHARS: usize = 128;

/// Most refused targets that are listed.
const MAX_REFUSED: usize = 64;

/// The record of one request, under way. Dropped before its end, it was ended from outside, or its caller has gone.
pub(super) struct Recording(Option<Draft>);

struct Draft {
    audit: Audit,
    tasks: TaskTracker,
    began: Instant,
    account: Option<Account>,
    ending: Ending,
    entry: Box<Entry>,
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
        let entry = Box::new(Entry { method, request_id, ..Entry::default() });
        let (audit, tasks, began) = (audit.clone(), tasks.clone(), Instant::now());
        Ok(Self(Some(Draft { audit, tasks, began, account: None, ending: Ending::default(), entry })))
    }

    /// What is recorded if the request is dropped before its end.
    pub(super) fn ended_by(&mut self, ending: Ending) {
        if let Some(draft) = &mut self.0 {
            draft.ending = ending;
        }
    }

    pub(super) fn called_by(&mut self, caller: &Caller) {
        if let Some(draft) = &mut self.0 {
            draft.entry.key = caller.key_id().map(ToString::to_string);
        }
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

    pub(super) fn planned(&mut self, plan: &Plan) {
        let Some(draft) = &mut self.0 else { return };
        let refused = plan
            .refused()
            .iter()
            .take(MAX_REFUSED)
            .map(|refusal| Refused { target: refusal.target.to_string(), reason: refusal.reason.to_string() });
        draft.entry.refused = refused.collect();
        draft.entry.more_refused = plan.refused().len().saturating_sub(MAX_REFUSED) as u64;
    }

    /// What the account then says is written at the end, whatever becomes of the answer.
    pub(super) fn dispatching(&mut self, account: &Account) {
        if let Some(draft) = &mut self.0 {
            draft.account = Some(account.clone());
        }
    }

    /// Targets that could have been called and were not.
    pub(super) fn passed(&mut self, passed: &[Passed]) {
        let Some(draft) = &mut self.0 else { return };
        let passed = passed
            .iter()
            .map(|passed| Refused { target: passed.target.to_string(), reason: passed.reason.as_str().to_owned() });
        draft.entry.passed = passed.collect();
    }

    pub(super) fn answered(&mut self, target: &Target, model: Option<&str>, finish: &FinishReason) {
        let Some(draft) = &mut self.0 else { return };
        draft.entry.answer = Some(Answered {
            target: target.name.to_string(),
            model: word(model.unwrap_or(&target.model)),
            finish: self::finish(finish).to_owned(),
        });
    }

    /// Writes the entry; then, and only then, the answer may leave.
    ///
    /// # Errors
    /// That of the request; or UNAVAILABLE where the entry is required and could not be written.
    pub(super) async fn end<T>(mut self, answer: Result<T, Status>) -> Result<T, Status> {
        let Some(mut draft) = self.0.take() else { return answer };
        draft.tell(answer.as_ref().err());
        draft.read_account();
        let (audit, entry) = (draft.audit, draft.entry);
        let recorded = match audit.offer(entry) {
            Ok(taken) => taken.written().await,
            // A task of its own: a caller who leaves while the entry waits for room takes nothing back.
            Err(entry) => {
                let waiting = draft.tasks.spawn(async move { audit.record(*entry).await });
                waiting.await.unwrap_or(Err(AuditError::Closed))
            }
        };
        recorded.map_err(|error| status::from_audit(&error))?;
        answer
    }
}

impl Draft {
    /// How the request ended.
    fn tell(&mut self, status: Option<&Status>) {
        self.entry.code = name(status).to_owned();
        let info = status.and_then(|status| status.get_details_error_info());
        self.entry.reason = info.map(|info| info.reason).filter(|reason| !reason.is_empty());
    }

    /// What the dispatch has done by now.
    fn read_account(&mut self) {
        if let Some(account) = &self.account {
            self.entry.attempts = account.attempts().iter().map(tried).collect();
        }
        self.entry.cost_nano = cost(&self.entry);
        self.entry.took_us = micros(self.began.elapsed());
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let Some(mut draft) = self.0.take() else { return };
        // Without a runtime the process is at its end.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        draft.read_account();
        let gone = Status::cancelled("");
        let ending = draft.ending.clone();
        draft.tell(Some(ending.status().unwrap_or(&gone)));
        let (audit, entry) = (draft.audit, draft.entry);
        let recorded = async move {
            if let Err(error) = audit.record(*entry).await {
                tracing::error!(%error, "a request that had been ended was not recorded");
            }
        };
        draft.tasks.spawn_on(recorded, &runtime);
    }
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
        Outcome::Cancelled => "cancelled",
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
        tokens: attempt.usage.map(|usage| Tokens { estimated: attempt.usage_is_estimated, ..tokens(usage) }),
        cost_nano: attempt.cost.map(|cost| cost.0),
        hedge: attempt.is_hedge,
        probe: attempt.is_probe,
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
