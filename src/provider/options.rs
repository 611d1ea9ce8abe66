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

/// Names that options never set, in any wire format: a data policy, a budget and the plan would not hold. Gathered from
/// the request schemas of OpenAI (`CreateChatCompletionRequest`), Anthropic (`MessageCreateParams`, with betas) and
/// Gemini (`GenerateContentRequest` and its `GenerationConfig`, also Vertex AI's), from what servers that speak
/// OpenAI's format add to it (OpenRouter, LiteLLM, Vercel, TensorZero, Azure, Groq, xAI, DashScope, vLLM, SGLang, TGI,
/// llama.cpp), and from the models behind Bedrock.
const PROTECTED: [&[&str]; 5] = [
    // What is asked, and how the answer comes: the decision was made on the messages.
    &[
        "messages",
        "system",
        "contents",
        "prompt_variables",
        "system_instruction",
        "prompt",
        "input",
        "instructions",
        "suffix",
        "stream",
        "stream_options",
    ],
    // Who answers: other models, adapters and places than the plan lists.
    &[
        "model",
        "models",
        "model_selection_config",
        "routing_config",
        "route",
        "router_settings_override",
        "provider",
        "providers",
        "provider_options",
        "fallbacks",
        "context_window_fallbacks",
        "content_policy_fallbacks",
        "preset",
        "config",
        "tags",
        "lora",
        "lora_path",
        "lora_request",
        "adapter_id",
        "adapters",
        "deployment_id",
        "api_base",
        "base_url",
        "api_key",
        "api_version",
        "custom_llm_provider",
        "extra_body",
        "extra_headers",
        "extra_query",
        "google",
        "user_config",
        "agent_id",
    ],
    // Where it is done, and what else reads along: regions, searches, tools and machines that run at the provider.
    &[
        "inference_geo",
        "tools",
        "tool_config",
        "functions",
        "function_call",
        "mcp_servers",
        "container",
        "data_sources",
        "plugins",
        "guardrails",
        "guardrail_config",
        "connectors",
        "web_search",
        "web_search_options",
        "search_parameters",
        "search_settings",
        "search_options",
        "enable_search",
        "compound_custom",
        "kv_transfer_params",
        "model_armor_config",
    ],
    // What is kept, and for how long.
    &[
        "store",
        "background",
        "deferred",
        "conversation",
        "previous_response_id",
        "cached_content",
        "prompt_cache_retention",
        "prompt_cache_options",
    ],
    // How many answers, of what kind and at what price.
    &[
        "n",
        "n_cmpl",
        "candidate_count",
        "best_of",
        "use_beam_search",
        "num_beams",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_new_tokens",
        "n_predict",
        "num_predict",
        "max_gen_len",
        "max_token_count",
        "max_tokens_to_sample",
        "num_generations",
        "service_tier",
        "performance_config",
        "speed",
        "modalities",
        "response_modalities",
        "audio",
        "speech_config",
        "image_config",
    ],
];

/// TensorZero's own fields, which choose variants and change bodies.
const PROTECTED_PREFIX: &str = "tensorzero::";

/// Providers take several spellings of a name: letter case, underscores and dashes do not count.
fn is_protected(name: &str) -> bool {
    let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let name = plain(name);
    name.starts_with(PROTECTED_PREFIX) || PROTECTED.iter().copied().flatten().any(|protected| plain(protected) == name)
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
    fn nothing_moves_a_request_past_its_rules_or_its_budget() {
        let check = |family: Family, nested: bool, names: &[&str]| {
            for name in names {
                let field = object(json!({(*name): {"x": 1}}));
                let fields = if nested { object(json!({"generationConfig": field})) } else { field };
                let mut body = Map::new();
                let dropped = ProviderOptions::of(family, fields).merge(family, &mut body);
                assert_eq!(dropped.len(), 1, "{name}");
                assert!(!Value::Object(body).to_string().contains(name), "{name}");
            }
        };
        let openai = ["n", "service_tier", "store", "background", "web_search_options", "functions", "modalities"];
        check(Family::OpenAi, false, &openai);
        check(Family::OpenAi, false, &["audio", "prompt_cache_retention", "extra_body", "search_parameters", "tags"]);
        check(
            Family::OpenAi,
            false,
            &["models", "route", "provider", "preset", "api_base", "tensorzero::variant_name"],
        );
        check(Family::Anthropic, false, &["container", "mcp_servers", "inference_geo", "service_tier", "speed"]);
        check(Family::Gemini, false, &["cachedContent", "cached_content", "serviceTier", "store", "modelArmorConfig"]);
        check(Family::Bedrock, false, &["performanceConfig", "guardrailConfig", "serviceTier", "promptVariables"]);
        check(Family::Gemini, true, &["candidateCount", "responseModalities", "routingConfig", "speechConfig"]);
    }

    /// As it is for whoever tunes a request.
    #[test]
    fn what_tunes_an_answer_passes() {
        for name in ["top_k", "logit_bias", "user", "metadata", "verbosity", "safetySettings", "thinking", "min_p"] {
            let mut body = Map::new();
            assert!(
                ProviderOptions::of(Family::OpenAi, object(json!({name: 1})))
                    .merge(Family::OpenAi, &mut body)
                    .is_empty()
            );
            assert!(body.contains_key(name));
        }
    }

    #[test]
    fn protected_names_are_found_inside_the_models_own_fields() {
        let fields = json!({
            "additionalModelRequestFields": {"top_k": 5, "inferenceConfig": {"topK": 20, "maxTokens": 9}, "n": 2},
            "requestMetadata": {"team": "a"},
        });
        let mut body = Map::new();
        let dropped = ProviderOptions::of(Family::Bedrock, object(fields)).merge(Family::Bedrock, &mut body);
        let expected = json!({
            "additionalModelRequestFields": {"top_k": 5, "inferenceConfig": {"topK": 20}},
            "requestMetadata": {"team": "a"},
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
