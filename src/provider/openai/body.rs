//! What is asked: `CreateChatCompletionRequest` of OpenAI's specification.

use serde_json::{Map, Value, json};

use super::super::config::MaxTokensField;
use super::super::format::ResponseFormat;
use super::super::options::Family;
use super::super::request::ChatRequest;
use super::super::tool::{Tool, ToolChoice};
use super::super::wire::{self, Encoded, decimal, set};
use crate::prompt::{Image, ImageDetail, ImageSource, Message, PartRef, Role, ToolCall};

pub(super) fn body(model: &str, request: &ChatRequest, max_tokens_field: MaxTokensField, stream: bool) -> Encoded {
    let mut dropped = Vec::new();
    let messages = request.messages.iter().enumerate().map(|(at, message)| turn(at, message, &mut dropped));
    let messages: Value = messages.collect();
    let mut body = Map::new();
    set(&mut body, "model", Some(model));
    set(&mut body, "messages", Some(messages));
    set(&mut body, max_tokens_field.name(), request.max_output_tokens);
    set(&mut body, "temperature", request.temperature.and_then(decimal));
    set(&mut body, "top_p", request.top_p.and_then(decimal));
    set(&mut body, "stop", (!request.stop.is_empty()).then(|| request.stop.clone()));
    set(&mut body, "seed", request.seed);
    set(&mut body, "response_format", response_format(&request.response_format));
    set_tools(&mut body, request, &mut dropped);
    set(&mut body, "reasoning_effort", request.reasoning_effort.map(|effort| effort.as_str()));
    if request.reasoning_budget_tokens.is_some() {
        dropped.push("reasoning_budget_tokens".to_owned());
    }
    if stream {
        set(&mut body, "stream", Some(true));
        set(&mut body, "stream_options", Some(json!({"include_usage": true})));
    }
    dropped.extend(request.options.merge(Family::OpenAi, &mut body));
    Encoded { body: Value::Object(body), dropped }
}

fn turn(at: usize, message: &Message, dropped: &mut Vec<String>) -> Value {
    let mut drop = |field: &str| dropped.push(format!("messages[{at}].{field}"));
    // OpenAI keeps every long prefix by itself; there is nothing to mark on most servers that speak its format.
    if message.cache_mark {
        drop("cache_mark");
    }
    if !message.reasoning.is_empty() {
        drop("reasoning");
    }
    match (message.role, &message.answers) {
        (Role::Tool, Some(answered)) => {
            if answered.failed {
                drop("tool_failed");
            }
            if message.has_image() {
                drop("parts");
            }
            json!({"role": "tool", "tool_call_id": answered.call_id, "content": message.text})
        }
        (Role::System, _) => json!({"role": "system", "content": content(message)}),
        (Role::User | Role::Tool, _) => json!({"role": "user", "content": content(message)}),
        (Role::Assistant, _) if message.tool_calls.is_empty() => {
            json!({"role": "assistant", "content": content(message)})
        }
        (Role::Assistant, _) => {
            let content = if message.text.is_empty() { Value::Null } else { content(message) };
            let calls: Value = message.tool_calls.iter().map(call).collect();
            json!({"role": "assistant", "content": content, "tool_calls": calls})
        }
    }
}

fn call(call: &ToolCall) -> Value {
    let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

/// One text as a text, which every server knows; anything else in parts.
fn content(message: &Message) -> Value {
    if message.is_plain() {
        return message.text.as_str().into();
    }
    let parts = message.pieces().into_iter().map(|part| match part {
        PartRef::Text(text) => json!({"type": "text", "text": text}),
        PartRef::Image(image) => json!({"type": "image_url", "image_url": image_url(image)}),
    });
    parts.collect()
}

fn image_url(image: &Image) -> Value {
    let url = match &image.source {
        ImageSource::Url { url, .. } => url.clone(),
        ImageSource::Bytes { bytes, media_type } => {
            format!("data:{};base64,{}", media_type.as_str(), wire::base64(bytes))
        }
    };
    let detail = image.detail.map(|detail| match detail {
        ImageDetail::Low => "low",
        ImageDetail::High => "high",
    });
    let mut fields = Map::new();
    set(&mut fields, "url", Some(url));
    set(&mut fields, "detail", detail);
    Value::Object(fields)
}

fn response_format(format: &ResponseFormat) -> Option<Value> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(json!({"type": "json_object"})),
        ResponseFormat::Schema(schema) => Some(json!({
            "type": "json_schema",
            "json_schema": {"name": schema.name, "schema": schema.schema, "strict": schema.strict},
        })),
    }
}

fn set_tools(body: &mut Map<String, Value>, request: &ChatRequest, dropped: &mut Vec<String>) {
    if request.tools.is_empty() {
        return;
    }
    let marked = request.tools.iter().enumerate().filter(|(_, tool)| tool.cache_mark);
    dropped.extend(marked.map(|(at, _)| format!("tools[{at}].cache_mark")));
    set(body, "tools", Some(request.tools.iter().map(tool).collect::<Value>()));
    set(
        body,
        "tool_choice",
        request.tool_choice.as_ref().map(|choice| match choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::None => "none".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
        }),
    );
    set(body, "parallel_tool_calls", request.parallel_tool_calls);
}

fn tool(tool: &Tool) -> Value {
    let mut function = Map::new();
    set(&mut function, "name", Some(tool.name.as_str()));
    set(&mut function, "description", Some(tool.description.as_str()).filter(|text| !text.is_empty()));
    set(&mut function, "parameters", Some(tool.schema()));
    set(&mut function, "strict", tool.strict);
    json!({"type": "function", "function": function})
}
