//! Plans, attempts and answers as messages.

use super::super::pb;
use super::span;
use crate::dispatch::{Attempt, DispatchEvent, Dispatched, Error, Outcome};
use crate::money::Currency;
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

impl From<&Attempt> for pb::Attempt {
    fn from(attempt: &Attempt) -> Self {
        let (outcome, message) = match &attempt.outcome {
            Outcome::Ok => ("ok", String::new()),
            Outcome::Failed { kind, message } => (*kind, message.clone()),
        };
        Self {
            target: Some(pb::Target {
                name: attempt.target.to_string(),
                provider: attempt.provider.clone(),
                model: attempt.model.clone(),
                region: attempt.region.clone().unwrap_or_default(),
                ..pb::Target::default()
            }),
            outcome: outcome.to_owned(),
            message,
            status: attempt.status.map(u32::from),
            started: Some(span(attempt.started)),
            duration: Some(span(attempt.duration)),
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

/// Who answered a call that was not streamed.
pub(crate) fn served(dispatched: &Dispatched) -> pb::Served {
    let completion = &dispatched.completion;
    Answer {
        target: &dispatched.target,
        model: completion.model.as_deref(),
        finish: &completion.finish,
        usage: completion.usage,
        attempts: &dispatched.attempts,
    }
    .served()
}

/// An event of a stream; `None` for those that callers are not told of.
pub(crate) fn event(event: DispatchEvent) -> Option<pb::CompleteEvent> {
    let event = match event {
        DispatchEvent::Attempting { .. } => return None,
        DispatchEvent::Text(text) => pb::complete_event::Event::Text(text),
        DispatchEvent::End { finish, usage, model, target, attempts } => {
            let answer =
                Answer { target: &target, model: model.as_deref(), finish: &finish, usage, attempts: &attempts };
            pb::complete_event::Event::Served(answer.served())
        }
    };
    Some(pb::CompleteEvent { event: Some(event) })
}

/// What a failed dispatch tells of itself beside its status.
pub(crate) fn attempts_detail(error: &Error) -> pb::AttemptsDetail {
    let refused: &[Refusal] = match error {
        Error::NoTargets { refused } => refused,
        Error::AllFailed { .. }
        | Error::Rejected { .. }
        | Error::DeadlineExceeded { .. }
        | Error::BrokenStream { .. } => &[],
    };
    pb::AttemptsDetail {
        attempts: error.attempts().iter().map(Into::into).collect(),
        refused: refused.iter().map(Into::into).collect(),
    }
}

struct Answer<'a> {
    target: &'a Target,
    /// As the provider reported it.
    model: Option<&'a str>,
    finish: &'a FinishReason,
    usage: Option<Usage>,
    attempts: &'a [Attempt],
}

impl Answer<'_> {
    fn served(&self) -> pb::Served {
        pb::Served {
            actual_provider: self.target.provider.clone(),
            actual_model: self.model.unwrap_or(&self.target.model).to_owned(),
            actual_region: self.target.region.clone().unwrap_or_default(),
            finish_reason: pb::FinishReason::from(self.finish).into(),
            usage: self
                .usage
                .map(|usage| pb::Usage { input_tokens: usage.input_tokens, output_tokens: usage.output_tokens }),
            attempts: self.attempts.iter().map(Into::into).collect(),
        }
    }
}
