//! The clients against a scripted provider on loopback: what goes over the wire, and what every kind of failure
//! becomes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;

use super::answer::{FinishReason, StreamItem};
use super::config::{Auth, Kind, ProviderConfig};
use super::error::Error;
use super::error_class::ErrorClass;
use super::http::MAX_BODY_BYTES;
use super::request::ChatRequest;
use super::scripted::{Script, Scripted, Step};
use super::sse::MAX_EVENT_BYTES;
use super::{CompletionStream, Provider, samples};

const KEY: &str = "sk-scripted-0123456789";

fn config(kind: Kind, base_url: String) -> ProviderConfig {
    let api_key_env = Some("KEY".to_owned());
    ProviderConfig { base_url: Some(base_url), api_key_env, ..ProviderConfig::new("scripted", kind) }
}

fn build(config: &ProviderConfig) -> Arc<dyn Provider> {
    config.build(&|_| Some(KEY.to_owned())).unwrap()
}

async fn openai(script: Script) -> (Scripted, Arc<dyn Provider>) {
    let server = Scripted::start([script]).await;
    let provider = build(&config(Kind::OpenAi, server.url("/v1")));
    (server, provider)
}

/// Calls both ways and gives the error of each.
async fn errors(script: Script) -> [Error; 2] {
    let (_server, provider) = openai(script).await;
    let unary = provider.complete("m", &samples::minimal().into()).await.unwrap_err();
    let streamed = match provider.stream("m", &samples::minimal().into()).await {
        Ok(stream) => read(stream).await.1.unwrap_err(),
        Err(error) => error,
    };
    [unary, streamed]
}

async fn read(mut stream: CompletionStream) -> (String, Result<FinishReason, Error>) {
    let mut text = String::new();
    loop {
        match stream.next().await.expect("an end or an error") {
            Ok(StreamItem::Text(more)) => text.push_str(&more),
            Ok(StreamItem::End { finish, .. }) => return (text, Ok(finish)),
            Ok(other) => panic!("{other:?} was not asked for"),
            Err(error) => return (text, Err(error)),
        }
    }
}

#[tokio::test]
async fn each_kind_calls_its_address_with_its_key() {
    let answer = json!({
        "type": "message", "content": [], "stop_reason": "end_turn",
        "choices": [{"message": {"content": ""}}], "candidates": [{"finishReason": "STOP"}],
    });
    let check = async |kind: Kind, base: &str, model: &str, path: &str, header: (&str, &str)| {
        let server = Scripted::start([Script::json(200, &answer)]).await;
        let provider = build(&config(kind, server.url(base)));
        assert_eq!(provider.complete(model, &samples::minimal().into()).await.unwrap().text, "");
        let request = server.requests().remove(0);
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", path));
        assert_eq!(request.headers.get(header.0).map(String::as_str), Some(header.1));
        assert!(request.headers["user-agent"].starts_with("semroute/"));
        assert_eq!(request.headers["content-type"], "application/json");
    };
    let bearer = format!("Bearer {KEY}");
    check(Kind::OpenAi, "/v1", "m", "/v1/chat/completions", ("authorization", &bearer)).await;
    check(Kind::OpenAi, "/v1/", "m", "/v1/chat/completions", ("authorization", &bearer)).await;
    check(Kind::Anthropic, "/v1", "m", "/v1/messages", ("x-api-key", KEY)).await;
    check(Kind::Anthropic, "/v1", "m", "/v1/messages", ("anthropic-version", "2023-06-01")).await;
    check(Kind::Gemini, "/v1beta", "g 1?", "/v1beta/models/g%201%3F:generateContent", ("x-goog-api-key", KEY)).await;
    // A model's name can lead neither to other headers nor to another path.
    let (injected, escaped) = ("g\r\nx: y", "/v1beta/models/gx:%20y:generateContent");
    check(Kind::Gemini, "/v1beta", injected, escaped, ("x-goog-api-key", KEY)).await;
    check(Kind::Gemini, "/v1beta", "../../t", "/v1beta/t:generateContent", ("x-goog-api-key", KEY)).await;
    check(Kind::Gemini, "/v1beta", "tunedModels/t", "/v1beta/tunedModels/t:generateContent", ("x-goog-api-key", KEY))
        .await;
}

