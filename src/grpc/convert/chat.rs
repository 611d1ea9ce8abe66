//! What a completion asks of the model besides its conversation.

use serde_json::{Map, Value};

use super::super::pb;
use super::super::violation::Violations;
use super::json::json_object;
use super::message::check_tool_name;
use crate::prompt::Message;
use crate::provider::{ChatRequest, Effort, Family, ProviderOptions, ResponseFormat, ResponseSchema, Tool, ToolChoice};

const MAX_STOPS: usize = 8;
const MAX_TOOLS: usize = 128;
/// Anthropic's limit.
const MAX_CACHE_MARKS: usize = 4;
/// Anthropic's, the only lower limit there is.
const MIN_REASONING_BUDGET: u32 = 1024;

/// Takes its fields out of the request.
pub(super) fn chat(
    violations: &mut Violations,
    request: &mut pb::CompleteRequest,
    messages: Vec<Message>,
) -> ChatRequest {
    check_numbers(violations, request);
    let tools = tools(violations, std::mem::take(&mut request.tools));
    let tool_choice = request.tool_choice.take().and_then(|choice| tool_choice(violations, choice, &tools));
    if tools.is_empty() && request.parallel_tool_calls.is_some() {
        violations.add("parallel_tool_calls", "is given without tools");
    }
    let marks = messages.iter().filter(|message| message.cache_mark).count();
    let marks = marks + tools.iter().filter(|tool| tool.cache_mark).count();
    if marks > MAX_CACHE_MARKS {
        violations.add("cache_mark", format!("is set {marks} times, at most {MAX_CACHE_MARKS} are allowed"));
    }
    ChatRequest {
        messages,
        max_output_tokens: request.max_output_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        stop: std::mem::take(&mut request.stop),
        seed: request.seed,
        response_format: response_format(violations, request),
        tools,
        tool_choice,
        parallel_tool_calls: request.parallel_tool_calls,
        reasoning_effort: effort(violations, request),
        reasoning_budget_tokens: request.reasoning_budget_tokens,
        options: options(violations, request),
    }
}

fn check_numbers(violations: &mut Violations, request: &pb::CompleteRequest) {
    if request.max_output_tokens == Some(0) {
        violations.add("max_output_tokens", "is 0, must be at least 1");
    }
    let mut bounded = |field: &str, value: Option<f32>, most: f32| {
        if let Some(value) = value.filter(|value| !(0.0..=most).contains(value)) {
            violations.add(field, format!("is {value}, must be from 0 to {most}"));
        }
    };
    bounded("temperature", request.temperature, 2.0);
    bounded("top_p", request.top_p, 1.0);
    if request.stop.len() > MAX_STOPS {
        let stops = request.stop.len();
        violations.add("stop", format!("has {stops} entries, at most {MAX_STOPS} are allowed"));
    }
    for (at, _) in request.stop.iter().enumerate().filter(|(_, stop)| stop.is_empty()) {
        violations.add(format!("stop[{at}]"), "is empty");
    }
    if let Some(budget) = request.reasoning_budget_tokens {
        if budget < MIN_REASONING_BUDGET {
            violations.add("reasoning_budget_tokens", format!("is {budget}, must be at least {MIN_REASONING_BUDGET}"));
        }
        if let Some(limit) = request.max_output_tokens.filter(|limit| *limit <= budget) {
            let what = format!("is {budget}, must be less than max_output_tokens ({limit})");
            violations.add("reasoning_budget_tokens", what);
        }
    }
}

fn tools(violations: &mut Violations, theirs: Vec<pb::Tool>) -> Vec<Tool> {
    if theirs.len() > MAX_TOOLS {
        violations.add("tools", format!("has {} entries, at most {MAX_TOOLS} are allowed", theirs.len()));
        return Vec::new();
    }
    let mut tools: Vec<Tool> = Vec::with_capacity(theirs.len());
    for (at, tool) in theirs.into_iter().enumerate() {
        check_tool_name(violations, &format!("tools[{at}].name"), &tool.name);
        if tools.iter().any(|other| other.name == tool.name) {
            violations.add(format!("tools[{at}].name"), format!("{:?} is given twice", tool.name));
        }
        let parameters = tool.parameters.map(json_object).unwrap_or_default();
        check_object_schema(violations, &format!("tools[{at}].parameters"), &parameters);
        tools.push(Tool {
            name: tool.name,
            description: tool.description,
            parameters,
            strict: tool.strict,
            cache_mark: tool.cache_mark,
        });
    }
    tools
}

/// Arguments are an object; a schema that does not say so is refused by one provider and taken amiss by another.
fn check_object_schema(violations: &mut Violations, path: &str, schema: &Map<String, Value>) {
    let of_objects = schema.get("type").is_some_and(|kind| kind == "object");
    if !schema.is_empty() && !of_objects {
        violations.add(format!("{path}.type"), "must be \"object\"");
    }
    for field in ["properties", "$defs"] {
        if schema.get(field).is_some_and(|value| !value.is_object()) {
            violations.add(format!("{path}.{field}"), "must be an object");
        }
    }
    let names = |value: &Value| value.as_array().is_some_and(|names| names.iter().all(Value::is_string));
    if schema.get("required").is_some_and(|value| !names(value)) {
        violations.add(format!("{path}.required"), "must be a list of names");
    }
}

