//! Amazon Bedrock's Converse API, by AWS' own SDK: it finds credentials, signs, and reads answers and event streams.
//!
//! Bodies are written here, as for the other wire formats: the SDK keeps free JSON in hash maps, so that the schemas of
//! tools would be in another order each time and no prompt cache would know them again. And the HTTP client is ours, so
//! that proxies, limits and the time to connect are those of all providers. The SDK's retries and time limits are off.

mod body;
mod connector;
mod credentials;
mod failure;
mod frames;
mod json;
mod reply;
mod stream;
mod thinking;
mod turns;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::timeout::TimeoutConfig;
use aws_sdk_bedrockruntime::config::{
    AppName, BehaviorVersion, HttpClient, Region, StalledStreamProtectionConfig, Token,
};
use aws_sdk_bedrockruntime::{Client, Config};
use aws_smithy_runtime_api::client::auth::http::HTTP_BEARER_AUTH_SCHEME_ID;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use serde_json::Value;

use super::answer::Completion;
use super::error::Error;
use super::redact::Redactor;
use super::request::ChatRequest;
use super::secret::Secret;
use super::wire::Encoded;
use super::{CompletionStream, Provider};
use body::body;
pub(super) use connector::Connector;
pub(super) use credentials::{Access, Places};
use failure::failure;
use reply::completion;
use stream::items;

pub(super) struct Bedrock {
    client: Client,
    /// What may show in no message: the API key, or the token of a session.
    secret: Option<Secret>,
}

impl Bedrock {
    /// `base_url`: instead of the region's public endpoint. `client`: what the calls go through.
    pub(super) fn new(region: &str, base_url: Option<&str>, client: impl HttpClient + 'static, access: Access) -> Self {
        let secret = access.secret();
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_app_name(AppName::new("semroute").ok());
        config.set_endpoint_url(base_url.map(|url| url.trim_end_matches('/').to_owned()));
        let config = config.http_client(client);
        let config = match access {
            Access::ApiKey(key) => config
                .bearer_token(Token::new(key.exposed(), None))
                .auth_scheme_preference([HTTP_BEARER_AUTH_SCHEME_ID]),
            Access::Keys(keys) => config.credentials_provider(keys),
            Access::Found(places) => config.credentials_provider(places),
        };
        Self { client: Client::from_conf(config.build()), secret }
    }

    fn redactor(&self, request: &Arc<ChatRequest>) -> Redactor {
        Redactor::new(self.secret.as_ref(), request)
    }
}

#[async_trait]
impl Provider for Bedrock {
    async fn complete(&self, model: &str, request: &Arc<ChatRequest>) -> Result<Completion, Error> {
        let Encoded { body, dropped } = body(model, request)?;
        let call = self.client.converse().model_id(model).customize().mutate_request(carry(body));
        let answer = call.send().await.map_err(|error| failure(error, &self.redactor(request)))?;
        Ok(Completion { dropped, ..completion(answer)? })
    }

    async fn stream(&self, model: &str, request: &Arc<ChatRequest>) -> Result<CompletionStream, Error> {
        let Encoded { body, dropped } = body(model, request)?;
        let redactor = self.redactor(request);
        let call = self.client.converse_stream().model_id(model).customize().mutate_request(carry(body));
        match call.send().await {
            Ok(answer) => Ok(items(answer.stream, redactor, dropped)),
            Err(error) => Err(failure(error, &redactor)),
        }
    }
}

/// Puts the body into the SDK's request, before it is signed. It is written once, and shared from there on.
fn carry(body: Value) -> impl Fn(&mut HttpRequest) + Send + Sync {
    let bytes = Bytes::from(body.to_string());
    drop(body);
    move |request| {
        request.headers_mut().insert("content-length", bytes.len().to_string());
        *request.body_mut() = SdkBody::from(bytes.clone());
    }
}

#[cfg(test)]
pub(super) mod tests;
