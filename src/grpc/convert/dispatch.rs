//! Plans, attempts and answers as messages.

use std::time::Duration;

use super::super::pb;
use super::span;
use crate::dispatch::{
    Attempt, BreakerState, Cause, DispatchEvent, Dispatched, Error, Outcome, Passed, Standing, cost,
};
use crate::money::{Currency, Money};
use crate::provider::{FinishReason, Usage};
use crate::routing::{Plan, Refusal, Target};

impl From<&Target> for pb::Target {
    fn from(target: &Target) -> Self {
        Self {
            name: target.name.to_string(),
            provider: target.provider.clone(),
            model: target.model.clone(),
            region: target.region.clone().unwrap_or_default(),
            ..Self::default()
        }
    }
}

/// With all that operators are told of a target.
pub(crate) fn target(target: &Target, currency: &Currency) -> pb::Target {
    pb::Target {
        certifications: target.certifications.iter().cloned().collect(),
        retention: target.retention.map(span),
        capabilities: target.capabilities.iter().map(ToString::to_string).collect(),
        max_context_tokens: target.max_context_tokens,
        prices: target.prices.map(|prices| pb::TargetPrices {
            input: prices.input,
            output: prices.output,
            cached_input: prices.cached_input,
            cache_write: prices.cache_write,
            currency: currency.to_string(),
        }),
        ..target.into()
    }
}

impl From<&Refusal> for pb::Refusal {
    fn from(refusal: &Refusal) -> Self {
        Self {
            target: refusal.target.to_string(),
            reason: refusal.reason.to_string(),
            reason_code: refusal.reason.code().to_owned(),
        }
    }
}

impl From<&Plan> for pb::Plan {
    fn from(plan: &Plan) -> Self {
        Self {
            targets: plan.targets().iter().map(|target| target.as_ref().into()).collect(),
            refused: plan.refused().iter().map(Into::into).collect(),
        }
    }
}

/// `currency`: of the configured prices.
fn attempt(attempt: &Attempt, currency: &str) -> pb::Attempt {
    let message = match &attempt.outcome {
        Outcome::Ok | Outcome::Cancelled => String::new(),
        Outcome::Failed { message, .. } => message.clone(),
    };
    pb::Attempt {
        target: Some(pb::Target {
            name: attempt.target.to_string(),
            provider: attempt.provider.clone(),
            model: attempt.model.clone(),
            region: attempt.region.clone().unwrap_or_default(),
            ..pb::Target::default()
        }),
        outcome: attempt.outcome.kind().to_owned(),
        message,
        status: attempt.status.map(u32::from),
        started: Some(span(attempt.started)),
        duration: Some(span(attempt.duration)),
        usage: attempt.usage.map(|it| pb::Usage { estimated: attempt.usage_is_estimated, ..usage(it) }),
        cost: attempt.cost.map(|cost| money(cost, currency)),
        is_hedge: attempt.is_hedge,
        first_text: attempt.first_text.map(span),
        is_probe: attempt.is_probe,
    }
}

fn usage(usage: Usage) -> pb::Usage {
    pb::Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cached_input_tokens: usage.cached_input_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        reasoning_tokens: usage.reasoning_tokens,
        estimated: false,
    }
}

fn money(money: Money, currency: &str) -> pb::Money {
    let micros = i64::try_from(money.0.div_ceil(1_000)).unwrap_or(i64::MAX);
    pb::Money { micros, currency: currency.to_owned() }
}

impl From<&Passed> for pb::PassedTarget {
    fn from(passed: &Passed) -> Self {
        Self {
            target: passed.target.to_string(),
            reason: passed.reason.as_str().to_owned(),
            message: passed.reason.to_string(),
            retry_after: passed.reason.left().map(span),
        }
    }
}

impl From<&Standing> for pb::TargetState {
    fn from(standing: &Standing) -> Self {
        let breaker = &standing.breaker;
        let state = match breaker.state {
            BreakerState::Closed => pb::BreakerState::Closed,
            BreakerState::HalfOpen => pb::BreakerState::HalfOpen,
            BreakerState::Open => pb::BreakerState::Open,
        };
        let usual = |[median, p95]: [Duration; 2]| pb::UsualTime { median: Some(span(median)), p95: Some(span(p95)) };
        Self {
            target: standing.target.to_string(),
            breaker: state.into(),
            cause: breaker.cause.map_or("", Cause::as_str).to_owned(),
            since: Some(span(breaker.since)),
            open_for: breaker.until.map(span),
            calls: u32::try_from(breaker.calls).unwrap_or(u32::MAX),
            error_ratio: breaker.error_ratio,
            slow_ratio: breaker.slow_ratio,
            openings: breaker.openings,
            first_text: standing.first_text.map(usual),
            answer: standing.whole.map(usual),
        }
    }
}