#[tokio::test]
async fn azure_gets_its_header_and_query() {
    let server = Scripted::start([Script::completion("yes")]).await;
    let mut config = config(Kind::OpenAi, server.url("/openai/deployments/d"));
    config.auth = Some(Auth::ApiKey);
    config.query = [("api-version".to_owned(), "2024-10-21".to_owned())].into();
    config.headers = [("x-team".to_owned(), "a".to_owned())].into();
    assert_eq!(build(&config).complete("m", &samples::minimal().into()).await.unwrap().text, "yes");
    let request = server.requests().remove(0);
    assert_eq!(request.path, "/openai/deployments/d/chat/completions?api-version=2024-10-21");
    assert_eq!((request.headers["api-key"].as_str(), request.headers["x-team"].as_str()), (KEY, "a"));
    assert!(!request.headers.contains_key("authorization"));
}

#[tokio::test]
async fn streams_are_asked_for_and_read() {
    let (server, provider) = openai(Script::stream(&["Hel", "lo"])).await;
    let (text, end) = read(provider.stream("m", &samples::minimal().into()).await.unwrap()).await;
    assert_eq!((text.as_str(), end), ("Hello", Ok(FinishReason::Stop)));
    assert_eq!(server.requests()[0].json()["stream"], json!(true));

    let server = Scripted::start([Script::events([Step::event(&json!({
        "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
    }))])])
    .await;
    let provider = build(&config(Kind::Gemini, server.url("/v1beta")));
    let (text, end) = read(provider.stream("g", &samples::minimal().into()).await.unwrap()).await;
    assert_eq!((text.as_str(), end), ("Hi", Ok(FinishReason::Stop)));
    assert_eq!(server.requests()[0].path, "/v1beta/models/g:streamGenerateContent?alt=sse");
}

#[tokio::test]
async fn refusals_carry_status_message_and_retry_after() {
    let script = Script::error(429, "slow down").header("retry-after", "3");
    let expected = Error::Status {
        status: 429,
        class: ErrorClass::RateLimited,
        retry_after: Some(Duration::from_secs(3)),
        message: "slow down".to_owned(),
    };
    assert_eq!(errors(script).await, [expected.clone(), expected]);
}

