//! The provider as it is configured, against a scripted one on loopback: what goes over the wire, and what every kind
//! of failure becomes.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings};
use aws_smithy_types::body::SdkBody;
use futures_util::StreamExt;
use reqwest::header::HeaderMap;
use serde_json::json;

use super::super::super::answer::StreamItem;
use super::super::super::config::{Kind, ProviderConfig};
use super::super::super::error::Error;
use super::super::super::error_class::ErrorClass;
use super::super::super::http::MAX_BODY_BYTES;
use super::super::super::request::ChatRequest;
use super::super::super::samples::{check_body, minimal, tools};
use super::super::super::scripted::{Script, Scripted, Step};
use super::super::super::stream::tests::read;
use super::super::super::{CompletionStream, Provider};
use super::frames::frames;
use super::{Bedrock, CLAUDE, Connector, TOKEN, golden, keys, signature};
use crate::prompt::Message;

const STREAM: &str = "application/vnd.amazon.eventstream";

pub(super) fn config(base_url: String) -> ProviderConfig {
    let region = Some("eu-central-1".to_owned());
    ProviderConfig { base_url: Some(base_url), region, ..ProviderConfig::new("scripted", Kind::Bedrock) }
}

fn env(name: &str) -> Option<String> {
    let value = match name {
        "AWS_ACCESS_KEY_ID" => "AKIASCRIPTED",
        "AWS_SECRET_ACCESS_KEY" => signature::SECRET,
        "AWS_SESSION_TOKEN" => TOKEN,
        _ => return None,
    };
    Some(value.to_owned())
}

async fn start(script: Script) -> (Scripted, Arc<dyn Provider>) {
    let server = Scripted::start([script]).await;
    let provider = config(server.url("")).build(&env).unwrap();
    (server, provider)
}

fn answer() -> Script {
    Script::whole(200, "application/json", golden!("answer.json"))
}

fn events(lines: &str) -> Script {
    Script::whole(200, STREAM, frames(lines))
}

