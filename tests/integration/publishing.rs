//! From the draft to what is served: Publish and reindex, here and by other processes, and Rollback.

use std::sync::Arc;
use std::time::Duration;

use semroute::grpc::pb;
use semroute::index::IndexConfig;
use semroute::publish::{BuildRequest, Builder, Counters, IndexFolder};
use semroute::reference::{Fingerprint, Store};
use semroute::store::SqliteStore;
use tonic::{Code, Status};

use crate::expect::{LIVE_WITHIN, eventually, refused, stale};
use crate::server::{Setup, TestServer, route_request, set_name};

pub(crate) const SET: &str = "small";

/// Enough for a build of a few texts on a machine that does much else.
const BUILT_WITHIN: Duration = Duration::from_secs(60);

/// With one thread, so that a build takes its time on a large machine too.
async fn slow_server() -> TestServer {
    Setup::toml("[embedding]\nworkers = 1\n").start().await
}

pub(crate) async fn write(server: &TestServer, prompts: &[(&str, &str, &str)]) {
    let prompts = prompts.iter().map(|(id, route, text)| pb::ReferencePromptWrite {
        prompt: Some(pb::ReferencePrompt {
            id: (*id).to_owned(),
            route: (*route).to_owned(),
            text: (*text).to_owned(),
            ..pb::ReferencePrompt::default()
        }),
        expected_revision: None,
    });
    let request = pb::UpsertReferencePromptsRequest { set: SET.to_owned(), prompts: prompts.collect() };
    server.references().await.upsert_reference_prompts(request).await.unwrap();
}

pub(crate) async fn publish(server: &TestServer) -> Result<pb::PublishResponse, Status> {
    let request = pb::PublishRequest { set: SET.to_owned(), expected_revision: None };
    server.references().await.publish(request).await.map(tonic::Response::into_inner)
}

async fn get_set(server: &TestServer) -> pb::ReferenceSet {
    server.references().await.get_set(pb::GetSetRequest { name: SET.to_owned() }).await.unwrap().into_inner()
}

async fn versions(server: &TestServer) -> Vec<pb::SetVersion> {
    let request = pb::ListVersionsRequest { set: SET.to_owned() };
    server.references().await.list_versions(request).await.unwrap().into_inner().versions
}

/// The version that answers.
pub(crate) async fn served(server: &TestServer) -> Result<u64, Status> {
    let response = server.router().await.route(route_request("how long do I boil an egg")).await?.into_inner();
    Ok(response.decision.unwrap().versions.unwrap().set_version)
}

async fn status_of_set(server: &TestServer) -> pb::ServedSet {
    let status = server.admin().await.get_status(pb::GetStatusRequest {}).await.unwrap().into_inner();
    status.sets.into_iter().find(|set| set.name == SET).unwrap()
}

async fn served_within(server: &TestServer, version: u64) {
    eventually(&format!("version {version} is served"), LIVE_WITHIN, async || {
        (served(server).await.unwrap() == version).then_some(())
    })
    .await;
}

async fn ended(server: &TestServer, id: &str) -> pb::Reindex {
    let mut admin = server.admin().await;
    eventually("the build ends", BUILT_WITHIN, async || {
        let reindex = admin.get_reindex(pb::GetReindexRequest { id: id.to_owned() }).await.unwrap().into_inner();
        assert!(reindex.embedded <= reindex.to_embed, "{reindex:?}");
        (reindex.state() != pb::ReindexState::Running).then_some(reindex)
    })
    .await
}

async fn start_reindex(server: &TestServer, all: bool) -> Result<pb::Reindex, Status> {
    let request = pb::StartReindexRequest { set: SET.to_owned(), all };
    server.admin().await.start_reindex(request).await.map(tonic::Response::into_inner)
}