#[tokio::test]
async fn an_echo_of_key_or_prompt_is_withheld() {
    for message in [format!("Incorrect API key provided: {KEY}"), "in prompt: swordfish-and-more".to_owned()] {
        let (_server, provider) = openai(Script::error(401, &message)).await;
        let messages = vec![crate::prompt::Message::user("swordfish-and-more")];
        let request = ChatRequest { messages, ..ChatRequest::default() };
        let error = provider.complete("m", &request.into()).await.unwrap_err();
        assert!(error.to_string().contains("withheld"), "{error}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed_and_the_key_does_not_travel() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Scripted::start([Script::completion("stolen")]).await;
        let script = Script::error(status, "over there").header("location", &elsewhere.url("/v1/chat/completions"));
        for error in errors(script).await {
            assert_eq!((error.status(), error.class()), (Some(status), ErrorClass::Transient));
        }
        assert!(elsewhere.requests().is_empty());
    }
}

#[tokio::test]
async fn compressed_answers_are_neither_asked_for_nor_unpacked() {
    // 16 MB of zeros in 16 KB.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &vec![0; 16 << 20]).unwrap();
    let bomb = packed.finish().unwrap();
    assert!(bomb.len() < 20_000);
    for kind in ["application/json", "text/event-stream"] {
        let script = Script::whole(200, kind, bomb.clone()).header("content-encoding", "gzip");
        let (server, provider) = openai(script).await;
        let error = provider.complete("m", &samples::minimal().into()).await.unwrap_err();
        assert_eq!(error, Error::malformed("compressed, which was not asked for"));
        assert!(!server.requests()[0].headers.contains_key("accept-encoding"));
        assert!(provider.stream("m", &samples::minimal().into()).await.is_err());
    }
    // Without the header it is no JSON.
    for error in errors(Script::whole(200, "application/octet-stream", bomb.clone())).await {
        assert!(matches!(error, Error::Malformed { .. } | Error::Truncated), "{error}");
    }
}

#[tokio::test]
async fn a_long_answer_is_read_whole() {
    let text = "Grüezi ".repeat(10_000_000 / 8);
    let (_server, provider) = openai(Script::completion(&text)).await;
    assert_eq!(provider.complete("m", &samples::minimal().into()).await.unwrap().text, text);
}

#[tokio::test]
async fn what_a_wire_format_cannot_carry_is_told_with_the_answer() {
    let request = Arc::new(ChatRequest { seed: Some(7), ..samples::minimal() });
    let stop = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}});
    let stream = Script::events([Step::event(&stop), Step::event(&json!({"type": "message_stop"}))]);
    let answer = json!({"type": "message", "content": [], "stop_reason": "end_turn"});
    let server = Scripted::start([Script::json(200, &answer), stream]).await;
    let provider = build(&config(Kind::Anthropic, server.url("/v1")));
    assert_eq!(provider.complete("m", &request).await.unwrap().dropped, ["seed"]);
    let items: Vec<_> = provider.stream("m", &request).await.unwrap().collect().await;
    let [Ok(StreamItem::End { dropped, .. })] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(dropped, &["seed"]);
    assert!(server.requests().iter().all(|request| request.json().get("seed").is_none()));
}

#[tokio::test]
async fn a_refusal_is_classed_by_what_the_provider_says() {
    let check = async |kind: Kind, status: u16, body: &str, expected: ErrorClass| {
        let server = Scripted::start([Script::whole(status, "application/json", body)]).await;
        let provider = build(&config(kind, server.url("/v1")));
        let error = provider.complete("m", &samples::minimal().into()).await.unwrap_err();
        assert_eq!((error.status(), error.class()), (Some(status), expected), "{error}");
        let error = provider.stream("m", &samples::minimal().into()).await.err().unwrap();
        assert_eq!((error.status(), error.class()), (Some(status), expected), "{error}");
    };
    let openai = include_str!("../../tests/golden/wire/openai/error.json");
    check(Kind::OpenAi, 404, openai, ErrorClass::UnknownModel).await;
    let quota = include_str!("../../tests/golden/wire/openai/error_quota.json");
    check(Kind::OpenAi, 429, quota, ErrorClass::Authentication).await;
    let too_long = include_str!("../../tests/golden/wire/openai/error_too_long.json");
    check(Kind::OpenAi, 400, too_long, ErrorClass::TooLong).await;
    let filtered = include_str!("../../tests/golden/wire/openai/error_filtered.json");
    check(Kind::OpenAi, 400, filtered, ErrorClass::ContentRefused).await;
    let anthropic = include_str!("../../tests/golden/wire/anthropic/error.json");
    check(Kind::Anthropic, 400, anthropic, ErrorClass::Invalid).await;
    let too_long = include_str!("../../tests/golden/wire/anthropic/error_too_long.json");
    check(Kind::Anthropic, 400, too_long, ErrorClass::TooLong).await;
    let gemini = include_str!("../../tests/golden/wire/gemini/error.json");
    check(Kind::Gemini, 400, gemini, ErrorClass::Authentication).await;
    let exhausted = include_str!("../../tests/golden/wire/gemini/error_exhausted.json");
    check(Kind::Gemini, 429, exhausted, ErrorClass::RateLimited).await;
    check(Kind::OpenAi, 502, "<html>Bad Gateway</html>", ErrorClass::Transient).await;
    check(Kind::OpenAi, 403, "<html>Forbidden</html>", ErrorClass::Authentication).await;
}

