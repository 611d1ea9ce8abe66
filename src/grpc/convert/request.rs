//! Requests to classify and to complete.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use tonic::Status;

use super::super::pb;
use super::super::violation::{Violations, name};
use super::chat::chat;
use super::message::messages;
use super::policy::{needs, policy};
use crate::dispatch::Hedge;
use crate::prompt::{Message, Prompt};
use crate::provider::{Capability, ChatRequest};
use crate::reference::{SetName, TargetName};
use crate::routing::{DataPolicy, Known};

const DEFAULT_NEIGHBOURS: u32 = 5;
const MAX_NEIGHBOURS: u32 = 100;
const HEDGE_AFTER: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3_600);
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
    pub hedge: Option<Hedge>,
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

pub(crate) fn completion(mut request: pb::CompleteRequest, limits: Limits<'_>) -> Result<Completion, Status> {
    let mut violations = Violations::default();
    let input = Input::new(&mut violations, request.input.take(), limits.max_bytes);
    let policy = policy(&mut violations, "data_policy", request.data_policy.take(), limits.known);
    let affinity_key = Some(std::mem::take(&mut request.affinity_key)).filter(|key| !key.is_empty());
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
    let hedge = request.hedge.take().map(|asked| hedge(&mut violations, asked));
    let messages = input.map(|input| input.messages).unwrap_or_default();
    let chat = chat(&mut violations, &mut request, messages);
    let completion = classification.map(|classification| {
        let classification = Classification { policy, ..classification };
        Completion { classification, chat, pin_target, max_attempts, hedge, affinity_key }
    });
    violations.finish(completion)
}

fn hedge(violations: &mut Violations, hedge: pb::Hedge) -> Hedge {
    let after = hedge.after.and_then(|after| {
        let given = format!("{}.{:09} s", after.seconds, after.nanos);
        let after = Duration::try_from(after).ok().filter(|after| HEDGE_AFTER.contains(after));
        if after.is_none() {
            violations.add("hedge.after", format!("is {given}, must be from 1 ms to 1 h"));
        }
        after
    });
    Hedge { after }
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
