//! The audit log of a server that is killed under load: no answer that a client has got is missing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use semroute::grpc::pb;
use tonic::Status;

use crate::binary::Home;
use crate::recording::{REQUIRED, entries, verified};
use crate::server::{complete_request, models_dir, route_request};

/// What every caller was told before the server was killed.
type Answered = Arc<Mutex<Vec<String>>>;

/// Asks until the server has gone.
async fn ask(
    mut router: pb::router_service_client::RouterServiceClient<tonic::transport::Channel>,
    kind: usize,
    answered: Answered,
) {
    for number in 0.. {
        let prompt = format!("what is {} times 8?", number % 50);
        let id = match kind {
            0 => router.route(route_request(&prompt)).await.map(|answer| answer.into_inner().decision),
            1 => router.complete(complete_request(&prompt)).await.map(|answer| answer.into_inner().decision),
            _ => stream(&mut router, &prompt).await,
        };
        match id {
            Ok(decision) => answered.lock().unwrap().push(decision.unwrap().decision_id),
            Err(_) => return,
        }
    }
}

async fn stream(
    router: &mut pb::router_service_client::RouterServiceClient<tonic::transport::Channel>,
    prompt: &str,
) -> Result<Option<pb::Decision>, Status> {
    let mut events = router.complete_stream(complete_request(prompt)).await?.into_inner();
    let mut decision = None;
    while let Some(event) = events.message().await? {
        match event.event {
            Some(pb::complete_event::Event::Decision(decided)) => decision = Some(decided),
            Some(pb::complete_event::Event::Served(_)) => return Ok(decision),
            _ => {}
        }
    }
    Err(Status::unavailable("no last event"))
}

/// Kills a server under load at moments that nobody chose; every answer that a client has got is in the log.
async fn kills(rounds: usize) {
    let home = Home::new().await;
    home.configure(&models_dir().await, &format!("{REQUIRED}max_file_bytes = '64 KiB'\n"));
    let dir = home.path("data/audit");
    let answered = Answered::default();
    for round in 0..rounds {
        let served = home.serve().await;
        let mut asking = Vec::new();
        for kind in [0, 0, 1, 1, 2, 2] {
            asking.push(tokio::spawn(ask(served.router().await, kind, Arc::clone(&answered))));
        }
        // The moment is random; that it comes soon is not.
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..400))).await;
        served.kill().await;
        for task in asking {
            task.await.unwrap();
        }
        let found = verified(&dir);
        assert_eq!(found.fault, None, "round {round}");
        let recorded: BTreeMap<String, String> =
            entries(&dir).into_iter().filter_map(|entry| Some((entry.decision?.id, entry.code))).collect();
        let answered = answered.lock().unwrap();
        let lost: Vec<&String> =
            answered.iter().filter(|id| recorded.get(*id).map(String::as_str) != Some("OK")).collect();
        assert!(lost.is_empty(), "round {round}: {} of {} are not recorded: {lost:?}", lost.len(), answered.len());
    }
    let count = answered.lock().unwrap().len();
    assert!(count > rounds, "{count} answers in {rounds} rounds");
    let found = verified(&dir);
    eprintln!("{rounds} kills: {count} answers, all recorded; {} lines in {} files, whole", found.lines, found.files);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_before_a_kill_is_recorded() {
    kills(5).await;
}

/// The whole measurement; `cargo test --test integration -- --ignored every_answer_before_fifty_kills`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn every_answer_before_fifty_kills_is_recorded() {
    kills(50).await;
}