#[tokio::test]
async fn what_is_no_answer_is_malformed_or_broken() {
    let check = async |script: Script, expected: [&str; 2]| {
        let described = format!("{script:.60?}");
        let errors = errors(script).await;
        assert_eq!(errors.each_ref().map(Error::kind), expected, "{described} gave {errors:?}");
        assert!(errors.iter().all(Error::retriable));
    };
    check(Script::whole(200, "text/html", "<html>Sign in</html>"), ["malformed", "malformed"]).await;
    check(Script::whole(200, "application/json", ""), ["malformed", "malformed"]).await;
    check(Script::whole(200, "application/json", b"{\"model\":\"\xff\"}".to_vec()), ["malformed", "malformed"]).await;
    check(Script::whole(200, "text/event-stream", b"data: \xff\n\n".to_vec()), ["malformed", "malformed"]).await;
    check(Script::whole(200, "text/event-stream", ""), ["malformed", "truncated"]).await;
    check(Script::whole(200, "text/event-stream", "data: {\n\n"), ["malformed", "malformed"]).await;
    check(Script::events([Step::delta("a"), Step::Close]), ["broken", "broken"]).await;
    check(Script::events([Step::delta("a"), Step::Reset]), ["broken", "broken"]).await;
    check(Script::close(), ["broken", "broken"]).await;
    check(Script::garbage(), ["broken", "broken"]).await;
}

#[tokio::test]
async fn answers_have_a_limit() {
    let long = vec![b' '; 20_000_000];
    assert_eq!(
        errors(Script::whole(200, "text/plain", long.clone())).await,
        [Error::TooLarge { limit_bytes: MAX_BODY_BYTES }, Error::TooLarge { limit_bytes: MAX_EVENT_BYTES },]
    );
    let chunks = long.chunks(1_000_000).map(|chunk| Step::Send(chunk.to_vec()));
    assert_eq!(errors(Script::events(chunks)).await[0], Error::TooLarge { limit_bytes: MAX_BODY_BYTES });
}

#[tokio::test]
async fn no_connection_is_told_from_a_broken_one() {
    let server = Scripted::start([Script::hang()]).await;
    let provider = build(&config(Kind::OpenAi, server.url("/v1")));
    drop(server);
    // The port may take a moment to close.
    let error = loop {
        match provider.complete("m", &samples::minimal().into()).await.unwrap_err() {
            Error::Broken { .. } => tokio::task::yield_now().await,
            error => break error,
        }
    };
    assert_eq!(error.kind(), "connect");
    assert!(!error.to_string().contains("/v1"), "{error} shows the URL");
}

#[tokio::test]
async fn dropping_a_call_closes_it() {
    let (server, provider) = openai(Script::hang()).await;
    let call = tokio::spawn(async move { provider.complete("m", &samples::minimal().into()).await });
    server.requested(1).await;
    call.abort();
    server.client_gone(1).await;
}

#[tokio::test]
async fn dropping_a_stream_closes_it() {
    let (server, provider) = openai(Script::events([Step::delta("a"), Step::Hang])).await;
    let mut stream = provider.stream("m", &samples::minimal().into()).await.unwrap();
    assert_eq!(stream.next().await, Some(Ok(StreamItem::Text("a".to_owned()))));
    drop(stream);
    server.client_gone(1).await;
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Scripted::start([Script::completion("a"), Script::stream(&["b"]), Script::completion("c")]).await;
    let provider = build(&config(Kind::OpenAi, server.url("/v1")));
    assert_eq!(provider.complete("m", &samples::minimal().into()).await.unwrap().text, "a");
    assert_eq!(read(provider.stream("m", &samples::minimal().into()).await.unwrap()).await.0, "b");
    assert_eq!(provider.complete("m", &samples::minimal().into()).await.unwrap().text, "c");
}