/// Calls both ways and gives the error of each; each call is made once, whatever comes.
async fn errors(script: Script) -> [Error; 2] {
    let (server, provider) = start(script).await;
    let unary = provider.complete(CLAUDE, &minimal().into()).await.unwrap_err();
    let streamed = match provider.stream(CLAUDE, &minimal().into()).await {
        Ok(stream) => read(stream).await.1.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(server.requests().len(), 2);
    [unary, streamed]
}

#[tokio::test]
async fn calls_are_signed_and_carry_the_body_as_it_was_written() {
    let server = Scripted::start([answer(), events(golden!("stream.jsonl"))]).await;
    let mut config = config(server.url("/vpc/"));
    config.headers = [("x-team".to_owned(), "a".to_owned())].into();
    let provider = config.build(&env).unwrap();
    let model = "eu.anthropic.claude-haiku-4-5-20251001-v1:0";
    provider.complete(model, &tools().into()).await.unwrap();
    read(provider.stream(model, &tools().into()).await.unwrap()).await.1.unwrap();
    let requests = server.requests();
    for (request, method) in requests.iter().zip(["converse", "converse-stream"]) {
        let path = format!("/vpc/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/{method}");
        assert_eq!((request.method.as_str(), &request.path), ("POST", &path));
        check_body(&request.json(), golden!("request_tools.json"));
        assert_eq!(request.headers["x-amz-security-token"], TOKEN);
        assert_eq!(
            (request.headers["x-team"].as_str(), request.headers["content-type"].as_str()),
            ("a", "application/json")
        );
        assert!(
            request.headers["x-amz-user-agent"].contains("app/semroute"),
            "{}",
            request.headers["x-amz-user-agent"]
        );
        assert!(!request.headers.contains_key("accept-encoding"));
        signature::check(request, "eu-central-1");
    }
}

#[tokio::test]
async fn a_key_of_bedrocks_is_sent_as_bearer_and_never_shown() {
    let key = "bedrock-api-key-0123456789";
    let refusal = json!({"message": format!("The key {key} is not valid")});
    let server = Scripted::start([Script::json(403, &refusal)]).await;
    let config = ProviderConfig { api_key_env: Some("KEY".to_owned()), ..config(server.url("")) };
    let provider = config.build(&|name| if name == "KEY" { Some(key.to_owned()) } else { env(name) }).unwrap();
    let error = provider.complete(CLAUDE, &minimal().into()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Authentication);
    assert!(!error.to_string().contains("0123"), "{error}");
    let request = server.requests().remove(0);
    assert_eq!(request.headers["authorization"], format!("Bearer {key}"));
    assert!(!request.headers.contains_key("x-amz-security-token"));
}

#[tokio::test]
async fn a_models_name_leads_to_no_other_path() {
    let (server, provider) = start(answer()).await;
    for (model, path) in [
        ("a/../../b", "/model/a%2F..%2F..%2Fb/converse"),
        ("m\r\nx: y", "/model/m%0D%0Ax%3A%20y/converse"),
        (
            "arn:aws:bedrock:eu-central-1:1:inference-profile/p",
            "/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Ainference-profile%2Fp/converse",
        ),
    ] {
        provider.complete(model, &minimal().into()).await.unwrap();
        assert_eq!(server.requests().last().unwrap().path, path);
    }
}

#[tokio::test]
async fn refusals_are_classed_by_status_exception_and_words() {
    use ErrorClass::*;
    let check = async |status: u16, exception: &str, said: &str, class: ErrorClass| {
        let script = Script::json(status, &json!({"message": said})).header("x-amzn-errortype", exception);
        for error in errors(script).await {
            assert_eq!((error.status(), error.class()), (Some(status), class), "{error}");
        }
    };
    check(400, "ValidationException", "Input is too long for requested model.", TooLong).await;
    check(400, "ValidationException", "The provided model identifier is invalid.", UnknownModel).await;
    check(400, "ValidationException:http://internal.amazon.com/", "temperature is wrong", Invalid).await;
    check(403, "AccessDeniedException", "User is not authorized to perform: bedrock:InvokeModel", Authentication).await;
    check(
        403,
        "AccessDeniedException",
        "You don't have access to the model with the specified model ID.",
        UnknownModel,
    )
    .await;
    check(403, "UnrecognizedClientException", "The security token included is invalid", Authentication).await;
    check(404, "ResourceNotFoundException", "Could not resolve the foundation model", UnknownModel).await;
    check(408, "ModelTimeoutException", "x", Transient).await;
    check(424, "ModelErrorException", "x", Transient).await;
    check(429, "ThrottlingException", "Too many requests", RateLimited).await;
    check(429, "ModelNotReadyException", "x", Transient).await;
    check(400, "ServiceQuotaExceededException", "x", RateLimited).await;
    check(500, "InternalServerException", "x", Transient).await;
    check(503, "ServiceUnavailableException", "x", Transient).await;
}

#[tokio::test]
async fn a_throttled_call_says_for_how_long_and_is_not_made_again() {
    let script = Script::json(429, &json!({"message": "slow down"}));
    let script = script.header("x-amzn-errortype", "ThrottlingException").header("retry-after", "3");
    let expected = Error::Status {
        status: 429,
        class: ErrorClass::RateLimited,
        retry_after: Some(Duration::from_secs(3)),
        message: "ThrottlingException: slow down".to_owned(),
    };
    assert_eq!(errors(script).await, [expected.clone(), expected]);
}

#[tokio::test]
async fn what_was_sent_is_not_repeated() {
    let canonical = format!("The signature does not match. The Canonical String is 'x-amz-security-token:{TOKEN}'");
    let quoted = format!("the token {TOKEN} is invalid");
    for (said, expected) in [
        (canonical.as_str(), "status 403: InvalidSignatureException: The signature does not match."),
        (quoted.as_str(), "status 403: (message withheld: it shows a part of the key)"),
        ("in prompt: swordfish-and-more", "status 403: (message withheld: it quotes the request)"),
    ] {
        let script =
            Script::json(403, &json!({"message": said})).header("x-amzn-errortype", "InvalidSignatureException");
        let (_server, provider) = start(script).await;
        let request = ChatRequest { messages: vec![Message::user("swordfish-and-more")], ..ChatRequest::default() };
        assert_eq!(provider.complete(CLAUDE, &request.into()).await.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn what_is_no_answer_is_malformed_or_broken() {
    let check = async |script: Script, expected: [&str; 2]| {
        let described = format!("{script:.60?}");
        let errors = errors(script).await;
        assert_eq!(errors.each_ref().map(Error::kind), expected, "{described} gave {errors:?}");
    };
    let half = frames(golden!("stream.jsonl"));
    let half = || Step::Send(half[..half.len() / 2].to_vec());
    check(Script::whole(200, "text/html", "<html>Sign in</html>"), ["malformed", "malformed"]).await;
    check(answer().header("content-encoding", "gzip"), ["malformed", "malformed"]).await;
    check(Script::whole(502, "text/html", "<html>Bad Gateway</html>"), ["status", "status"]).await;
    check(Script::whole(301, "text/html", "").header("location", "http://127.0.0.1:1/"), ["status", "status"]).await;
    check(Script::events([half()]), ["malformed", "truncated"]).await;
    check(Script::events([half(), Step::Close]), ["broken", "broken"]).await;
    check(Script::events([half(), Step::Reset]), ["broken", "broken"]).await;
    check(Script::whole(200, STREAM, ""), ["malformed", "truncated"]).await;
    check(Script::close(), ["broken", "broken"]).await;
    check(Script::garbage(), ["broken", "broken"]).await;
    let [error, _] = errors(Script::whole(200, STREAM, vec![b' '; MAX_BODY_BYTES + 1])).await;
    assert_eq!(error, Error::TooLarge { limit_bytes: MAX_BODY_BYTES });
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Scripted::start([answer()]).await;
        let script = Script::json(status, &json!({})).header("location", &elsewhere.url("/model/m/converse"));
        for error in errors(script).await {
            assert_eq!((error.status(), error.class()), (Some(status), ErrorClass::Transient));
        }
        assert!(elsewhere.requests().is_empty());
    }
}

#[tokio::test]
async fn no_connection_is_told_from_a_broken_one() {
    let (server, provider) = start(Script::hang()).await;
    drop(server);
    // The port may take a moment to close.
    let error = loop {
        match provider.complete(CLAUDE, &minimal().into()).await.unwrap_err() {
            Error::Broken { .. } => tokio::task::yield_now().await,
            error => break error,
        }
    };
    assert_eq!(error.kind(), "connect");
}

#[tokio::test]
async fn dropping_a_call_or_a_stream_closes_it() {
    let (server, provider) = start(Script::hang()).await;
    let call = tokio::spawn(async move { provider.complete(CLAUDE, &minimal().into()).await });
    server.requested(1).await;
    call.abort();
    server.client_gone(1).await;

    let begun = frames(golden!("stream_error.jsonl").split_inclusive('\n').take(2).collect::<String>().as_str());
    let (server, provider) = start(Script::events([Step::Send(begun), Step::Hang])).await;
    let mut stream: CompletionStream = provider.stream(CLAUDE, &minimal().into()).await.unwrap();
    assert_eq!(stream.next().await, Some(Ok(StreamItem::Text("Gr".to_owned()))));
    drop(stream);
    server.client_gone(1).await;
}

/// A call that the dispatch does not know of could be made by neither its budget nor its deadline.
#[test]
fn the_sdk_makes_no_call_again_and_gives_none_up() {
    let connector = Connector::new(reqwest::Client::new(), HeaderMap::new());
    let provider = Bedrock::new("eu-central-1", None, connector, keys());
    let config = provider.client.config();
    assert_eq!(config.retry_config().map(RetryConfig::max_attempts), Some(1));
    let limits = config.timeout_config().unwrap();
    let times = [limits.connect_timeout(), limits.read_timeout(), limits.operation_timeout()];
    assert_eq!((times, limits.operation_attempt_timeout()), ([None; 3], None));
    // Otherwise a stream that is silent for long would break.
    assert!(config.stalled_stream_protection().is_some_and(|protection| !protection.is_enabled()));
}

#[tokio::test]
async fn whoever_looks_for_credentials_has_the_sdks_limits() {
    let server = Scripted::start([Script::hang()]).await;
    let connector = Connector::new(reqwest::Client::new(), HeaderMap::new());
    let limit = Duration::from_millis(20);
    let settings = HttpConnectorSettings::builder().connect_timeout(limit).read_timeout(limit).build();
    let request = ::http::Request::get(server.url("/latest/api/token")).body(SdkBody::empty()).unwrap();
    let error = connector.within(&settings).call(request.try_into().unwrap()).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(connector.unanswered(), 1);
}
