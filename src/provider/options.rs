//! Fields of the providers' own wire formats, which the one request form does not know: they go to their family as they
//! are, and to no other.

use serde_json::{Map, Value};

/// Providers that speak one wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    OpenAi,
    Anthropic,
    Gemini,
    Bedrock,
}

impl Family {
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::Anthropic, Self::Gemini, Self::Bedrock];

    /// Its name in requests and in what is reported as dropped.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.as_str() == name)
    }
}

/// For each family, fields that are merged into the body: objects field by field, all else replaced.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProviderOptions {
    openai: Map<String, Value>,
    anthropic: Map<String, Value>,
    gemini: Map<String, Value>,
    bedrock: Map<String, Value>,
}

/// Names that options never replace, in any wire format: what is asked of whom, how the answer comes and how much of it
/// there may be, since limits and budgets rest on that. `n` and `candidateCount` would pay for answers that nobody
/// reads, `models`, `fallbacks` and `provider` would have a gateway go to places that the plan does not list, `tools` and
/// what fetches from elsewhere would go past the rules, `store` and `service_tier` past retention and prices.
const PROTECTED: [&str; 36] = [
    "model",
    "models",
    "fallbacks",
    "messages",
    "system",
    "contents",
    "systemInstruction",
    "system_instruction",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "maxOutputTokens",
    "max_output_tokens",
    "n",
    "candidateCount",
    "n_predict",
    "num_predict",
    "best_of",
    // Of the models behind Bedrock.
    "max_gen_len",
    "max_new_tokens",
    "max_token_count",
    "max_tokens_to_sample",
    "num_generations",
    "tools",
    "tool_config",
    "prompt_variables",
    "mcp_servers",
    "data_sources",
    "store",
    "service_tier",
    "speed",
    "inference_geo",
    "provider",
    "route",
    "plugins",
];

/// Providers take several spellings of a name: letter case and underscores do not count.
fn is_protected(name: &str) -> bool {
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    PROTECTED.iter().any(|protected| plain(protected) == plain(name))
}

/// Objects in which protected names stand as well: Gemini's, and Bedrock's with those of the models behind it.
const NESTED: [&str; 4] =
    ["generationConfig", "inferenceConfig", "additionalModelRequestFields", "textGenerationConfig"];

impl ProviderOptions {
    /// Of one family.
    pub fn of(family: Family, fields: Map<String, Value>) -> Self {
        let mut options = Self::default();
        *options.fields_mut(family) = fields;
        options
    }

    pub fn fields(&self, family: Family) -> &Map<String, Value> {
        match family {
            Family::OpenAi => &self.openai,
            Family::Anthropic => &self.anthropic,
            Family::Gemini => &self.gemini,
            Family::Bedrock => &self.bedrock,
        }
    }

    pub fn fields_mut(&mut self, family: Family) -> &mut Map<String, Value> {
        match family {
            Family::OpenAi => &mut self.openai,
            Family::Anthropic => &mut self.anthropic,
            Family::Gemini => &mut self.gemini,
            Family::Bedrock => &mut self.bedrock,
        }
    }

    /// Merges the family's fields into its body; returns the paths of all that were not taken.
    pub(super) fn merge(&self, family: Family, body: &mut Map<String, Value>) -> Vec<String> {
        let mut dropped = Vec::new();
        for other in Family::ALL {
            for (name, value) in self.fields(other) {
                let path = format!("provider_options.{}.{name}", other.as_str());
                if other != family || is_protected(name) {
                    dropped.push(path);
                    continue;
                }
                let mut value = value.clone();
                remove_protected(&path, name, &mut value, &mut dropped);
                merge_field(body, name, value);
            }
        }
        dropped
    }
}

/// Takes protected names out of a field's value, however deep they stand in objects of [`NESTED`].
fn remove_protected(path: &str, name: &str, value: &mut Value, dropped: &mut Vec<String>) {
    let is_nested = NESTED.iter().any(|nested| name.replace('_', "").eq_ignore_ascii_case(nested));
    let Some(fields) = value.as_object_mut().filter(|_| is_nested) else { return };
    fields.retain(|name, value| {
        let path = format!("{path}.{name}");
        if is_protected(name) {
            dropped.push(path);
            return false;
        }
        remove_protected(&path, name, value, dropped);
        true
    });
}

fn merge_field(body: &mut Map<String, Value>, name: &str, value: Value) {
    match (body.get_mut(name), value) {
        (Some(Value::Object(ours)), Value::Object(theirs)) => {
            for (name, value) in theirs {
                merge_field(ours, &name, value);
            }
        }
        (_, value) => {
            body.insert(name.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn fields_are_merged_but_do_not_replace_the_request() {
        let mut body = object(json!({"contents": [], "generationConfig": {"topP": 0.5, "seed": 1}}));
        let fields = json!({
            "model": "other", "contents": ["x"], "stream": true, "user": "u",
            "generationConfig": {
                "seed": 2, "thinkingConfig": {"thinkingBudget": 0}, "candidateCount": 8, "maxOutputTokens": 1_000_000,
            },
        });
        let dropped = ProviderOptions::of(Family::Gemini, object(fields)).merge(Family::Gemini, &mut body);
        let expected = json!({
            "contents": [],
            "generationConfig": {"topP": 0.5, "seed": 2, "thinkingConfig": {"thinkingBudget": 0}}, "user": "u",
        });
        assert_eq!(Value::Object(body), expected);
        let path = |name: &str| format!("provider_options.gemini.{name}");
        let expected =
            ["model", "contents", "stream", "generationConfig.candidateCount", "generationConfig.maxOutputTokens"];
        assert_eq!(dropped, expected.map(path));
    }

    #[test]
    fn no_spelling_of_a_protected_name_is_let_through() {
        let fields = json!({
            "generation_config": {"candidate_count": 8, "max_output_tokens": 9, "top_k": 3}, "System_Instruction": "x",
            "store": true, "mcp_servers": [{}], "tools": [{}],
        });
        let mut body = Map::new();
        let dropped = ProviderOptions::of(Family::Gemini, object(fields)).merge(Family::Gemini, &mut body);
        assert_eq!(Value::Object(body), json!({"generation_config": {"top_k": 3}}));
        assert_eq!(dropped.len(), 6, "{dropped:?}");
    }

    #[test]
    fn protected_names_are_found_inside_the_models_own_fields() {
        let fields = json!({
            "additionalModelRequestFields": {"top_k": 5, "inferenceConfig": {"topK": 20, "maxTokens": 9}, "n": 2},
            "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        });
        let mut body = Map::new();
        let dropped = ProviderOptions::of(Family::Bedrock, object(fields)).merge(Family::Bedrock, &mut body);
        let expected = json!({
            "additionalModelRequestFields": {"top_k": 5, "inferenceConfig": {"topK": 20}},
            "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        });
        assert_eq!(Value::Object(body), expected);
        let path = |name: &str| format!("provider_options.bedrock.additionalModelRequestFields.{name}");
        assert_eq!(dropped, ["inferenceConfig.maxTokens", "n"].map(path));
    }

    #[test]
    fn what_is_anothers_is_dropped_and_told() {
        let mut options = ProviderOptions::of(Family::OpenAi, object(json!({"logit_bias": {"50256": -100}})));
        *options.fields_mut(Family::Anthropic) = object(json!({"top_k": 5}));
        let mut body = Map::new();
        assert_eq!(options.merge(Family::Anthropic, &mut body), ["provider_options.openai.logit_bias"]);
        assert_eq!(Value::Object(body), json!({"top_k": 5}));
    }
}
