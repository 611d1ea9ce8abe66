//! Anthropic's Messages API.
//!
//! Its rules differ from ours: the system prompt stands beside the messages, roles alternate, the answers of tools
//! stand in the user's turns, `max_tokens` is required.

pub(super) mod body;
mod reply;
mod stream;
pub(super) mod thinking;

use std::sync::Arc;

use async_trait::async_trait;

use super::answer::Completion;
use super::endpoint::Endpoint;
use super::error::Error;
use super::request::ChatRequest;
use super::stream::items;
use super::{CompletionStream, Provider};
use body::body;
use reply::completion;
use stream::Events;

const VERSION: &str = "2023-06-01";

pub(super) struct Anthropic {
    endpoint: Endpoint,
}

impl Anthropic {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint: endpoint.with_header("anthropic-version", VERSION) }
    }

    fn url(&self) -> reqwest::Url {
        self.endpoint.url(["messages"])
    }
}

#[async_trait]
impl Provider for Anthropic {
    async fn complete(&self, model: &str, request: &Arc<ChatRequest>) -> Result<Completion, Error> {
        let sent = body(model, request, false);
        let redactor = self.endpoint.redactor(request);
        let answer = self.endpoint.post(self.url(), &sent.body, &redactor).await?;
        let completion = completion(&answer, &redactor)?;
        Ok(Completion { dropped: sent.dropped, ..completion })
    }

    async fn stream(&self, model: &str, request: &Arc<ChatRequest>) -> Result<CompletionStream, Error> {
        let sent = body(model, request, true);
        let redactor = self.endpoint.redactor(request);
        let response = self.endpoint.post_for_events(self.url(), &sent.body, &redactor).await?;
        Ok(items(response, Events::new(redactor), sent.dropped))
    }
}

#[cfg(test)]
pub(super) mod tests;
