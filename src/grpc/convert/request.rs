//! Requests to classify and to complete.

use std::ops::RangeInclusive;
use std::time::Duration;

use tonic::Status;

use super::super::pb;
use super::super::violation::{Violations, name};
use super::chat::chat;
use super::message::messages;
use crate::dispatch::Hedge;
use crate::prompt::{Message, Prompt};
use crate::provider::ChatRequest;
use crate::reference::{SetName, TargetName};

const DEFAULT_NEIGHBOURS: u32 = 5;
const MAX_NEIGHBOURS: u32 = 100;
const HEDGE_AFTER: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3_600);

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
}

/// What to send on, and where.
#[derive(Debug)]
pub(crate) struct Completion {
    pub classification: Classification,
    pub chat: ChatRequest,
    pub pin_target: Option<TargetName>,
    pub max_attempts: Option<u32>,
    pub hedge: Option<Hedge>,
}

/// `max_bytes` bounds the texts of the input.
pub(crate) fn classification(request: pb::RouteRequest, max_bytes: usize) -> Result<Classification, Status> {
    let mut violations = Violations::default();
    let input = Input::new(&mut violations, request.input, max_bytes);
    let classification = classify(&mut violations, input.as_ref(), &request.reference_set, request.options);
    violations.finish(classification)
}

pub(crate) fn completion(mut request: pb::CompleteRequest, max_bytes: usize) -> Result<Completion, Status> {
    let mut violations = Violations::default();
    let input = Input::new(&mut violations, request.input.take(), max_bytes);
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
    let completion =
        classification.map(|classification| Completion { classification, chat, pin_target, max_attempts, hedge });
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
    })
}
