//! The built-in provider of a fresh installation: answers at once, offline, and always says that it is a demo.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;

use super::answer::{Completion, FinishReason, StreamItem};
use super::error::Error;
use super::format::ResponseFormat;
use super::redact::bounded;
use super::request::{ChatRequest, Usage};
use super::{CompletionStream, Provider};

/// Name of the built-in provider.
pub const DEMO: &str = "demo";

/// Its model where the route is not known. Any other model name is taken for the route's.
pub const DEMO_MODEL: &str = "demo";

/// How much of the last message the answer repeats, in characters.
const QUOTED_CHARS: usize = 60;

pub(super) struct Demo;

#[async_trait]
impl Provider for Demo {
    async fn complete(&self, model: &str, request: &Arc<ChatRequest>) -> Result<Completion, Error> {
        let (words, finish, usage) = answer(model, request);
        let (usage, model) = (Some(usage), Some(DEMO_MODEL.to_owned()));
        Ok(Completion {
            text: words.concat(),
            finish,
            usage,
            model,
            dropped: dropped(request),
            ..Completion::default()
        })
    }

    async fn stream(&self, model: &str, request: &Arc<ChatRequest>) -> Result<CompletionStream, Error> {
        let (words, finish, usage) = answer(model, request);
        let (usage, model) = (Some(usage), Some(DEMO_MODEL.to_owned()));
        let end = StreamItem::End { finish, usage, model, dropped: dropped(request) };
        let items = words.into_iter().map(StreamItem::Text).chain([end]).map(Ok);
        Ok(Box::pin(stream::iter(items.collect::<Vec<_>>())))
    }
}

/// It calls no tool and follows no schema.
fn dropped(request: &ChatRequest) -> Vec<String> {
    let fields =
        [("tools", !request.tools.is_empty()), ("response_format", request.response_format != ResponseFormat::Text)];
    fields.into_iter().filter(|(_, given)| *given).map(|(field, _)| field.to_owned()).collect()
}

/// The answer's words, each with the space after it. A word counts as a token.
fn answer(model: &str, request: &ChatRequest) -> (Vec<String>, FinishReason, Usage) {
    let mut text = "This is a demo answer: no LLM provider is configured, so no model was asked.".to_owned();
    if model != DEMO_MODEL {
        text.push_str(&format!(" The prompt was routed to \"{model}\"."));
    }
    if let Some(message) = request.messages.last() {
        text.push_str(&format!(" Your message begins: \"{}\"", bounded(&message.text, QUOTED_CHARS)));
    }
    let mut words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
    let limit = request.max_output_tokens.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let finish = if words.len() > limit { FinishReason::Length } else { FinishReason::Stop };
    words.truncate(limit);
    let input = request.messages.iter().map(|message| message.text.split_whitespace().count()).sum::<usize>();
    let usage = Usage::new(input as u64, words.len() as u64);
    (words, finish, usage)
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;
    use crate::prompt::Message;

    fn request(text: &str) -> ChatRequest {
        ChatRequest { messages: vec![Message::user(text)], ..ChatRequest::default() }
    }

    #[tokio::test]
    async fn the_answer_says_what_it_is() {
        let completion = Demo.complete("code-writing", &request("Write a parser").into()).await.unwrap();
        let expected = "This is a demo answer: no LLM provider is configured, so no model was asked. \
            The prompt was routed to \"code-writing\". Your message begins: \"Write a parser\"";
        assert_eq!(completion.text, expected);
        assert_eq!(completion.finish, FinishReason::Stop);
        assert_eq!(completion.usage, Some(Usage::new(3, 27)));
    }

    #[tokio::test]
    async fn the_stream_brings_the_same_words() {
        let request = Arc::new(request("Write a parser"));
        let items: Vec<_> = Demo.stream(DEMO_MODEL, &request).await.unwrap().try_collect().await.unwrap();
        let texts: Vec<&str> = items
            .iter()
            .filter_map(|item| match item {
                StreamItem::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(texts.concat(), Demo.complete(DEMO_MODEL, &request).await.unwrap().text);
        assert!(texts.len() > 10 && items.len() == texts.len() + 1);
    }

    #[tokio::test]
    async fn the_limit_of_tokens_is_kept() {
        let request = Arc::new(ChatRequest { max_output_tokens: Some(3), ..request("hello") });
        let completion = Demo.complete(DEMO_MODEL, &request).await.unwrap();
        assert_eq!((completion.text.trim(), completion.finish), ("This is a", FinishReason::Length));
    }
}
