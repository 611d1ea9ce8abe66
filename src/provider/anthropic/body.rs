//! What is asked: `MessageCreateParams` of Anthropic's SDKs.

use serde_json::{Map, Value, json};

use super::super::format::ResponseFormat;
use super::super::options::Family;
use super::super::request::ChatRequest;
use super::super::tool::{Tool, ToolChoice};
use super::super::wire::{self, Encoded, decimal, set};
use super::thinking::Thinking;
use crate::prompt::{Image, ImageSource, Message, PartRef, Reasoning, Role, ToolCall};

/// The least `top_p` that thoughts allow.
const THINKING_MIN_TOP_P: f32 = 0.95;

pub(super) fn body(model: &str, request: &ChatRequest, stream: bool) -> Encoded {
    let mut dropped = Vec::new();
    let system = system(request, &mut dropped);
    let turns = turns(request, &mut dropped);
    let thinking = Thinking::of(model, request);
    let mut body = Map::new();
    set(&mut body, "model", Some(model));
    set(&mut body, "max_tokens", Some(thinking.max_tokens));
    set(&mut body, "system", system);
    set(&mut body, "messages", Some(turns));
    set_sampling(&mut body, "top_p", request, thinking.fixes_sampling, &mut dropped);
    set(&mut body, "stop_sequences", (!request.stop.is_empty()).then(|| request.stop.clone()));
    if request.seed.is_some() {
        dropped.push("seed".to_owned());
    }
    let mut output = Map::new();
    match &request.response_format {
        ResponseFormat::Text => {}
        ResponseFormat::JsonObject => dropped.push("response_format".to_owned()),
        ResponseFormat::Schema(schema) => {
            set(&mut output, "format", Some(json!({"type": "json_schema", "schema": schema.schema})));
        }
    }
    set_tools(&mut body, request);
    dropped.extend(thinking.dropped.into_iter().map(str::to_owned));
    set(&mut body, "thinking", thinking.field);
    set(&mut output, "effort", thinking.effort);
    set(&mut body, "output_config", (!output.is_empty()).then_some(output));
    set(&mut body, "stream", stream.then_some(true));
    dropped.extend(request.options.merge(Family::Anthropic, &mut body));
    Encoded { body: Value::Object(body), dropped }
}

/// Claude takes temperatures up to 1, newer models either a temperature or a `top_p` (which not every API calls so),
/// and thoughts none of them.
pub(in crate::provider) fn set_sampling(
    body: &mut Map<String, Value>,
    top_p_name: &'static str,
    request: &ChatRequest,
    fixed: bool,
    dropped: &mut Vec<String>,
) {
    if let Some(temperature) = request.temperature.filter(|temperature| *temperature != 1.0) {
        if fixed || temperature > 1.0 {
            dropped.push("temperature".to_owned());
        }
        set(body, "temperature", decimal(temperature.min(1.0)).filter(|_| !fixed));
    }
    if let Some(top_p) = request.top_p {
        if body.contains_key("temperature") || (fixed && top_p < THINKING_MIN_TOP_P) {
            dropped.push("top_p".to_owned());
        } else {
            set(body, top_p_name, decimal(top_p));
        }
    }
}

/// Plain if nothing in it is marked. A blank text is left out, and its mark with it.
fn system(request: &ChatRequest, dropped: &mut Vec<String>) -> Option<Value> {
    let mut blocks = Vec::new();
    for (at, message) in request.messages.iter().enumerate().filter(|(_, message)| message.role == Role::System) {
        if !message.text.trim().is_empty() {
            let mut block = text(&message.text);
            mark(&mut block, message.cache_mark);
            blocks.push(block);
        } else if message.cache_mark {
            dropped.push(format!("messages[{at}].cache_mark"));
        }
    }
    (!blocks.is_empty()).then(|| plain_or_blocks(blocks))
}

/// The turns: neighbours of one role joined, since the API wants roles to alternate, and empty ones left out.
fn turns(request: &ChatRequest, dropped: &mut Vec<String>) -> Value {
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for (at, message) in request.messages.iter().enumerate().filter(|(_, message)| message.role != Role::System) {
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        let mut blocks = blocks(at, message, dropped);
        match blocks.last_mut().filter(|last| !is_thought(last)) {
            Some(last) => mark(last, message.cache_mark),
            None if message.cache_mark => dropped.push(format!("messages[{at}].cache_mark")),
            None => {}
        }
        match turns.last_mut() {
            Some((last, before)) if *last == role => before.extend(blocks),
            _ if blocks.is_empty() => {}
            _ => turns.push((role, blocks)),
        }
    }
    turns.into_iter().map(|(role, blocks)| json!({"role": role, "content": plain_or_blocks(blocks)})).collect()
}

