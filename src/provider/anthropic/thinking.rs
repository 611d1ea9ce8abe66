//! How much Claude thinks: older models take a budget of tokens, those since Claude 4.6 an effort
//! (<https://platform.claude.com/docs/en/build-with-claude/extended-thinking>, `.../adaptive-thinking`).

use serde_json::{Value, json};

use super::super::effort::Effort;
use super::super::request::ChatRequest;
use super::super::tool::ToolChoice;
use crate::prompt::Role;

/// The smallest budget that the API takes.
const MIN_BUDGET: u32 = 1024;

/// What may be generated, if the request sets no limit, besides a budget; every model of the API allows it.
const DEFAULT_MAX_TOKENS: u32 = 4096;

/// The same where the model itself divides it between thought and answer.
const DEFAULT_MAX_TOKENS_ADAPTIVE: u32 = 16_384;

/// Generations that think by budget, or not at all. All that come later know `adaptive`.
const BY_BUDGET: [&str; 9] = [
    "claude-3-7-",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2",
    "claude-opus-4-5",
];
const THOUGHTLESS: [&str; 3] = ["claude-3-haiku", "claude-3-opus", "claude-3-5-"];

/// What is asked of the model's thoughts, and what follows for the rest of the request.
pub(in crate::provider) struct Thinking {
    pub(in crate::provider) max_tokens: u32,
    /// The field `thinking`.
    pub(in crate::provider) field: Option<Value>,
    /// `output_config.effort`.
    pub(in crate::provider) effort: Option<&'static str>,
    /// Thoughts want sampling as it is by default.
    pub(in crate::provider) fixes_sampling: bool,
    /// Fields that could not be carried, or not exactly.
    pub(in crate::provider) dropped: Vec<&'static str>,
}

impl Thinking {
    pub(in crate::provider) fn of(model: &str, request: &ChatRequest) -> Self {
        let asked = [
            request.reasoning_effort.map(|_| "reasoning_effort"),
            request.reasoning_budget_tokens.map(|_| "reasoning_budget_tokens"),
        ];
        let asked: Vec<_> = asked.into_iter().flatten().collect();
        let nothing = |field: Option<Value>, dropped: Vec<&'static str>| Self {
            max_tokens: request.max_output_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
            field,
            effort: None,
            fixes_sampling: false,
            dropped,
        };
        if asked.is_empty() {
            return nothing(None, asked);
        }
        let begins = |names: &[&str]| names.iter().any(|name| model.contains(name));
        if begins(&THOUGHTLESS) {
            let dropped = if request.reasoning_effort == Some(Effort::None) { Vec::new() } else { asked };
            return nothing(None, dropped);
        }
        if request.reasoning_effort == Some(Effort::None) {
            let over = request.reasoning_budget_tokens.map(|_| "reasoning_budget_tokens");
            return nothing(Some(json!({"type": "disabled"})), over.into_iter().collect());
        }
        // The API refuses thoughts where a tool is forced.
        if matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_))) {
            return nothing(None, asked);
        }
        let by_budget = begins(&BY_BUDGET);
        if !by_budget {
            return Self::adaptive(request);
        }
        match budget(request) {
            Some(budget) if !is_amid_foreign_tools(request) => Self::by_budget(request, budget),
            _ => nothing(None, asked),
        }
    }

    fn by_budget(request: &ChatRequest, budget: u32) -> Self {
        // An effort beside a budget says the same less exactly; a budget that is made of an effort stands for it.
        let field = json!({"type": "enabled", "budget_tokens": budget});
        Self {
            max_tokens: request.max_output_tokens.unwrap_or(DEFAULT_MAX_TOKENS.saturating_add(budget)),
            field: Some(field),
            effort: None,
            fixes_sampling: true,
            dropped: Vec::new(),
        }
    }

    fn adaptive(request: &ChatRequest) -> Self {
        let (effort, exact) = match request.reasoning_effort {
            Some(Effort::Low) => ("low", true),
            // A budget says how hard as well.
            None => match request.reasoning_budget_tokens {
                Some(16_384..) => ("high", true),
                Some(4_096..) => ("medium", true),
                _ => ("low", true),
            },
            Some(Effort::None | Effort::Minimal) => ("low", false),
            Some(Effort::Medium) => ("medium", true),
            Some(Effort::High) => ("high", true),
            Some(Effort::XHigh) => ("xhigh", true),
            Some(Effort::Max) => ("max", true),
        };
        let mut dropped: Vec<&'static str> = (!exact).then_some("reasoning_effort").into_iter().collect();
        dropped.extend(request.reasoning_budget_tokens.map(|_| "reasoning_budget_tokens"));
        Self {
            max_tokens: request.max_output_tokens.unwrap_or(DEFAULT_MAX_TOKENS_ADAPTIVE),
            field: Some(json!({"type": "adaptive"})),
            effort: Some(effort),
            fixes_sampling: true,
            dropped,
        }
    }
}