impl From<&FinishReason> for pb::FinishReason {
    fn from(finish: &FinishReason) -> Self {
        match finish {
            FinishReason::Stop => Self::Stop,
            FinishReason::Length => Self::Length,
            FinishReason::ContentFilter => Self::ContentFilter,
            FinishReason::ToolCalls => Self::ToolCalls,
            FinishReason::Other(_) => Self::Other,
        }
    }
}

/// An answer that was not streamed. `currency`: of the configured prices.
pub(crate) fn completed(dispatched: Dispatched, decision: pb::Decision, currency: &str) -> pb::CompleteResponse {
    let served = served(&dispatched, currency);
    pb::CompleteResponse { served: Some(served), decision: Some(decision), ..dispatched.completion.into() }
}

fn served(dispatched: &Dispatched, currency: &str) -> pb::Served {
    let completion = &dispatched.completion;
    Answer {
        target: &dispatched.target,
        model: completion.model.as_deref(),
        finish: &completion.finish,
        usage: completion.usage,
        dropped: &completion.dropped,
        attempts: &dispatched.attempts,
        passed: &dispatched.passed,
    }
    .served(currency)
}

/// An event of a stream.
pub(crate) fn event(event: DispatchEvent, currency: &str) -> pb::CompleteEvent {
    let event = match event {
        DispatchEvent::Text(text) => pb::complete_event::Event::Text(text),
        DispatchEvent::Reasoning(thought) => pb::complete_event::Event::Reasoning(thought.into()),
        DispatchEvent::Refusal(words) => pb::complete_event::Event::Refusal(words),
        DispatchEvent::ToolCall(piece) => pb::complete_event::Event::ToolCallDelta(piece.into()),
        DispatchEvent::End { finish, usage, model, dropped, target, attempts, passed } => {
            let answer = Answer {
                target: &target,
                model: model.as_deref(),
                finish: &finish,
                usage,
                dropped: &dropped,
                attempts: &attempts,
                passed: &passed,
            };
            pb::complete_event::Event::Served(answer.served(currency))
        }
    };
    pb::CompleteEvent { event: Some(event) }
}

/// What a failed dispatch tells of itself beside its status.
pub(crate) fn attempts_detail(error: &Error, currency: &str) -> pb::AttemptsDetail {
    let refused: &[Refusal] = match error {
        Error::NoTargets { refused } => refused,
        Error::AllFailed { .. }
        | Error::Rejected { .. }
        | Error::DeadlineExceeded { .. }
        | Error::BrokenStream { .. } => &[],
    };
    pb::AttemptsDetail {
        attempts: error.attempts().iter().map(|it| attempt(it, currency)).collect(),
        refused: refused.iter().map(Into::into).collect(),
        passed: error.passed().iter().map(Into::into).collect(),
    }
}

struct Answer<'a> {
    target: &'a Target,
    /// As the provider reported it.
    model: Option<&'a str>,
    finish: &'a FinishReason,
    usage: Option<Usage>,
    dropped: &'a [String],
    attempts: &'a [Attempt],
    passed: &'a [Passed],
}

impl Answer<'_> {
    fn served(&self, currency: &str) -> pb::Served {
        pb::Served {
            actual_provider: self.target.provider.clone(),
            actual_model: self.model.unwrap_or(&self.target.model).to_owned(),
            actual_region: self.target.region.clone().unwrap_or_default(),
            finish_reason: pb::FinishReason::from(self.finish).into(),
            usage: self.usage.map(usage),
            attempts: self.attempts.iter().map(|it| attempt(it, currency)).collect(),
            cost: cost(self.attempts).map(|cost| money(cost, currency)),
            passed: self.passed.iter().map(Into::into).collect(),
            dropped_fields: self.dropped.to_vec(),
        }
    }
}
