//! Google's Gemini API: `generateContent` and `streamGenerateContent`.
//!
//! Its stream has no end marker; it is whole when the last candidate has named its finish reason.

mod body;
mod reply;
mod thinking;

use std::sync::Arc;

use async_trait::async_trait;

use super::answer::Completion;
use super::endpoint::Endpoint;
use super::error::Error;
use super::request::ChatRequest;
use super::stream::items;
use super::{CompletionStream, Provider};
use body::body;
use reply::{Answers, completion};

pub(super) struct Gemini {
    pub(super) endpoint: Endpoint,
}

#[async_trait]
impl Provider for Gemini {
    async fn complete(&self, model: &str, request: &Arc<ChatRequest>) -> Result<Completion, Error> {
        let url = self.url(model, "generateContent");
        let sent = body(model, request);
        let redactor = self.endpoint.redactor(request);
        let answer = self.endpoint.post(url, &sent.body, &redactor).await?;
        let completion = completion(&answer, &redactor)?;
        Ok(Completion { dropped: sent.dropped, ..completion })
    }

    async fn stream(&self, model: &str, request: &Arc<ChatRequest>) -> Result<CompletionStream, Error> {
        let mut url = self.url(model, "streamGenerateContent");
        url.query_pairs_mut().append_pair("alt", "sse");
        let sent = body(model, request);
        let redactor = self.endpoint.redactor(request);
        let response = self.endpoint.post_for_events(url, &sent.body, &redactor).await?;
        Ok(items(response, Answers::new(redactor), sent.dropped))
    }
}

impl Gemini {
    /// A model is named `gemini-...` or by its whole path, such as `tunedModels/...`.
    fn url(&self, model: &str, method: &str) -> reqwest::Url {
        let path = if model.contains('/') { format!("{model}:{method}") } else { format!("models/{model}:{method}") };
        self.endpoint.url(path.split('/'))
    }
}

#[cfg(test)]
pub(super) mod tests;