fn blocks(at: usize, message: &Message, dropped: &mut Vec<String>) -> Vec<Value> {
    let mut drop = |field: String| dropped.push(format!("messages[{at}].{field}"));
    for (part, image) in message.pieces().iter().enumerate() {
        if matches!(image, PartRef::Image(Image { detail: Some(_), .. })) {
            drop(format!("parts[{part}].image.detail"));
        }
    }
    let parts = message.pieces().into_iter().filter_map(part);
    match &message.answers {
        Some(answered) => {
            let content = plain_or_blocks(parts.collect());
            let mut block =
                json!({"type": "tool_result", "tool_use_id": wire::tool_id(&answered.call_id), "content": content});
            if answered.failed {
                wire::insert(&mut block, "is_error", true);
            }
            vec![block]
        }
        None => {
            if message.reasoning.iter().any(|thought| thought.signature.is_none()) {
                drop("reasoning".to_owned());
            }
            let thoughts = message.reasoning.iter().filter_map(thought);
            thoughts.chain(parts).chain(message.tool_calls.iter().map(tool_use)).collect()
        }
    }
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// Blank texts are refused.
fn part(part: PartRef<'_>) -> Option<Value> {
    match part {
        PartRef::Text(words) => (!words.trim().is_empty()).then(|| text(words)),
        PartRef::Image(image) => Some(json!({"type": "image", "source": source(image)})),
    }
}

fn source(image: &Image) -> Value {
    match &image.source {
        ImageSource::Url { url, .. } => json!({"type": "url", "url": url}),
        ImageSource::Bytes { bytes, media_type } => {
            json!({"type": "base64", "media_type": media_type.as_str(), "data": wire::base64(bytes)})
        }
    }
}

/// Only sealed thoughts are taken back.
fn thought(thought: &Reasoning) -> Option<Value> {
    let seal = thought.signature.as_deref()?;
    Some(if thought.redacted {
        json!({"type": "redacted_thinking", "data": seal})
    } else {
        json!({"type": "thinking", "thinking": thought.text, "signature": seal})
    })
}

/// The API refuses marks on thoughts. They come first in a turn: where one is the last block, there is nothing else.
fn is_thought(block: &Value) -> bool {
    matches!(block.get("type").and_then(Value::as_str), Some("thinking" | "redacted_thinking"))
}

fn tool_use(call: &ToolCall) -> Value {
    let input = wire::arguments(&call.arguments);
    json!({"type": "tool_use", "id": wire::tool_id(&call.id), "name": call.name, "input": input})
}

fn mark(block: &mut Value, marked: bool) {
    if marked {
        wire::insert(block, "cache_control", json!({"type": "ephemeral"}));
    }
}

/// One text if all are unmarked texts, as it is easier to read on the way; else the blocks.
fn plain_or_blocks(blocks: Vec<Value>) -> Value {
    let plain = |block: &Value| {
        let fields = block.as_object()?;
        let text = fields.get("text")?.as_str()?;
        (fields.len() == 2).then(|| text.to_owned())
    };
    match blocks.iter().map(plain).collect::<Option<Vec<String>>>() {
        Some(texts) if !texts.is_empty() => texts.join("\n\n").into(),
        _ => Value::Array(blocks),
    }
}

fn set_tools(body: &mut Map<String, Value>, request: &ChatRequest) {
    if request.tools.is_empty() {
        return;
    }
    set(body, "tools", Some(request.tools.iter().map(tool).collect::<Value>()));
    let serial = request.parallel_tool_calls == Some(false);
    let mut choice = match &request.tool_choice {
        None if !serial => return,
        None | Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::None) => json!({"type": "none"}),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Named(name)) => json!({"type": "tool", "name": name}),
    };
    if serial && request.tool_choice != Some(ToolChoice::None) {
        wire::insert(&mut choice, "disable_parallel_tool_use", true);
    }
    set(body, "tool_choice", Some(choice));
}

fn tool(tool: &Tool) -> Value {
    let mut fields = Map::new();
    set(&mut fields, "name", Some(tool.name.as_str()));
    set(&mut fields, "description", Some(tool.description.as_str()).filter(|text| !text.is_empty()));
    set(&mut fields, "input_schema", Some(tool.schema()));
    set(&mut fields, "strict", tool.strict);
    let mut tool_block = Value::Object(fields);
    mark(&mut tool_block, tool.cache_mark);
    tool_block
}