fn tool_choice(violations: &mut Violations, choice: pb::ToolChoice, tools: &[Tool]) -> Option<ToolChoice> {
    if tools.is_empty() {
        violations.add("tool_choice", "is given without tools");
        return None;
    }
    match choice.choice {
        Some(pb::tool_choice::Choice::Name(name)) if tools.iter().any(|tool| tool.name == name) => {
            Some(ToolChoice::Named(name))
        }
        Some(pb::tool_choice::Choice::Name(name)) => {
            violations.add("tool_choice.name", format!("{:?} is none of the tools", bounded(&name)));
            None
        }
        Some(pb::tool_choice::Choice::Mode(mode)) => match pb::ToolChoiceMode::try_from(mode) {
            Ok(pb::ToolChoiceMode::Auto) => Some(ToolChoice::Auto),
            Ok(pb::ToolChoiceMode::None) => Some(ToolChoice::None),
            Ok(pb::ToolChoiceMode::Required) => Some(ToolChoice::Required),
            Ok(pb::ToolChoiceMode::Unspecified) => None,
            Err(_) => {
                violations.add("tool_choice.mode", format!("is {mode}, which is none"));
                None
            }
        },
        None => None,
    }
}

fn bounded(name: &str) -> String {
    name.chars().take(64).collect()
}

fn response_format(violations: &mut Violations, request: &mut pb::CompleteRequest) -> ResponseFormat {
    let asked = pb::ResponseFormat::try_from(request.response_format);
    if asked.is_err() {
        violations.add("response_format", format!("is {}, which is none", request.response_format));
    }
    match (asked.unwrap_or_default(), request.response_schema.take()) {
        (pb::ResponseFormat::Unspecified, Some(schema)) => ResponseFormat::Schema(response_schema(violations, schema)),
        (_, Some(_)) => {
            violations.add("response_format", "is given beside `response_schema`: give one of them");
            ResponseFormat::Text
        }
        (pb::ResponseFormat::JsonObject, None) => ResponseFormat::JsonObject,
        (pb::ResponseFormat::Unspecified | pb::ResponseFormat::Text, None) => ResponseFormat::Text,
    }
}

fn response_schema(violations: &mut Violations, schema: pb::ResponseSchema) -> ResponseSchema {
    let name = if schema.name.is_empty() { "answer".to_owned() } else { schema.name };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.len() > 64 || !name.bytes().all(plain) {
        violations.add("response_schema.name", "has more than 64 characters or others than letters, digits, _ and -");
    }
    if schema.schema.is_none() {
        violations.add("response_schema.schema", "is missing");
    }
    let strict = schema.strict.unwrap_or(true);
    ResponseSchema { name, schema: Value::Object(schema.schema.map(json_object).unwrap_or_default()), strict }
}

fn effort(violations: &mut Violations, request: &pb::CompleteRequest) -> Option<Effort> {
    match pb::ReasoningEffort::try_from(request.reasoning_effort) {
        Ok(pb::ReasoningEffort::Unspecified) => None,
        Ok(pb::ReasoningEffort::None) => Some(Effort::None),
        Ok(pb::ReasoningEffort::Minimal) => Some(Effort::Minimal),
        Ok(pb::ReasoningEffort::Low) => Some(Effort::Low),
        Ok(pb::ReasoningEffort::Medium) => Some(Effort::Medium),
        Ok(pb::ReasoningEffort::High) => Some(Effort::High),
        Ok(pb::ReasoningEffort::Xhigh) => Some(Effort::XHigh),
        Ok(pb::ReasoningEffort::Max) => Some(Effort::Max),
        Err(_) => {
            violations.add("reasoning_effort", format!("is {}, which is none", request.reasoning_effort));
            None
        }
    }
}

/// Per family if every name is one's, else of the family that is named beside.
fn options(violations: &mut Violations, request: &mut pb::CompleteRequest) -> ProviderOptions {
    let family = match request.provider_options_family.as_str() {
        "" => Some(Family::OpenAi),
        name => Family::named(name),
    };
    if family.is_none() {
        violations.add("provider_options_family", "must be openai, anthropic, gemini or bedrock");
    }
    let fields = request.provider_options.take().map(json_object).unwrap_or_default();
    if fields.is_empty() || !fields.keys().all(|name| Family::named(name).is_some()) {
        return ProviderOptions::of(family.unwrap_or(Family::OpenAi), fields);
    }
    let mut options = ProviderOptions::default();
    for (name, value) in fields {
        match (Family::named(&name), value) {
            (Some(family), Value::Object(fields)) => *options.fields_mut(family) = fields,
            _ => violations.add(format!("provider_options.{name}"), "must be an object"),
        }
    }
    options
}
