//! Requests to classify and to complete.

use std::collections::BTreeSet;

use tonic::Status;

use super::super::pb;
use super::super::violation::{Violations, name};
use super::policy::{needs, policy};
use crate::prompt::{Message, Prompt, Role};
use crate::provider::{Capability, ChatRequest, ResponseSchema};
use crate::reference::{SetName, TargetName};
use crate::routing::{DataPolicy, Known};

const DEFAULT_NEIGHBOURS: u32 = 5;
const MAX_NEIGHBOURS: u32 = 100;
const MAX_STOPS: usize = 8;
const MAX_AFFINITY_BYTES: usize = 256;

/// What requests are held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits<'a> {
    /// Of the texts of the input.
    pub max_bytes: usize,
    pub known: &'a Known,
}

/// What to classify, and how.
#[derive(Debug)]
pub(crate) struct Classification {
    pub prompt: Prompt,
    /// `None`: the default set.
    pub set: Option<SetName>,
    pub neighbours: usize,
    pub explain: bool,
    pub allow_llm: bool,
    /// In [0, 1].
    pub target_accuracy: Option<f32>,
    /// Where the input may go.
    pub policy: DataPolicy,
}

/// What to decide and to plan, but not to send.
#[derive(Debug)]
pub(crate) struct Routing {
    pub classification: Classification,
    /// What would be sent, as far as it is known.
    pub chat: ChatRequest,
    pub needs: BTreeSet<Capability>,
}

/// What to send on, and where.
#[derive(Debug)]
pub(crate) struct Completion {
    pub classification: Classification,
    pub chat: ChatRequest,
    pub pin_target: Option<TargetName>,
    pub max_attempts: Option<u32>,
    pub affinity_key: Option<String>,
}

pub(crate) fn routing(request: pb::RouteRequest, limits: Limits<'_>) -> Result<Routing, Status> {
    let mut violations = Violations::default();
    let input = Input::new(&mut violations, request.input, limits.max_bytes);
    let policy = policy(&mut violations, "data_policy", request.data_policy, limits.known);
    let (needs, max_output_tokens) = needs(&mut violations, request.needs);
    let classification = classify(&mut violations, input.as_ref(), &request.reference_set, request.options);
    let messages = input.map(|input| input.messages).unwrap_or_default();
    let chat = ChatRequest { messages, max_output_tokens, ..ChatRequest::default() };
    let routing = classification.map(|classification| {
        let classification = Classification { policy, ..classification };
        Routing { classification, chat, needs }
    });
    violations.finish(routing)
}

pub(crate) fn completion(request: pb::CompleteRequest, limits: Limits<'_>) -> Result<Completion, Status> {
    let mut violations = Violations::default();
    let input = Input::new(&mut violations, request.input.clone(), limits.max_bytes);
    let policy = policy(&mut violations, "data_policy", request.data_policy.clone(), limits.known);
    let affinity_key = Some(request.affinity_key.clone()).filter(|key| !key.is_empty());
    if let Some(key) = affinity_key.as_ref().filter(|key| key.len() > MAX_AFFINITY_BYTES) {
        let what = format!("has {} bytes, at most {MAX_AFFINITY_BYTES} are allowed", key.len());
        violations.add("affinity_key", what);
    }
    let classification = classify(&mut violations, input.as_ref(), &request.reference_set, request.options);
    let pin_target = (!request.pin_target.is_empty())
        .then(|| name(&mut violations, "pin_target", &request.pin_target, TargetName::new))
        .flatten();
    if request.max_attempts == Some(0) {
        violations.add("max_attempts", "is 0, must be at least 1");
    }
    let max_attempts = request.max_attempts;
    let messages = input.as_ref().map(|input| input.messages.clone()).unwrap_or_default();
    let chat = chat(&mut violations, request, messages);
    let completion = classification.map(|classification| {
        let classification = Classification { policy, ..classification };
        Completion { classification, chat, pin_target, max_attempts, affinity_key }
    });
    violations.finish(completion)
}

pub(super) struct Input {
    pub(super) prompt: Prompt,
    messages: Vec<Message>,
}

