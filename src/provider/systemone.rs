//! System One: typed questions about a state, each answered with one of its options and how likely each is. The
//! `POST /v1/systemone` of TypeSafe, which Ollama, LiteLLM, Databricks and others serve as well; documented at
//! <https://docs.ollama.com/api/systemone> and <https://docs.litellm.ai/docs/decisions/systemone_format>.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::Completion;
use super::endpoint::Endpoint;
use super::error::Error;
use super::request::{ChatRequest, Choice, ChoiceQuestion, Usage};
use super::{CompletionStream, Provider, wire};
use crate::prompt::{Message, Role};

/// The name of our one question.
const QUESTION: &str = "route";

const CHAT: Error = Error::Unsupported { what: "chat requests: it takes typed questions only" };

pub(super) struct SystemOne {
    pub(super) endpoint: Endpoint,
}

#[async_trait]
impl Provider for SystemOne {
    async fn complete(&self, _model: &str, _request: &Arc<ChatRequest>) -> Result<Completion, Error> {
        Err(CHAT)
    }

    async fn stream(&self, _model: &str, _request: &Arc<ChatRequest>) -> Result<CompletionStream, Error> {
        Err(CHAT)
    }

    fn takes_typed_questions(&self) -> bool {
        true
    }

    async fn choose(&self, model: &str, question: &ChoiceQuestion) -> Result<Choice, Error> {
        let redactor = self.endpoint.redactor(&Arc::new(said(question)));
        let answer = self.endpoint.post(self.endpoint.url(["systemone"]), &body(model, question), &redactor).await?;
        choice(&answer)
    }
}

/// What an error message must not repeat.
fn said(question: &ChoiceQuestion) -> ChatRequest {
    let mut messages = vec![
        Message::new(Role::System, question.instructions.clone()),
        Message::new(Role::User, question.state.clone()),
    ];
    // They hold reference prompts as examples.
    messages.extend(question.options.iter().map(|(_, text)| Message::new(Role::User, text.clone())));
    ChatRequest { messages, ..ChatRequest::default() }
}

fn body(model: &str, question: &ChoiceQuestion) -> Value {
    let description = |text: &String| if text.is_empty() { Value::Null } else { Value::from(text.as_str()) };
    let criteria: Map<String, Value> =
        question.options.iter().map(|(label, text)| (label.clone(), description(text))).collect();
    json!({
        "model": model,
        "state": question.state,
        "questions": {
            QUESTION: {"type": "choice", "instructions": question.instructions, "criteria": criteria},
        },
    })
}

#[derive(Deserialize)]
struct Body {
    answers: Answers,
    usage: Option<Counts>,
    model: Option<String>,
}

#[derive(Deserialize)]
struct Answers {
    route: Option<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    choice: String,
    #[serde(default)]
    probabilities: Map<String, Value>,
}

#[derive(Deserialize)]
struct Counts {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

fn choice(answer: &[u8]) -> Result<Choice, Error> {
    let body: Body = wire::read(answer)?;
    let answer = body.answers.route.ok_or_else(|| Error::malformed("no answer to the question"))?;
    let probability = answer.probabilities.get(&answer.choice).and_then(Value::as_f64);
    Ok(Choice {
        probability: probability.filter(|share| (0.0..=1.0).contains(share)).map(|share| share as f32),
        label: wire::word(&answer.choice),
        usage: body.usage.map(|counts| Usage::new(counts.input_tokens.unwrap_or(0), counts.output_tokens.unwrap_or(0))),
        model: body.model.map(|model| wire::word(&model)),
    })
}

#[cfg(test)]
mod tests;