/// The store as another process has it open, and what it would build with.
async fn elsewhere(server: &TestServer, model: Option<&str>) -> (Arc<dyn Store>, Builder) {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&server.app.config.store_path()).await.unwrap());
    let embedding = &server.app.embedding;
    let model = model.map_or_else(|| embedding.files.fingerprint(), |model| Fingerprint(model.to_owned()));
    let dimension = embedding.files.manifest().dimension;
    let folder = IndexFolder::new(server.app.config.indexes_path());
    let (queue, index) = (embedding.queue.clone(), IndexConfig::default());
    let builder = Builder::new(Arc::clone(&store), queue, model, dimension, index, folder);
    (store, builder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_says_what_it_built_and_can_be_taken_back() {
    let server = Setup::default().start().await;
    let mut references = server.references().await;
    // Nothing has changed since the start: the live version is reported, and no other is made.
    let unchanged = publish(&server).await.unwrap();
    assert_eq!((unchanged.set.unwrap().published_version, unchanged.report.unwrap().version), (1, 1));
    assert_eq!(versions(&server).await.len(), 1);
    let rollback = pb::RollbackRequest { set: SET.to_owned() };
    refused(references.rollback(rollback.clone()).await, Code::FailedPrecondition, "UNKNOWN_VERSION");

    let before = get_set(&server).await;
    write(&server, &[("new-1", "cooking", "how do I poach an egg"), ("new-2", "maths", "square root of 49")]).await;
    let expecting = |revision| pb::PublishRequest { set: SET.to_owned(), expected_revision: Some(revision) };
    stale(references.publish(expecting(before.revision)).await, SET);
    let revision = get_set(&server).await.revision;
    let published = references.publish(expecting(revision)).await.unwrap().into_inner();
    let report = published.report.unwrap();
    assert_eq!((report.version, report.prompts, report.routes, report.embedded), (2, 34, 4, 2));
    assert_eq!((report.index.as_str(), report.recall_at_10, report.relabelled), ("flat", None, 0));
    assert!(report.agreement.unwrap() > 0.6 && report.previous_agreement.unwrap() > 0.6, "{report:?}");
    let set = published.set.unwrap();
    assert_eq!((set.published_version, set.previous_version, set.revision), (2, 1, revision));
    assert_eq!(served(&server).await.unwrap(), 2);

    // The same text under another route is told, and costs no embedding.
    write(&server, &[("new-1", "maths", "how do I poach an egg")]).await;
    let report = publish(&server).await.unwrap().report.unwrap();
    assert_eq!((report.version, report.embedded, report.relabelled), (3, 0, 1));

    let listed = versions(&server).await;
    let brief: Vec<_> = listed.iter().map(|version| (version.version, version.live, version.prompts)).collect();
    assert_eq!(brief, [(3, true, 34), (2, false, 34), (1, false, 32)]);
    assert!(listed.iter().all(|version| {
        let complete = version.state == "ready" && version.routes == 4 && version.model.len() == 16;
        complete && version.created_at.unwrap().seconds > 1_700_000_000 && version.report.is_some()
    }));
    assert_eq!(listed[1].draft_revision, revision);

    for (expected, previous) in [(2, 3), (3, 2)] {
        let set = references.rollback(rollback.clone()).await.unwrap().into_inner();
        assert_eq!((set.published_version, set.previous_version), (expected, previous));
        assert_eq!(served(&server).await.unwrap(), expected);
    }
    // A version that was taken back is not live for being the newest: the draft is published anew.
    references.rollback(rollback).await.unwrap();
    assert_eq!(publish(&server).await.unwrap().set.unwrap().published_version, 4);
    assert_eq!(served(&server).await.unwrap(), 4);
    for _ in 0..4 {
        write(&server, &[("new-2", "maths", "square root of 49")]).await;
        write(&server, &[("new-2", "cooking", "square root of 49")]).await;
        write(&server, &[("new-2", "maths", "square root of 49")]).await;
        publish(&server).await.unwrap();
    }
    let kept: Vec<u64> = versions(&server).await.iter().map(|version| version.version).collect();
    assert_eq!(kept, [8, 7, 6], "old versions are removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_is_refused_and_the_live_version_stays() {
    let server = Setup::default().start().await;
    let mut references = server.references().await;
    let named = |set: &str| pb::PublishRequest { set: set.to_owned(), expected_revision: None };
    refused(references.publish(named("nope")).await, Code::NotFound, "UNKNOWN_SET");
    let empty = pb::UpsertSetRequest {
        set: Some(pb::ReferenceSet { name: "empty".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    references.upsert_set(empty).await.unwrap();
    refused(references.publish(named("empty")).await, Code::FailedPrecondition, "EMPTY_SET");
    refused(
        server.router().await.route(pb::RouteRequest { reference_set: "empty".to_owned(), ..route_request("x") }).await,
        Code::NotFound,
        "UNKNOWN_SET",
    );
    let nope = |set: &str| pb::RollbackRequest { set: set.to_owned() };
    refused(references.rollback(nope("nope")).await, Code::NotFound, "UNKNOWN_SET");
    let nope = pb::ListVersionsRequest { set: "nope".to_owned() };
    refused(references.list_versions(nope).await, Code::NotFound, "UNKNOWN_SET");

    // The route that the policy falls back to is deleted behind its back.
    let route = Some(pb::Route { name: "rest".to_owned(), ..Default::default() });
    let route = pb::UpsertRouteRequest { set: SET.to_owned(), route, expected_revision: None };
    references.upsert_route(route).await.unwrap();
    let policy = pb::SetPolicy {
        fallback: pb::FallbackKind::DefaultRoute.into(),
        default_route: "rest".to_owned(),
        ..Default::default()
    };
    let set = pb::ReferenceSet { name: SET.to_owned(), policy: Some(policy), ..Default::default() };
    references.upsert_set(pb::UpsertSetRequest { set: Some(set), ..Default::default() }).await.unwrap();
    let delete = pb::DeleteRouteRequest { set: SET.to_owned(), name: "rest".to_owned(), ..Default::default() };
    references.delete_route(delete).await.unwrap();
    let status = refused(publish(&server).await, Code::FailedPrecondition, "BUILD_REFUSED");
    assert!(status.message().contains("rest"), "{status:?}");
    assert_eq!(served(&server).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_build_of_a_set_runs_at_a_time_and_tells_how_far_it_is() {
    let server = slow_server().await;
    let mut admin = server.admin().await;
    let begun = start_reindex(&server, true).await.unwrap();
    assert_eq!(begun.set, SET);
    refused(start_reindex(&server, false).await, Code::Aborted, "ALREADY_BUILDING");
    refused(publish(&server).await, Code::Aborted, "ALREADY_BUILDING");
    let done = ended(&server, &begun.id).await;
    assert_eq!((done.state(), done.to_embed, done.embedded), (pb::ReindexState::Done, 32, 32), "{done:?}");
    assert!(done.started_at.unwrap().seconds <= done.ended_at.unwrap().seconds && done.error.is_empty());
    assert_eq!((done.report.unwrap().version, served(&server).await.unwrap()), (2, 2));

    // Two at once: at least one is built, and what the other was told is true.
    write(&server, &[("new", "cooking", "how do I peel a mango")]).await;
    let (one, other) = tokio::join!(publish(&server), publish(&server));
    assert!(one.is_ok() || other.is_ok());
    for answer in [one, other] {
        match answer {
            Ok(published) => assert_eq!(published.set.unwrap().published_version, 3),
            refusal => drop(refused(refusal, Code::Aborted, "ALREADY_BUILDING")),
        }
    }

    let unknown = pb::StartReindexRequest { set: "nope".to_owned(), all: false };
    refused(admin.start_reindex(unknown).await, Code::NotFound, "UNKNOWN_SET");
    let id = uuid_of_nobody();
    refused(admin.get_reindex(pb::GetReindexRequest { id }).await, Code::NotFound, "UNKNOWN_REINDEX");
    let listed = admin.list_reindexes(pb::ListReindexesRequest {}).await.unwrap().into_inner().reindexes;
    assert_eq!(listed.last().map(|first| first.id.as_str()), Some(begun.id.as_str()), "newest first");
    let reports: Vec<u64> = listed.iter().filter_map(|reindex| Some(reindex.report.as_ref()?.version)).collect();
    assert!(reports.starts_with(&[3]) && reports.ends_with(&[2]), "{listed:?}");
}

fn uuid_of_nobody() -> String {
    "01890a5d-ac96-774b-bcce-b302099a8057".to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_does_not_stop_its_publish() {
    let server = slow_server().await;
    let texts: Vec<String> = (0..24).map(|n| format!("how do I cook dish number {n}")).collect();
    let prompts: Vec<_> = texts.iter().map(|text| (text.as_str(), "cooking", text.as_str())).collect();
    write(&server, &prompts).await;
    let mut admin = server.admin().await;
    let mut references = server.references().await;
    let calling = tokio::spawn(async move {
        references.publish(pb::PublishRequest { set: SET.to_owned(), expected_revision: None }).await
    });
    let begun = eventually("the build is under way", BUILT_WITHIN, async || {
        let listed = admin.list_reindexes(pb::ListReindexesRequest {}).await.unwrap().into_inner().reindexes;
        listed.into_iter().find(|reindex| reindex.set == SET)
    })
    .await;
    calling.abort();
    let done = ended(&server, &begun.id).await;
    assert_eq!((done.state(), done.embedded), (pb::ReindexState::Done, 24), "{done:?}");
    assert_eq!(served(&server).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_does_is_served_soon() {
    let server = Setup::default().start().await;
    let (store, builder) = elsewhere(&server, None).await;
    let build = async || builder.build(&set_name(), &BuildRequest::default(), &Counters::default()).await.unwrap();
    for version in 2..4 {
        write(&server, &[("new", "cooking", &format!("how do I bake {version} pies"))]).await;
        assert_eq!(build().await.report.version, version);
        served_within(&server, version).await;
    }
    store.rollback(&set_name(), 2).await.unwrap();
    served_within(&server, 2).await;

    // A version of a model that this server does not run is told, and the one that is served stays.
    let (_, foreign) = elsewhere(&server, Some("feedfacefeedface")).await;
    let built = foreign.build(&set_name(), &BuildRequest::default(), &Counters::default()).await.unwrap();
    let problem = eventually("the problem is told", LIVE_WITHIN, async || {
        let served = status_of_set(&server).await;
        (!served.problem.is_empty()).then_some(served)
    })
    .await;
    assert!(problem.problem.contains("feedfacefeedface") && problem.version == 2, "{problem:?}");
    assert_eq!(served(&server).await.unwrap(), 2);
    // Back on what it can serve, nothing is wrong any more.
    store.rollback(&set_name(), 2).await.unwrap();
    eventually("the problem is gone", LIVE_WITHIN, async || {
        status_of_set(&server).await.problem.is_empty().then_some(())
    })
    .await;
    assert_ne!(get_set(&server).await.published_version, built.report.version);

    store.delete_set(&set_name(), semroute::reference::Precondition::None).await.unwrap();
    let gone = eventually("the set is withdrawn", LIVE_WITHIN, async || served(&server).await.err()).await;
    refused::<()>(Err(gone), Code::NotFound, "UNKNOWN_SET");
}

/// Two builds of one set in two processes: the one whose version was swept away says so, and not that a version that
/// nobody named does not exist.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_another_process_supersedes_says_so() {
    let server = slow_server().await;
    let (store, _) = elsewhere(&server, None).await;
    let begun = start_reindex(&server, true).await.unwrap();
    eventually("a version is being built", BUILT_WITHIN, async || {
        let building = versions(&server).await.into_iter().find(|version| version.state == "building");
        building.filter(|version| version.report.is_none())
    })
    .await;
    let model = Fingerprint("feedfacefeedface".to_owned());
    store.freeze(&set_name(), &model, false).await.unwrap();
    let failed = ended(&server, &begun.id).await;
    assert_eq!(failed.state(), pb::ReindexState::Failed, "{failed:?}");
    assert!(failed.error.contains("another build") && failed.report.is_none(), "{failed:?}");
    assert_eq!(served(&server).await.unwrap(), 1);
    // The next one is not held up by what is left of either.
    assert_eq!(ended(&server, &start_reindex(&server, true).await.unwrap().id).await.state(), pb::ReindexState::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_set_is_served_no_more() {
    let server = Setup::default().start().await;
    let delete = pb::DeleteSetRequest { name: SET.to_owned(), expected_revision: None };
    server.references().await.delete_set(delete).await.unwrap();
    refused(served(&server).await, Code::NotFound, "UNKNOWN_SET");
    let status = server.admin().await.get_status(pb::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.ready, status.sets), (false, vec![]));
}
