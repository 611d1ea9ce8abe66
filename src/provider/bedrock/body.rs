//! What is asked: the body of `Converse`, which is that of `ConverseStream` too
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::super::anthropic::body::set_sampling;
use super::super::error::Error;
use super::super::format::ResponseFormat;
use super::super::options::Family;
use super::super::request::ChatRequest;
use super::super::tool::{Tool, ToolChoice};
use super::super::wire::{Encoded, decimal, set};
use super::thinking::Thinking;
use super::turns::{cache_point, system, turns};

/// Who made the model, as far as it matters here. The names of inference profiles hold the model's; those of your own
/// (ARNs) do not, and count as `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    Claude,
    Nova,
    Other,
}

impl Maker {
    pub(super) fn of(model: &str) -> Self {
        match model {
            model if model.contains("claude") => Self::Claude,
            model if model.contains("amazon.nova") => Self::Nova,
            _ => Self::Other,
        }
    }

    /// Other models refuse requests that mark anything
    /// (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>).
    pub(super) fn caches_messages(self) -> bool {
        matches!(self, Self::Claude | Self::Nova)
    }

    fn caches_tools(self) -> bool {
        self == Self::Claude
    }
}

pub(super) fn body(model: &str, request: &ChatRequest) -> Result<Encoded, Error> {
    let maker = Maker::of(model);
    let mut dropped = Vec::new();
    let system = system(request, maker, &mut dropped);
    let turns = turns(request, maker, &mut dropped)?;
    let thinking = Thinking::of(model, request);
    let mut body = Map::new();
    set(&mut body, "system", (!system.is_empty()).then_some(system));
    set(&mut body, "messages", Some(turns));
    let inference = inference(maker, request, &thinking, &mut dropped);
    set(&mut body, "inferenceConfig", (!inference.is_empty()).then_some(inference));
    if request.seed.is_some() {
        dropped.push("seed".to_owned());
    }
    match &request.response_format {
        ResponseFormat::Text => {}
        ResponseFormat::JsonObject => dropped.push("response_format".to_owned()),
        ResponseFormat::Schema(asked) => {
            let schema = json!({"schema": asked.schema.to_string(), "name": asked.name});
            let format = json!({"type": "json_schema", "structure": {"jsonSchema": schema}});
            set(&mut body, "outputConfig", Some(json!({"textFormat": format})));
        }
    }
    set_tools(&mut body, request, maker, &mut dropped);
    dropped.extend(thinking.dropped.into_iter().map(str::to_owned));
    set(&mut body, "additionalModelRequestFields", (!thinking.fields.is_empty()).then_some(thinking.fields));
    dropped.extend(request.options.merge(Family::Bedrock, &mut body));
    Ok(Encoded { body: Value::Object(body), dropped })
}

fn inference(
    maker: Maker,
    request: &ChatRequest,
    thinking: &Thinking,
    dropped: &mut Vec<String>,
) -> Map<String, Value> {
    let mut fields = Map::new();
    set(&mut fields, "maxTokens", thinking.max_tokens);
    if maker == Maker::Claude {
        set_sampling(&mut fields, "topP", request, thinking.fixes_sampling, dropped);
    } else {
        // The API takes temperatures up to 1.
        let too_warm = request.temperature.is_some_and(|temperature| temperature > 1.0);
        let fixed = |asked: Option<f32>| asked.is_some() && thinking.fixes_sampling;
        dropped.extend((too_warm || fixed(request.temperature)).then(|| "temperature".to_owned()));
        dropped.extend(fixed(request.top_p).then(|| "top_p".to_owned()));
        let allowed = |asked: Option<f32>| asked.filter(|_| !thinking.fixes_sampling);
        set(&mut fields, "temperature", allowed(request.temperature).and_then(|asked| decimal(asked.min(1.0))));
        set(&mut fields, "topP", allowed(request.top_p).and_then(decimal));
    }
    set(&mut fields, "stopSequences", (!request.stop.is_empty()).then(|| request.stop.clone()));
    fields
}

fn set_tools(body: &mut Map<String, Value>, request: &ChatRequest, maker: Maker, dropped: &mut Vec<String>) {
    // Without any of them the model cannot call one either, but the API wants them where the turns speak of calls.
    let speaks_of_calls =
        request.messages.iter().any(|message| message.answers.is_some() || !message.tool_calls.is_empty());
    let may_call = request.tool_choice != Some(ToolChoice::None);
    if !speaks_of_calls && (request.tools.is_empty() || !may_call) {
        return;
    }
    dropped.extend((!may_call).then(|| "tool_choice".to_owned()));
    let mut tools = Vec::new();
    if request.tools.is_empty() {
        tools.extend(called(request).into_iter().map(unknown_tool));
    }
    for (at, asked) in request.tools.iter().enumerate() {
        tools.push(tool(asked));
        if asked.cache_mark && maker.caches_tools() {
            tools.push(cache_point());
        } else if asked.cache_mark {
            dropped.push(format!("tools[{at}].cache_mark"));
        }
    }
    if tools.is_empty() {
        return;
    }
    dropped.extend((request.parallel_tool_calls == Some(false)).then(|| "parallel_tool_calls".to_owned()));
    let mut config = Map::new();
    set(&mut config, "tools", Some(tools));
    let choice = request.tool_choice.as_ref().and_then(|choice| match choice {
        ToolChoice::None => None,
        ToolChoice::Auto => Some(json!({"auto": {}})),
        ToolChoice::Required => Some(json!({"any": {}})),
        ToolChoice::Named(name) => Some(json!({"tool": {"name": name}})),
    });
    set(&mut config, "toolChoice", choice);
    set(body, "toolConfig", Some(config));
}

/// The tools that the turns speak of, in the order of their first calls.
fn called(request: &ChatRequest) -> Vec<&str> {
    let mut seen = HashSet::new();
    let calls = request.messages.iter().flat_map(|message| &message.tool_calls);
    calls.map(|call| call.name.as_str()).filter(|name| seen.insert(*name)).collect()
}

/// A tool of which its name alone is known: the request speaks of its calls and does not offer it any more.
fn unknown_tool(name: &str) -> Value {
    json!({"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}})
}

fn tool(tool: &Tool) -> Value {
    let mut fields = Map::new();
    set(&mut fields, "name", Some(tool.name.as_str()));
    set(&mut fields, "description", Some(tool.description.as_str()).filter(|text| !text.is_empty()));
    set(&mut fields, "inputSchema", Some(json!({"json": tool.schema()})));
    set(&mut fields, "strict", tool.strict);
    json!({"toolSpec": fields})
}