/// The budget that is asked for, or that an effort stands for: at most half of what may be generated, so that an answer
/// has room. `None`: there is no room to think.
fn budget(request: &ChatRequest) -> Option<u32> {
    let (wanted, most) = match (request.reasoning_budget_tokens, request.reasoning_effort) {
        // `max_tokens` has to be more than the budget.
        (Some(budget), _) => (budget, request.max_output_tokens.map(|limit| limit.saturating_sub(1))),
        (None, effort) => {
            let wanted = match effort {
                None | Some(Effort::None | Effort::Minimal | Effort::Low) => 1024,
                Some(Effort::Medium) => 4096,
                Some(Effort::High) => 16_384,
                Some(Effort::XHigh | Effort::Max) => 24_576,
            };
            (wanted, request.max_output_tokens.map(|limit| limit / 2))
        }
    };
    Some(most.map_or(wanted, |most| wanted.min(most))).filter(|budget| *budget >= MIN_BUDGET)
}

/// Whether tools are being answered that were called without a sealed thought, as another provider's model does: the
/// API then refuses to think on.
fn is_amid_foreign_tools(request: &ChatRequest) -> bool {
    let answered = request.messages.iter().rev().take_while(|message| message.answers.is_some()).count();
    let calling = request.messages.iter().rev().nth(answered);
    answered > 0
        && calling.is_some_and(|message| {
            let sealed = message.reasoning.iter().any(|thought| thought.signature.is_some());
            message.role == Role::Assistant && !sealed
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{Answered, Message, Reasoning, ToolCall};

    fn check(model: &str, request: &ChatRequest, field: Option<Value>, max_tokens: u32, dropped: &[&str]) {
        let thinking = Thinking::of(model, request);
        let found = (thinking.field, thinking.max_tokens, thinking.dropped);
        assert_eq!(found, (field, max_tokens, dropped.to_vec()), "{model}");
    }

    fn asked(effort: Option<Effort>, budget: Option<u32>, limit: Option<u32>) -> ChatRequest {
        ChatRequest {
            reasoning_effort: effort,
            reasoning_budget_tokens: budget,
            max_output_tokens: limit,
            ..ChatRequest::default()
        }
    }

    #[test]
    fn every_generation_is_told_in_its_own_way() {
        let (high, none) = (Some(Effort::High), Some(Effort::None));
        let budget = |tokens: u32| Some(json!({"type": "enabled", "budget_tokens": tokens}));
        let adaptive = || Some(json!({"type": "adaptive"}));
        let (old, new) = ("claude-haiku-4-5", "claude-opus-4-6");
        check(new, &asked(None, None, None), None, 4096, &[]);
        check(new, &asked(high, None, None), adaptive(), 16_384, &[]);
        check(new, &asked(high, None, Some(100)), adaptive(), 100, &[]);
        check(new, &asked(Some(Effort::Minimal), None, Some(100)), adaptive(), 100, &["reasoning_effort"]);
        check(new, &asked(None, Some(2048), None), adaptive(), 16_384, &["reasoning_budget_tokens"]);
        check(new, &asked(none, None, None), Some(json!({"type": "disabled"})), 4096, &[]);
        check(old, &asked(high, None, None), budget(16_384), 20_480, &[]);
        check(old, &asked(high, None, Some(8000)), budget(4000), 8000, &[]);
        check(old, &asked(high, None, Some(2000)), None, 2000, &["reasoning_effort"]);
        check(old, &asked(None, Some(4000), Some(4001)), budget(4000), 4001, &[]);
        check(old, &asked(high, Some(2048), None), budget(2048), 6144, &[]);
        check("claude-3-5-haiku-latest", &asked(high, None, None), None, 4096, &["reasoning_effort"]);
        check("claude-3-5-haiku-latest", &asked(none, None, None), None, 4096, &[]);
        let forced = ChatRequest { tool_choice: Some(ToolChoice::Required), ..asked(high, None, None) };
        check(new, &forced, None, 4096, &["reasoning_effort"]);
    }

    #[test]
    fn thinking_goes_on_amid_tools_only_from_a_sealed_thought() {
        let call = ToolCall { id: "c".to_owned(), name: "clock".to_owned(), ..ToolCall::default() };
        let mut calling = Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") };
        let answered = Some(Answered { call_id: "c".to_owned(), failed: false });
        let answering = Message { answers: answered, ..Message::new(Role::Tool, "12:00") };
        let request = |calling: &Message| ChatRequest {
            messages: vec![Message::user("time?"), calling.clone(), answering.clone()],
            ..asked(None, Some(1024), None)
        };
        check("claude-haiku-4-5", &request(&calling), None, 4096, &["reasoning_budget_tokens"]);
        calling.reasoning = vec![Reasoning { signature: Some("seal".to_owned()), ..Reasoning::default() }];
        let field = Some(json!({"type": "enabled", "budget_tokens": 1024}));
        check("claude-haiku-4-5", &request(&calling), field, 5120, &[]);
    }
}
