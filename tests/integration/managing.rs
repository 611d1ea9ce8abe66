//! ReferenceService: sets, routes and prompts of the draft. Imports and publishing have files of their own.

use semroute::grpc::pb;
use tonic::Code;

use crate::expect::{refused, stale, violated};
use crate::references::{References, expecting, route, set, write};
use crate::server::Setup;

const MAX_TEXT: usize = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn sets_come_change_and_go() {
    let server = Setup::default().start().await;
    let mut references = References(server.references().await);
    let policy = pb::SetPolicy { min_score: Some(0.25), ..Default::default() };
    let wanted = pb::ReferenceSet { description: "größer".to_owned(), policy: Some(policy), ..set("Prüfung 1") };
    let request = pb::UpsertSetRequest {
        set: Some(wanted.clone()),
        expected_revision: Some(0),
        ..pb::UpsertSetRequest::default()
    };
    let made = references.upsert_set(request.clone()).await.unwrap();
    assert_eq!((made.name.as_str(), made.revision, made.published_version), ("Prüfung 1", 1, 0));
    // What was not given has its default, and is told.
    let kept = made.policy.clone().unwrap();
    assert_eq!((kept.min_score, kept.min_margin, kept.min_similarity), (Some(0.25), Some(0.1), Some(0.3)));
    assert_eq!(references.get_set("Prüfung 1").await.unwrap(), made);
    let listed = references.0.list_sets(pb::ListSetsRequest {}).await.unwrap().into_inner().sets;
    assert_eq!(listed.iter().map(|set| set.name.as_str()).collect::<Vec<_>>(), ["Prüfung 1", "small"]);

    stale(references.upsert_set(request.clone()).await, "Prüfung 1");
    stale(
        references.upsert_set(pb::UpsertSetRequest { expected_revision: Some(9), ..request.clone() }).await,
        "Prüfung 1",
    );
    let absent = pb::UpsertSetRequest { set: Some(set("absent")), expected_revision: Some(3), ..Default::default() };
    stale(references.upsert_set(absent).await, "absent");

    // The mask names what is written; the rest stays.
    let masked = |paths: &[&str], expected: Option<u64>| pb::UpsertSetRequest {
        set: Some(pb::ReferenceSet { description: "new".to_owned(), ..set("Prüfung 1") }),
        expected_revision: expected,
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
    };
    let changed = references.upsert_set(masked(&["description"], Some(1))).await.unwrap();
    assert_eq!((changed.description.as_str(), changed.policy.unwrap().min_score), ("new", Some(0.25)));
    stale(references.upsert_set(masked(&["description"], Some(1))).await, "Prüfung 1");
    let changed = references.upsert_set(masked(&["policy"], None)).await.unwrap();
    assert_eq!((changed.description.as_str(), changed.policy.unwrap().min_score), ("new", Some(0.5)));
    violated(references.upsert_set(masked(&["policy", "name", "x"], None)).await, &["update_mask", "update_mask"]);
    let nowhere = pb::UpsertSetRequest { set: Some(set("nowhere")), ..masked(&["policy"], None) };
    refused(references.upsert_set(nowhere).await, Code::NotFound, "UNKNOWN_SET");

    let revision = references.get_set("Prüfung 1").await.unwrap().revision;
    let delete = |expected| pb::DeleteSetRequest { name: "Prüfung 1".to_owned(), expected_revision: expected };
    stale(references.0.delete_set(delete(Some(revision - 1))).await, "Prüfung 1");
    references.0.delete_set(delete(Some(revision))).await.unwrap();
    refused(references.0.delete_set(delete(None)).await, Code::NotFound, "UNKNOWN_SET");
    refused(references.get_set("Prüfung 1").await, Code::NotFound, "UNKNOWN_SET");
    // Made anew it does not count from the beginning: an old revision is that of the old set alone.
    let again = references.upsert_set(request).await.unwrap();
    assert!(again.revision > revision, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_come_change_and_go() {
    let server = Setup::default().start().await;
    let mut references = References(server.references().await);
    references.make_set("s").await;
    let wanted = pb::Route {
        description: "über Mathe".to_owned(),
        min_score: Some(0.25),
        min_similarity: Some(-0.5),
        targets: vec!["b".to_owned(), "a".to_owned()],
        ..route("mathe")
    };
    let upsert = |expected| pb::UpsertRouteRequest {
        set: "s".to_owned(),
        route: Some(wanted.clone()),
        expected_revision: expected,
    };
    let made = references.upsert_route(upsert(Some(0))).await.unwrap();
    assert_eq!(made, pb::Route { revision: made.revision, ..wanted.clone() });
    stale(references.upsert_route(upsert(Some(0))).await, "mathe");
    let again = references.upsert_route(upsert(Some(made.revision))).await.unwrap();
    assert!(again.revision > made.revision);
    stale(references.upsert_route(upsert(Some(made.revision))).await, "mathe");
    let elsewhere = pb::UpsertRouteRequest { set: "t".to_owned(), ..upsert(None) };
    refused(references.upsert_route(elsewhere).await, Code::NotFound, "UNKNOWN_SET");

    references.make_route("s", "a").await;
    let list = |set: &str| pb::ListRoutesRequest { set: set.to_owned() };
    let routes = references.0.list_routes(list("s")).await.unwrap().into_inner().routes;
    assert_eq!(routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(), ["a", "mathe"]);
    refused(references.0.list_routes(list("t")).await, Code::NotFound, "UNKNOWN_SET");

    references.write("s", vec![write("1", "mathe", "eins"), write("2", "a", "zwei")]).await.unwrap();
    let delete = |name: &str, with_prompts, expected| pb::DeleteRouteRequest {
        set: "s".to_owned(),
        name: name.to_owned(),
        with_prompts,
        expected_revision: expected,
    };
    refused(references.0.delete_route(delete("nope", true, None)).await, Code::NotFound, "UNKNOWN_ROUTE");
    let full = references.0.delete_route(delete("mathe", false, None)).await;
    refused(full, Code::FailedPrecondition, "ROUTE_NOT_EMPTY");
    stale(references.0.delete_route(delete("mathe", true, Some(made.revision))).await, "mathe");
    references.0.delete_route(delete("mathe", true, Some(again.revision))).await.unwrap();
    refused(references.get("s", "1").await, Code::NotFound, "UNKNOWN_REFERENCE_PROMPT");
    assert_eq!(references.get("s", "2").await.unwrap().text, "zwei");
    references.delete("s", &[("2", None)]).await.unwrap();
    references.0.delete_route(delete("a", false, None)).await.unwrap();
    assert_eq!(references.get_set("s").await.unwrap().routes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_come_change_and_go_all_or_none() {
    let server = Setup::default().start().await;
    let mut references = References(server.references().await);
    references.make_set("s").await;
    references.make_route("s", "a").await;
    references.make_route("s", "b").await;

    let first =
        references.write("s", vec![write("", "a", "eins"), expecting(0, write("2", "a", "zwei"))]).await.unwrap();
    let id = first[0].id.clone();
    assert_eq!((id.len(), first[1].id.as_str()), (16, "2"));
    assert_eq!(references.get("s", &id).await.unwrap(), first[0]);

    // Nothing changes: no revision grows. Something changes: its revision grows, and that of the draft.
    let before = references.get_set("s").await.unwrap().revision;
    assert_eq!(references.write("s", vec![write("", "a", "eins")]).await.unwrap()[0], first[0]);
    assert_eq!(references.get_set("s").await.unwrap().revision, before);
    let changed = references.write("s", vec![expecting(first[1].revision, write("2", "b", "zwei"))]).await.unwrap();
    assert!(changed[0].revision > first[1].revision && changed[0].route == "b");
    assert_eq!(references.get_set("s").await.unwrap().revision, changed[0].revision);

    // One write of several that may not happen: none happens.
    let new = || write("3", "a", "drei");
    stale(references.write("s", vec![new(), expecting(first[1].revision, write("2", "a", "x"))]).await, "2");
    stale(references.write("s", vec![new(), expecting(0, write("2", "a", "x"))]).await, "2");
    stale(references.write("s", vec![expecting(4, new())]).await, "3");
    let no_route = references.write("s", vec![new(), write("4", "nope", "x")]).await;
    refused(no_route, Code::NotFound, "UNKNOWN_ROUTE");
    refused(references.write("t", vec![new()]).await, Code::NotFound, "UNKNOWN_SET");
    refused(references.get("s", "3").await, Code::NotFound, "UNKNOWN_REFERENCE_PROMPT");
    refused(references.get("t", "3").await, Code::NotFound, "UNKNOWN_SET");

    stale(references.delete("s", &[(&id, None), ("2", Some(first[1].revision))]).await, "2");
    refused(references.delete("s", &[(&id, None), ("9", None)]).await, Code::NotFound, "UNKNOWN_REFERENCE_PROMPT");
    assert_eq!(references.get_set("s").await.unwrap().prompts, 2);
    references.delete("s", &[(&id, Some(first[0].revision)), ("2", Some(changed[0].revision))]).await.unwrap();
    assert_eq!(references.get_set("s").await.unwrap().prompts, 0);
    refused(references.delete("s", &[(&id, None)]).await, Code::NotFound, "UNKNOWN_REFERENCE_PROMPT");
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_listed_page_by_page() {
    let server = Setup::default().start().await;
    let mut references = References(server.references().await);
    references.make_set("s").await;
    references.make_route("s", "even").await;
    references.make_route("s", "odd").await;
    let routes = ["even", "odd"];
    let writes = (0..250).map(|n| write(&format!("{n:03}"), routes[n % 2], &format!("text {n}"))).collect();
    references.write("s", writes).await.unwrap();

    let all: Vec<String> = (0..250).map(|n| format!("{n:03}")).collect();
    let odd: Vec<String> = all.iter().skip(1).step_by(2).cloned().collect();
    for (route, page_size, expected, pages) in
        [("", 0, &all, 3), ("", 1_000, &all, 1), ("", 249, &all, 2), ("odd", 20, &odd, 7), ("none-such", 5, &vec![], 1)]
    {
        let found = references.pages("s", route, page_size).await;
        assert_eq!((found.len(), &found.concat()), (pages, expected), "route {route:?}, {page_size} a page");
    }
    // The last page may be full, and then an empty one follows.
    assert_eq!(references.pages("s", "odd", 25).await.concat(), odd);

    let list = |set: &str, route: &str, page_size, page_token: &str| pb::ListReferencePromptsRequest {
        set: set.to_owned(),
        route: route.to_owned(),
        page_size,
        page_token: page_token.to_owned(),
    };
    refused(references.0.list_reference_prompts(list("t", "", 0, "")).await, Code::NotFound, "UNKNOWN_SET");
    let wrong = references.0.list_reference_prompts(list("", " r", 1_001, "a\nb")).await;
    violated(wrong, &["set", "route", "page_token", "page_size"]);
}

/// gRPC clients take no message above 4 MiB unless they are told to, and 100 prompts may hold 6.25 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn long_prompts_come_in_pages_that_any_client_takes() {
    let server = Setup::default().start().await;
    let mut references = References(server.references().await);
    references.make_set("s").await;
    references.make_route("s", "r").await;
    let long = |n: usize| format!("{n:04}{}", "x".repeat(MAX_TEXT - 4));
    for from in [0, 40] {
        let writes = (from..from + 40).map(|n| write(&format!("{n:03}"), "r", &long(n))).collect();
        references.write("s", writes).await.unwrap();
    }
    let pages = references.pages("s", "", 100).await;
    assert!(pages.len() > 1);
    assert_eq!(pages.concat(), (0..80).map(|n| format!("{n:03}")).collect::<Vec<_>>());
    assert_eq!(references.export("s").await.unwrap().len(), 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violated_field_is_named() {
    let server = Setup::default().start().await;
    let mut references = References(server.references().await);
    references.make_set("s").await;
    references.make_route("s", "r").await;

    let policy = |policy: pb::SetPolicy| pb::UpsertSetRequest {
        set: Some(pb::ReferenceSet { policy: Some(policy), ..set("s") }),
        ..Default::default()
    };
    let default_route = |route: &str| pb::SetPolicy {
        fallback: pb::FallbackKind::DefaultRoute.into(),
        default_route: route.to_owned(),
        ..Default::default()
    };
    let out_of_range = pb::SetPolicy {
        min_score: Some(f32::NAN),
        min_margin: Some(-0.1),
        min_similarity: Some(f32::INFINITY),
        ..Default::default()
    };
    let bounds = ["set.policy.min_score", "set.policy.min_margin", "set.policy.min_similarity"];
    violated(references.upsert_set(policy(out_of_range)).await, &bounds);
    for route in ["", "none", "absent"] {
        violated(references.upsert_set(policy(default_route(route))).await, &["set.policy.default_route"]);
    }
    references.upsert_set(policy(default_route("r"))).await.unwrap();
    let unasked = pb::SetPolicy { fallback: pb::FallbackKind::Abstain.into(), ..default_route("r") };
    let unasked =
        pb::SetPolicy { default_route: "r".to_owned(), fallback: pb::FallbackKind::Abstain.into(), ..unasked };
    violated(references.upsert_set(policy(unasked)).await, &["set.policy.default_route"]);
    let unknown = pb::SetPolicy { fallback: 77, ..Default::default() };
    violated(references.upsert_set(policy(unknown)).await, &["set.policy.fallback"]);
    violated(references.upsert_set(pb::UpsertSetRequest::default()).await, &["set"]);
    let everything = pb::UpsertSetRequest {
        set: Some(pb::ReferenceSet {
            name: "a\tb".to_owned(),
            description: "d".repeat(4_097),
            policy: Some(pb::SetPolicy { min_score: Some(2.0), ..default_route(" r") }),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["revision".to_owned()] }),
        expected_revision: None,
    };
    let expected = ["set.name", "set.description", "set.policy.default_route", "set.policy.min_score", "update_mask"];
    violated(references.upsert_set(everything).await, &expected);

    let upsert_route =
        |set: &str, route| pb::UpsertRouteRequest { set: set.to_owned(), route, expected_revision: None };
    violated(references.upsert_route(upsert_route("", None)).await, &["set", "route"]);
    violated(references.upsert_route(upsert_route("s", Some(route(" none")))).await, &["route.name"]);
    let bad = pb::Route {
        name: "x".repeat(129),
        description: "d".repeat(4_097),
        min_score: Some(1.5),
        min_similarity: Some(f32::NAN),
        targets: std::iter::once(String::new()).chain((0..32).map(|n| n.to_string())).collect(),
        ..Default::default()
    };
    let expected = [
        "set",
        "route.name",
        "route.description",
        "route.targets",
        "route.targets[0]",
        "route.min_score",
        "route.min_similarity",
    ];
    violated(references.upsert_route(upsert_route(" s", Some(bad))).await, &expected);

    violated(references.write("s", vec![]).await, &["prompts"]);
    violated(references.write("s", (0..1_001).map(|n| write("", "r", &n.to_string())).collect()).await, &["prompts"]);
    let writes = vec![
        write("1", "r", " \n\t"),
        write("2", "r", &"x".repeat(MAX_TEXT + 1)),
        write("1", "r", "one again"),
        write("3\u{7f}", " none", "misspelt"),
        write("", "r", "the same text"),
        pb::ReferencePromptWrite::default(),
        write("", "other", "the same text"),
        write("", "r", "the same text"),
    ];
    let expected = [
        "set",
        "prompts[0].prompt.text",
        "prompts[1].prompt.text",
        "prompts[2].prompt.id",
        "prompts[3].prompt.id",
        "prompts[3].prompt.route",
        "prompts[5].prompt",
        "prompts[6].prompt.id",
    ];
    violated(references.write("", writes).await, &expected);
    references.write("s", vec![write("4", "r", &"é".repeat(MAX_TEXT / 2))]).await.unwrap();
    let many: Vec<(String, Option<u64>)> = (0..1_001).map(|n| (n.to_string(), None)).collect();
    let many: Vec<(&str, Option<u64>)> = many.iter().map(|(id, expected)| (id.as_str(), *expected)).collect();
    violated(references.delete("s", &many).await, &["prompts"]);
    violated(references.delete("", &[]).await, &["set", "prompts"]);
    let expected = ["prompts[1].id", "prompts[2].id"];
    violated(references.delete("s", &[("4", None), ("", None), ("4", None)]).await, &expected);

    let get = |set: &str, id: &str| pb::GetReferencePromptRequest { set: set.to_owned(), id: id.to_owned() };
    violated(references.0.get_reference_prompt(get("", "")).await.map(drop), &["set", "id"]);
    let delete = pb::DeleteRouteRequest::default();
    violated(references.0.delete_route(delete).await, &["set", "name"]);
    violated(references.0.delete_set(pb::DeleteSetRequest::default()).await, &["name"]);
    violated(references.get_set("").await, &["name"]);
    violated(references.export("").await, &["set"]);
    violated(references.0.publish(pb::PublishRequest::default()).await, &["set"]);
    violated(references.0.rollback(pb::RollbackRequest::default()).await, &["set"]);
    violated(references.0.list_versions(pb::ListVersionsRequest::default()).await, &["set"]);
    let mut admin = server.admin().await;
    violated(admin.start_reindex(pb::StartReindexRequest::default()).await, &["set"]);
    violated(admin.get_reindex(pb::GetReindexRequest { id: "7".to_owned() }).await, &["id"]);
    assert_eq!(references.pages("s", "", 0).await.concat(), ["4"]);
}