impl Input {
    pub(super) fn new(violations: &mut Violations, input: Option<pb::Input>, max_bytes: usize) -> Option<Self> {
        match input.and_then(|input| input.input) {
            None => {
                violations.add("input", "is missing: give `text` or `conversation`");
                None
            }
            Some(pb::input::Input::Text(text)) => {
                let prompt = violations.take("input.text", Prompt::from_text(&text, max_bytes))?;
                Some(Self { prompt, messages: vec![Message::user(text)] })
            }
            Some(pb::input::Input::Conversation(conversation)) => {
                let messages = messages(violations, conversation.messages)?;
                let prompt = violations.take("input.conversation", Prompt::from_messages(&messages, max_bytes))?;
                Some(Self { prompt, messages })
            }
        }
    }
}

fn messages(violations: &mut Violations, messages: Vec<pb::ChatMessage>) -> Option<Vec<Message>> {
    if messages.is_empty() {
        violations.add("input.conversation.messages", "is empty");
        return None;
    }
    let count = messages.len();
    let mut converted = Vec::with_capacity(count);
    for (at, message) in messages.into_iter().enumerate() {
        let role = match message.role() {
            pb::Role::System => Role::System,
            pb::Role::User => Role::User,
            pb::Role::Assistant => Role::Assistant,
            pb::Role::Tool => Role::Tool,
            pb::Role::Unspecified => {
                let value = message.role;
                violations.add(
                    format!("input.conversation.messages[{at}].role"),
                    format!("is {value}: give ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT or ROLE_TOOL"),
                );
                continue;
            }
        };
        if message.text.is_empty() && role != Role::Assistant {
            let field = format!("input.conversation.messages[{at}].text");
            violations.add(field, "is empty, which only an assistant's turn may be");
            continue;
        }
        converted.push(Message::new(role, message.text));
    }
    // What is wrong with the whole can be said only of all its turns.
    (converted.len() == count).then_some(converted)
}

fn classify(
    violations: &mut Violations,
    input: Option<&Input>,
    set: &str,
    options: Option<pb::RouteOptions>,
) -> Option<Classification> {
    let options = options.unwrap_or_default();
    let set = (!set.is_empty()).then(|| name(violations, "reference_set", set, SetName::new)).flatten();
    let neighbours = options.max_neighbours.unwrap_or(DEFAULT_NEIGHBOURS);
    if neighbours > MAX_NEIGHBOURS {
        violations.add("options.max_neighbours", format!("is {neighbours}, at most {MAX_NEIGHBOURS} are allowed"));
    }
    if let Some(target) = options.target_accuracy.filter(|target| !(0.0..=1.0).contains(target)) {
        violations.add("options.target_accuracy", format!("is {target}, must be from 0 to 1"));
    }
    Some(Classification {
        prompt: input?.prompt.clone(),
        set,
        neighbours: neighbours as usize,
        explain: options.explain,
        allow_llm: options.allow_llm.unwrap_or(true),
        target_accuracy: options.target_accuracy,
        policy: DataPolicy::default(),
    })
}

fn chat(violations: &mut Violations, request: pb::CompleteRequest, messages: Vec<Message>) -> ChatRequest {
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
    let response_schema = request.response_schema.map(|schema| response_schema(violations, schema));
    ChatRequest {
        messages,
        max_output_tokens: request.max_output_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        stop: request.stop,
        seed: request.seed,
        response_schema,
        extra: request.provider_options.map(json_object).unwrap_or_default(),
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
    let schema = schema.schema.map(json_object).unwrap_or_default();
    ResponseSchema { name, schema: serde_json::Value::Object(schema) }
}

fn json_object(object: prost_types::Struct) -> serde_json::Map<String, serde_json::Value> {
    object.fields.into_iter().map(|(key, value)| (key, json(value))).collect()
}

/// Whole numbers come out as integers: protobuf's Struct only knows doubles, and providers want `5`, not `5.0`.
fn json(value: prost_types::Value) -> serde_json::Value {
    use prost_types::value::Kind;
    /// Doubles hold every integer up to this one exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() <= EXACT => (number as i64).into(),
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::StructValue(object)) => json_object(object).into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json).collect(),
    }
}
