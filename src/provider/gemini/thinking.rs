//! How much Gemini thinks: 2.5 takes a budget of tokens, 3 and later a level (<https://ai.google.dev/gemini-api/docs/thinking>).
//! The budgets of the levels are those of Google's own endpoint in OpenAI's format (<https://ai.google.dev/gemini-api/docs/openai>).

use serde_json::{Map, Value, json};

use super::super::effort::Effort;
use super::super::request::ChatRequest;
use super::super::wire::set;

/// Generations that do not think.
const THOUGHTLESS: [&str; 3] = ["gemini-1", "gemini-2.0", "gemma"];

/// `generationConfig.thinkingConfig`, with the fields that it could not carry, or not exactly.
pub(super) fn thinking(model: &str, request: &ChatRequest) -> (Option<Value>, Vec<&'static str>) {
    let (effort, budget) = (request.reasoning_effort, request.reasoning_budget_tokens);
    let mut dropped = Vec::new();
    if effort.is_none() && budget.is_none() {
        return (None, dropped);
    }
    if THOUGHTLESS.iter().any(|name| model.contains(name)) {
        dropped.extend(effort.filter(|effort| *effort != Effort::None).map(|_| "reasoning_effort"));
        dropped.extend(budget.map(|_| "reasoning_budget_tokens"));
        return (None, dropped);
    }
    let mut config = Map::new();
    match (budget, effort) {
        // An effort beside a budget says the same less exactly, and the API takes only one.
        (Some(budget), _) => set(&mut config, "thinkingBudget", Some(budget)),
        (None, Some(effort)) if model.contains("gemini-2.5") => {
            let (tokens, exact) = budget_of(model, effort);
            set(&mut config, "thinkingBudget", Some(tokens));
            dropped.extend((!exact).then_some("reasoning_effort"));
        }
        (None, effort) => {
            let (level, exact) = effort.map_or(("high", true), level_of);
            set(&mut config, "thinkingLevel", Some(level));
            dropped.extend((!exact).then_some("reasoning_effort"));
        }
    }
    if effort != Some(Effort::None) {
        set(&mut config, "includeThoughts", Some(true));
    }
    (Some(json!(config)), dropped)
}

fn budget_of(model: &str, effort: Effort) -> (u32, bool) {
    match effort {
        // Pro always thinks; this is the least it can.
        Effort::None if model.contains("pro") => (128, false),
        Effort::None => (0, true),
        Effort::Minimal | Effort::Low => (1024, true),
        Effort::Medium => (8192, true),
        Effort::High => (24_576, true),
        Effort::XHigh | Effort::Max => (24_576, false),
    }
}

/// Gemini 3 always thinks.
fn level_of(effort: Effort) -> (&'static str, bool) {
    match effort {
        Effort::None => ("minimal", false),
        Effort::Minimal => ("minimal", true),
        Effort::Low => ("low", true),
        Effort::Medium => ("medium", true),
        Effort::High => ("high", true),
        Effort::XHigh | Effort::Max => ("high", false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generation_is_told_in_its_own_way() {
        let check = |model: &str, effort: Option<Effort>, budget: Option<u32>, expected: Value, dropped: &[&str]| {
            let request =
                ChatRequest { reasoning_effort: effort, reasoning_budget_tokens: budget, ..ChatRequest::default() };
            let (config, not_carried) = thinking(model, &request);
            assert_eq!((config.unwrap_or_default(), not_carried.as_slice()), (expected, dropped), "{model} {effort:?}");
        };
        let (low, max, none) = (Some(Effort::Low), Some(Effort::Max), Some(Effort::None));
        let thoughts = |field: &str, value: Value| json!({field: value, "includeThoughts": true});
        check("gemini-3-pro-preview", None, None, Value::Null, &[]);
        check("gemini-3-pro-preview", low, None, thoughts("thinkingLevel", "low".into()), &[]);
        check("gemini-3-pro-preview", max, None, thoughts("thinkingLevel", "high".into()), &["reasoning_effort"]);
        check("gemini-3-pro-preview", none, None, json!({"thinkingLevel": "minimal"}), &["reasoning_effort"]);
        check("gemini-2.5-flash", low, None, thoughts("thinkingBudget", 1024.into()), &[]);
        check("gemini-2.5-flash", none, None, json!({"thinkingBudget": 0}), &[]);
        check("gemini-2.5-pro", none, None, json!({"thinkingBudget": 128}), &["reasoning_effort"]);
        check("gemini-2.5-flash", low, Some(5000), thoughts("thinkingBudget", 5000.into()), &[]);
        check("gemini-2.0-flash", low, Some(5000), Value::Null, &["reasoning_effort", "reasoning_budget_tokens"]);
        check("gemini-2.0-flash", none, None, Value::Null, &[]);
    }
}
