//! Clients of LLM providers: one chat request in, a completion or a stream of text out, whatever the wire format; or
//! one typed question in, and the option that was chosen out.
//!
//! A provider makes one call and reports facts; deadlines, failover and the order of targets are dispatch's business.
//! This is the only module that names `reqwest`.

mod answer;
mod anthropic;
#[cfg(feature = "bedrock")]
mod bedrock;
mod build;
mod calls;
mod capability;
mod config;
mod count;
mod demo;
mod effort;
mod endpoint;
mod error;
mod error_body;
mod error_class;
mod format;
mod gemini;
mod http;
mod openai;
mod options;
mod redact;
mod registry;
mod request;
mod secret;
mod sse;
mod stream;
mod systemone;
mod tool;
mod traced;
mod wire;

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
#[path = "../../tests/support/scripted.rs"]
pub(crate) mod scripted;

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::Stream;

pub use answer::{Completion, FinishReason, StreamItem, ToolCallPiece};
pub use capability::Capability;
pub use config::{Auth, Kind, MaxTokensField, ProviderConfig};
pub use demo::{DEMO, DEMO_MODEL};
pub use effort::Effort;
pub use error::{BuildError, Error};
pub use error_class::ErrorClass;
pub use format::{ResponseFormat, ResponseSchema};
pub use options::{Family, ProviderOptions};
pub use registry::Providers;
pub use request::{ChatRequest, Choice, ChoiceQuestion, Usage};
pub use secret::Secret;
pub use tool::{Tool, ToolChoice};

/// The answer as it comes: any number of pieces, then one [`StreamItem::End`]; or an error, which ends it.
pub type CompletionStream = Pin<Box<dyn Stream<Item = Result<StreamItem, Error>> + Send>>;

/// A place that answers chat requests. Dropping the future or the stream closes the call to the provider.
///
/// Apart from the connect timeout no call ends by itself: who calls sets the time limit.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Waits for the whole answer. An empty text is an answer.
    async fn complete(&self, model: &str, request: &Arc<ChatRequest>) -> Result<Completion, Error>;

    /// Returns once the provider has begun to answer with a success status.
    async fn stream(&self, model: &str, request: &Arc<ChatRequest>) -> Result<CompletionStream, Error>;

    /// Whether it is asked with [`Provider::choose`], and answers no chat requests.
    fn takes_typed_questions(&self) -> bool {
        false
    }

    /// Has one of the options chosen. `Unsupported` where chat is all that is spoken.
    async fn choose(&self, _model: &str, _question: &ChoiceQuestion) -> Result<Choice, Error> {
        Err(Error::Unsupported { what: "typed questions" })
    }
}
