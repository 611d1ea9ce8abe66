//! The end: what is under way is answered, what takes too long is cut off with a status, and nobody new comes in.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::outcome::is_fault;
use crate::scripted::{Script, Scripted, Step};
use crate::server::{Setup, TestServer, complete_request, route_request};

const MATHS: &str = "what is 7 times 8?";

async fn health(server: &TestServer) -> HealthClient<tonic::transport::Channel> {
    HealthClient::new(server.channel().await)
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

async fn watched(watch: &mut tonic::Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let next = tokio::time::timeout(Duration::from_secs(10), watch.message()).await.expect("news of the health");
    next.unwrap().map(|response| response.status())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_answer() {
    let server = Setup::default().start().await;
    let mut client = health(&server).await;
    for service in ["", "semroute.v1.RouterService", "semroute.v1.ReferenceService", "semroute.v1.AdminService"] {
        let status = client.check(of(service)).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service:?}");
    }
    assert_eq!(client.check(of("nobody")).await.unwrap_err().code(), Code::NotFound);

    let ask = |request: MessageRequest| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let requests = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("semroute.v1.RouterService.Complete".to_owned())),
        ask(MessageRequest::FileContainingSymbol("grpc.health.v1.Health".to_owned())),
    ];
    let mut client = ServerReflectionClient::new(server.channel().await);
    let answers = client.server_reflection_info(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<MessageResponse> = answers.map(|answer| answer.unwrap().message_response.unwrap()).collect().await;
    let MessageResponse::ListServicesResponse(list) = &answers[0] else { panic!("{:?}", answers[0]) };
    let listed: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for service in [
        "semroute.v1.RouterService",
        "semroute.v1.ReferenceService",
        "semroute.v1.AdminService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(listed.contains(&service), "{service} is not among {listed:?}");
    }
    for answer in &answers[1..] {
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_answered_and_nobody_new_comes_in() {
    let answer = Script::stream(&["fifty", "-six"]);
    let provider = Scripted::start([answer]).await;
    let slow = Script::events([
        Step::Pause(Duration::from_millis(1500)),
        Step::Send(br#"{"choices":[{"message":{"content":"56"},"finish_reason":"stop"}]}"#.to_vec()),
    ]);
    let slow = Scripted::start([slow]).await;
    let more = "sets.small.routes.maths.targets = ['p1']";
    let mut server = Setup::providers(&[provider.address(), slow.address()], more).start().await;
    let mut watch = health(&server).await.watch(of("semroute.v1.RouterService")).await.unwrap().into_inner();
    assert_eq!(watched(&mut watch).await, Some(ServingStatus::Serving));

    let mut router = server.router().await;
    let under_way = tokio::spawn(async move { router.complete(complete_request(MATHS)).await });
    slow.requested(1).await;
    // Open, and not yet read: it stands in its turn like any other request.
    let stream = server.router().await.complete_stream(complete_request("Spanish for window")).await.unwrap();

    server.ask_to_stop();
    assert_eq!(watched(&mut watch).await, Some(ServingStatus::NotServing));
    let begun = Instant::now();
    while Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "new connections are still taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!under_way.is_finished(), "connections are refused while the last requests are answered");
    assert_eq!(under_way.await.unwrap().unwrap().into_inner().text, "56");
    let events: Vec<_> = stream.into_inner().collect().await;
    assert!(events.len() == 4 && events.iter().all(Result::is_ok), "{events:?}");
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_caller_and_a_health_watcher_do_not_hold_up_the_end() {
    let mut server = Setup::toml("server.drain_timeout = '25s'").start().await;
    let mut router = server.router().await;
    router.route(route_request(MATHS)).await.unwrap();
    let mut watch = health(&server).await.watch(of("")).await.unwrap().into_inner();
    assert_eq!(watched(&mut watch).await, Some(ServingStatus::Serving));
    let begun = Instant::now();
    server.ask_to_stop();
    assert_eq!(watched(&mut watch).await, Some(ServingStatus::NotServing));
    server.stopped().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(router.route(route_request(MATHS)).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_drain_time_is_cut_off_with_a_status() {
    let steps = std::iter::repeat_n([Step::delta("a"), Step::Pause(Duration::from_millis(50))], 1000).flatten();
    let endless = Scripted::start([Script::events(steps)]).await;
    let silent = Scripted::start([Script::hang()]).await;
    let more = "server.drain_timeout = '1s'\nsets.small.routes.maths.targets = ['p1']";
    let mut server = Setup::providers(&[endless.address(), silent.address()], more).start().await;
    let mut router = server.router().await;
    let unary = tokio::spawn(async move { router.complete(complete_request(MATHS)).await });
    let mut router = server.router().await;
    let mut stream = router.complete_stream(complete_request("Spanish for window")).await.unwrap().into_inner();
    // A tool that keeps its reflection stream open has nothing under way and is not told.
    let (_questions, receiver) = tokio::sync::mpsc::channel(1);
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let _reflection = reflection.server_reflection_info(ReceiverStream::new(receiver)).await.unwrap();
    silent.requested(1).await;
    endless.requested(1).await;

    let begun = Instant::now();
    server.ask_to_stop();
    let last = loop {
        match stream.message().await {
            Ok(Some(_)) => assert!(begun.elapsed() < Duration::from_secs(10), "it goes on"),
            last => break last,
        }
    };
    is_fault(&last.unwrap_err(), Code::Unavailable, "SHUTTING_DOWN");
    is_fault(&unary.await.unwrap().unwrap_err(), Code::Unavailable, "SHUTTING_DOWN");
    endless.client_gone(1).await;
    silent.client_gone(1).await;
    server.stopped().await;
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(10), "{took:?}");
}
