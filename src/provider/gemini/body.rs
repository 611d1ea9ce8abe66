//! What is asked: `GenerateContentRequest` of the API's reference.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::super::format::ResponseFormat;
use super::super::options::Family;
use super::super::request::ChatRequest;
use super::super::tool::{Tool, ToolChoice};
use super::super::wire::{self, Encoded, decimal, set};
use super::thinking::thinking;
use crate::prompt::{Image, ImageSource, Message, PartRef, Role, ToolCall};

/// Stands for the seal on the thoughts of another provider's model, whose tool calls Gemini 3 would else refuse
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
const FOREIGN_SEAL: &str = "skip_thought_signature_validator";

pub(super) fn body(model: &str, request: &ChatRequest) -> Encoded {
    let mut dropped = Vec::new();
    let said = |message: &&Message| message.role == Role::System && !message.text.is_empty();
    let system: Vec<_> = request.messages.iter().filter(said).map(|message| json!({"text": message.text})).collect();
    let contents = contents(model, request, &mut dropped);
    let mut body = Map::new();
    set(&mut body, "systemInstruction", (!system.is_empty()).then(|| json!({"parts": system})));
    set(&mut body, "contents", Some(contents));
    let mut generation = generation(request);
    let (thinking, not_carried) = thinking(model, request);
    set(&mut generation, "thinkingConfig", thinking);
    set(&mut body, "generationConfig", (!generation.is_empty()).then_some(generation));
    set_tools(&mut body, request, &mut dropped);
    dropped.extend(not_carried.into_iter().map(str::to_owned));
    dropped.extend(request.options.merge(Family::Gemini, &mut body));
    Encoded { body: Value::Object(body), dropped }
}

/// The turns without the system's. Answers of tools that follow each other stand in one turn, as the calls do.
fn contents(model: &str, request: &ChatRequest, dropped: &mut Vec<String>) -> Value {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut contents: Vec<(&'static str, Vec<Value>)> = Vec::new();
    let mut answering = false;
    for (at, message) in request.messages.iter().enumerate() {
        note_dropped(at, message, dropped);
        names.extend(message.tool_calls.iter().map(|call| (call.id.as_str(), call.name.as_str())));
        let role = match message.role {
            Role::System => continue,
            Role::User | Role::Tool => "user",
            Role::Assistant => "model",
        };
        let parts = parts(model, message, &names);
        let joins = answering && message.answers.is_some();
        match contents.last_mut() {
            Some((_, before)) if joins => before.extend(parts),
            _ if parts.is_empty() => {} // which the API refuses
            _ => contents.push((role, parts)),
        }
        answering = message.answers.is_some();
    }
    contents.into_iter().map(|(role, parts)| json!({"role": role, "parts": parts})).collect()
}

/// Gemini keeps prefixes by itself, takes no thoughts back but by the seals of its calls, and weighs all images alike.
fn note_dropped(at: usize, message: &Message, dropped: &mut Vec<String>) {
    let mut drop = |field: String| dropped.push(format!("messages[{at}].{field}"));
    if message.cache_mark {
        drop("cache_mark".to_owned());
    }
    if !message.reasoning.is_empty() {
        drop("reasoning".to_owned());
    }
    for (part, image) in message.pieces().iter().enumerate() {
        if matches!(image, PartRef::Image(Image { detail: Some(_), .. })) {
            drop(format!("parts[{part}].image.detail"));
        }
    }
}

fn parts(model: &str, message: &Message, names: &HashMap<&str, &str>) -> Vec<Value> {
    if let Some(answered) = &message.answers {
        let name = names.get(answered.call_id.as_str()).copied().unwrap_or_default();
        let key = if answered.failed { "error" } else { "output" };
        let response = json!({"id": answered.call_id, "name": name, "response": {key: message.text}});
        let images = message.pieces().into_iter().filter(|part| matches!(part, PartRef::Image(_))).map(part);
        return [json!({"functionResponse": response})].into_iter().chain(images).collect();
    }
    let calls = message.tool_calls.iter().enumerate().map(|(at, call)| function_call(model, at, call));
    message.pieces().into_iter().map(part).chain(calls).collect()
}

fn part(part: PartRef<'_>) -> Value {
    match part {
        PartRef::Text(text) => json!({"text": text}),
        PartRef::Image(image) => match &image.source {
            ImageSource::Url { url, media_type } => {
                let mut file = Map::new();
                set(&mut file, "mimeType", media_type.map(|kind| kind.as_str()));
                set(&mut file, "fileUri", Some(url.as_str()));
                json!({"fileData": file})
            }
            ImageSource::Bytes { bytes, media_type } => {
                json!({"inlineData": {"mimeType": media_type.as_str(), "data": wire::base64(bytes)}})
            }
        },
    }
}

/// Of several calls at once only the first one is sealed.
fn function_call(model: &str, at: usize, call: &ToolCall) -> Value {
    let args = wire::arguments(&call.arguments);
    let mut part = json!({"functionCall": {"id": call.id, "name": call.name, "args": args}});
    let foreign = (at == 0 && model.contains("gemini-3")).then_some(FOREIGN_SEAL);
    if let Some(seal) = call.signature.as_deref().or(foreign) {
        wire::insert(&mut part, "thoughtSignature", seal);
    }
    part
}

fn generation(request: &ChatRequest) -> Map<String, Value> {
    let mut generation = Map::new();
    set(&mut generation, "maxOutputTokens", request.max_output_tokens);
    set(&mut generation, "temperature", request.temperature.and_then(decimal));
    set(&mut generation, "topP", request.top_p.and_then(decimal));
    set(&mut generation, "stopSequences", (!request.stop.is_empty()).then(|| request.stop.clone()));
    set(&mut generation, "seed", request.seed);
    if request.response_format != ResponseFormat::Text {
        set(&mut generation, "responseMimeType", Some("application/json"));
    }
    if let Some(schema) = request.response_format.schema() {
        // Not `responseSchema`, which takes a dialect of OpenAPI's and refuses common JSON schema.
        set(&mut generation, "responseJsonSchema", Some(schema.schema.clone()));
    }
    generation
}

fn set_tools(body: &mut Map<String, Value>, request: &ChatRequest, dropped: &mut Vec<String>) {
    if request.tools.is_empty() {
        return;
    }
    for (at, tool) in request.tools.iter().enumerate() {
        dropped.extend((tool.strict == Some(true)).then(|| format!("tools[{at}].strict")));
        dropped.extend(tool.cache_mark.then(|| format!("tools[{at}].cache_mark")));
    }
    // It asks for as many tools at once as it likes.
    dropped.extend((request.parallel_tool_calls == Some(false)).then(|| "parallel_tool_calls".to_owned()));
    set(
        body,
        "tools",
        Some(json!([{"functionDeclarations": request.tools.iter().map(declaration).collect::<Value>()}])),
    );
    let choice = request.tool_choice.as_ref().map(|choice| match choice {
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Named(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    });
    set(body, "toolConfig", choice.map(|choice| json!({"functionCallingConfig": choice})));
}

fn declaration(tool: &Tool) -> Value {
    let mut fields = Map::new();
    set(&mut fields, "name", Some(tool.name.as_str()));
    set(&mut fields, "description", Some(tool.description.as_str()).filter(|text| !text.is_empty()));
    // Not `parameters`, which takes a dialect of OpenAPI's.
    set(&mut fields, "parametersJsonSchema", (!tool.parameters.is_empty()).then(|| tool.schema()));
    Value::Object(fields)
}
