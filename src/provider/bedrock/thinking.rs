//! How much a model is to think before it answers: Converse has no field for that, each maker has one of its own, which
//! `additionalModelRequestFields` carries.

use serde_json::{Map, Value, json};

use super::super::anthropic::thinking::Thinking as ClaudeThinking;
use super::super::effort::Effort;
use super::super::request::ChatRequest;
use super::super::wire::set;
use super::body::Maker;

/// What is asked of the model's thoughts, and what follows for the rest of the request.
pub(super) struct Thinking {
    /// `additionalModelRequestFields`.
    pub(super) fields: Map<String, Value>,
    pub(super) max_tokens: Option<u32>,
    /// Thoughts want sampling as it is by default.
    pub(super) fixes_sampling: bool,
    /// Fields that could not be carried, or not exactly.
    pub(super) dropped: Vec<&'static str>,
}

impl Thinking {
    pub(super) fn of(model: &str, request: &ChatRequest) -> Self {
        match Maker::of(model) {
            Maker::Claude => Self::of_claude(model, request),
            Maker::Nova if model.contains("nova-2") => Self::of_nova(request),
            _ if model.contains("gpt-oss") => Self::of_gpt(request, &|effort| ("reasoning_effort", json!(effort))),
            _ if model.contains("openai.") => Self::of_gpt(request, &|effort| ("reasoning", json!({"effort": effort}))),
            Maker::Nova | Maker::Other => Self::none(request),
        }
    }

    /// Nothing is asked; whatever was wanted is dropped.
    fn none(request: &ChatRequest) -> Self {
        let effort = request.reasoning_effort.filter(|effort| *effort != Effort::None);
        let dropped =
            [effort.map(|_| "reasoning_effort"), request.reasoning_budget_tokens.map(|_| "reasoning_budget_tokens")];
        Self {
            fields: Map::new(),
            max_tokens: request.max_output_tokens,
            fixes_sampling: false,
            dropped: dropped.into_iter().flatten().collect(),
        }
    }

    /// As in Anthropic's own API, but that `max_tokens` is required only beside a budget, which must be less.
    fn of_claude(model: &str, request: &ChatRequest) -> Self {
        let asked = ClaudeThinking::of(model, request);
        let by_budget = asked.field.as_ref().is_some_and(|field| field.get("budget_tokens").is_some());
        let mut fields = Map::new();
        set(&mut fields, "thinking", asked.field);
        set(&mut fields, "output_config", asked.effort.map(|effort| json!({"effort": effort})));
        Self {
            fields,
            max_tokens: if by_budget { Some(asked.max_tokens) } else { request.max_output_tokens },
            fixes_sampling: asked.fixes_sampling,
            dropped: asked.dropped,
        }
    }

    /// <https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html>: the highest effort takes
    /// neither a limit of tokens nor sampling, and budgets rest on the limit.
    fn of_nova(request: &ChatRequest) -> Self {
        let unlimited = request.max_output_tokens.is_none();
        let (effort, exact) = match request.reasoning_effort {
            None | Some(Effort::None) => return Self::none(request),
            Some(Effort::Minimal) => ("low", false),
            Some(Effort::Low) => ("low", true),
            Some(Effort::Medium) => ("medium", true),
            Some(effort) if unlimited => ("high", effort == Effort::High),
            Some(_) => ("medium", false),
        };
        let none = Self::none(request);
        let mut fields = Map::new();
        set(&mut fields, "reasoningConfig", Some(json!({"type": "enabled", "maxReasoningEffort": effort})));
        let dropped = none.dropped.into_iter().filter(|name| !exact || *name != "reasoning_effort").collect();
        Self { fields, fixes_sampling: effort == "high", dropped, ..none }
    }

    fn of_gpt(request: &ChatRequest, field: &dyn Fn(&'static str) -> (&'static str, Value)) -> Self {
        let (effort, exact) = match request.reasoning_effort {
            None | Some(Effort::None) => return Self::none(request),
            Some(Effort::Minimal) => ("low", false),
            Some(Effort::Low) => ("low", true),
            Some(Effort::Medium) => ("medium", true),
            Some(effort) => ("high", effort == Effort::High),
        };
        let none = Self::none(request);
        let (name, value) = field(effort);
        let mut fields = Map::new();
        set(&mut fields, name, Some(value));
        let dropped = none.dropped.into_iter().filter(|name| !exact || *name != "reasoning_effort").collect();
        Self { fields, dropped, ..none }
    }
}
