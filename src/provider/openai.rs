//! OpenAI's chat completions, which Azure, Mistral, Together, Groq, vLLM, Ollama and llama.cpp speak as well.
//!
//! Readers are lenient where these servers differ: content as text or parts, usage or model absent, no `[DONE]`.

mod body;
mod reply;
mod stream;

use std::sync::Arc;

use async_trait::async_trait;

use super::answer::Completion;
use super::config::MaxTokensField;
use super::endpoint::Endpoint;
use super::error::Error;
use super::request::ChatRequest;
use super::stream::items;
use super::{CompletionStream, Provider};
use body::body;
use reply::completion;
use stream::Chunks;

pub(super) struct OpenAi {
    pub(super) endpoint: Endpoint,
    pub(super) max_tokens_field: MaxTokensField,
}

#[async_trait]
impl Provider for OpenAi {
    async fn complete(&self, model: &str, request: &Arc<ChatRequest>) -> Result<Completion, Error> {
        let sent = body(model, request, self.max_tokens_field, false);
        let redactor = self.endpoint.redactor(request);
        let answer = self.endpoint.post(self.url(), &sent.body, &redactor).await?;
        let completion = completion(&answer, &redactor)?;
        Ok(Completion { dropped: sent.dropped, ..completion })
    }

    async fn stream(&self, model: &str, request: &Arc<ChatRequest>) -> Result<CompletionStream, Error> {
        let sent = body(model, request, self.max_tokens_field, true);
        let redactor = self.endpoint.redactor(request);
        let response = self.endpoint.post_for_events(self.url(), &sent.body, &redactor).await?;
        Ok(items(response, Chunks::new(redactor), sent.dropped))
    }
}

impl OpenAi {
    fn url(&self) -> reqwest::Url {
        self.endpoint.url(["chat", "completions"])
    }
}

#[cfg(test)]
pub(super) mod tests;
