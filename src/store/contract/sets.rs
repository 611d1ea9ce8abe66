//! Sets: creation, change, deletion, and the revision of their drafts.

use super::*;
use crate::reference::{CostPolicy, Fallback, StoreError};

pub(crate) async fn are_created_changed_and_listed_by_name(store: &impl Store) {
    assert_eq!(store.list_sets().await.unwrap(), []);
    let policy = SetPolicy {
        target_accuracy: 0.9,
        cost: Some(CostPolicy { wrong_route_cost: 10.0, llm_cost: 0.1, llm_latency_cost: 0.0, llm_accuracy: 0.9 }),
        min_in_scope: 0.25,
        min_score: 0.1,
        min_margin: 0.3,
        min_similarity: -0.7,
        fallback: Fallback::DefaultRoute(route_name("général")),
    };
    let edit = SetEdit { name: set("b"), description: "zwei\n\"Sätze\"".to_owned(), policy: policy.clone() };
    let created = store.upsert_set(&edit, Precondition::Revision(0)).await.unwrap();
    let expected = ReferenceSet {
        name: set("b"),
        description: edit.description.clone(),
        policy,
        revision: 1,
        published: None,
        previous: None,
        routes: 0,
        prompts: 0,
    };
    assert_eq!(created, expected);

    for name in ["é", "a", "B", "a b"] {
        store.upsert_set(&set_edit(name), Precondition::None).await.unwrap();
    }
    let changed = store.upsert_set(&set_edit("b"), Precondition::None).await.unwrap();
    assert_eq!((changed.revision, changed.description.as_str()), (2, "about b"));
    assert_eq!(changed, store.get_set(&set("b")).await.unwrap());
    let names: Vec<_> = store.list_sets().await.unwrap().into_iter().map(|set| set.name.to_string()).collect();
    assert_eq!(names, ["B", "a", "a b", "b", "é"]);
}

pub(crate) async fn are_written_at_the_expected_revision_only(store: &impl Store) {
    let stale = |result, present_now, expected_then| {
        assert_refused!(result, StoreError::Stale { present, expected, resource }
            if present == present_now && expected == expected_then && resource == "reference set a");
    };
    stale(store.upsert_set(&set_edit("a"), Precondition::Revision(1)).await.map(drop), 0, 1);
    store.upsert_set(&set_edit("a"), Precondition::Revision(0)).await.unwrap();
    stale(store.upsert_set(&set_edit("a"), Precondition::Revision(0)).await.map(drop), 1, 0);
    store.upsert_set(&set_edit("a"), Precondition::Revision(1)).await.unwrap();
    stale(store.upsert_set(&set_edit("a"), Precondition::Revision(u64::MAX)).await.map(drop), 2, u64::MAX);
    stale(store.delete_set(&set("a"), Precondition::Revision(1)).await, 2, 1);
    store.delete_set(&set("a"), Precondition::Revision(2)).await.unwrap();
    assert_eq!(store.list_sets().await.unwrap(), []);
}

pub(crate) async fn count_every_write_of_their_drafts(store: &impl Store) {
    with_routes(store, "a").await;
    with_routes(store, "other").await;
    let name = set("a");
    assert_eq!(revision(store, "a").await, 3);
    write(store, "a", &[edit("1", "code", "x"), edit("2", "talk", "y"), edit("3", "talk", "z")]).await;
    assert_eq!(revision(store, "a").await, 4);
    store.delete_prompts(&name, &[(id("1"), Precondition::None), (id("2"), Precondition::None)]).await.unwrap();
    assert_eq!(revision(store, "a").await, 5);
    store.delete_route(&name, &route_name("code"), false, Precondition::None).await.unwrap();
    assert_eq!(revision(store, "a").await, 6);
    store.upsert_set(&set_edit("a"), Precondition::Revision(6)).await.unwrap();

    build_and_publish(store, "a", "m", 0).await;
    let now = store.get_set(&name).await.unwrap();
    assert_eq!((now.revision, now.routes, now.prompts), (7, 1, 1), "building a version is no write of the draft");
    assert_eq!(revision(store, "other").await, 3);
}

pub(crate) async fn are_deleted_with_all_they_hold(store: &impl Store) {
    for name in ["a", "kept"] {
        with_routes(store, name).await;
        write(store, name, &[edit("1", "code", "x")]).await;
        build_and_publish(store, name, "m", 2).await;
        build(store, name, "m").await;
    }
    store.delete_set(&set("a"), Precondition::None).await.unwrap();
    assert_refused!(store.get_set(&set("a")).await, StoreError::UnknownSet { set } if set.as_str() == "a");
    assert_refused!(store.get_version(&set("a"), 1).await, StoreError::UnknownSet { .. });
    assert_eq!(store.published_versions().await.unwrap(), [(set("kept"), 1)]);

    let kept = store.get_set(&set("kept")).await.unwrap();
    assert_eq!((kept.routes, kept.prompts, kept.published), (2, 1, Some(1)));
    assert_eq!(store.version_prompts(&set("kept"), 1, None, 10).await.unwrap().len(), 1);
}

pub(crate) async fn that_come_again_count_on(store: &impl Store) {
    with_routes(store, "a").await;
    write(store, "a", &[edit("1", "code", "x")]).await;
    build_and_publish(store, "a", "m", 1).await;
    let before = store.get_set(&set("a")).await.unwrap();
    store.delete_set(&set("a"), Precondition::None).await.unwrap();

    assert_refused!(
        store.upsert_set(&set_edit("a"), Precondition::Revision(before.revision)).await,
        StoreError::Stale { present: 0, .. }
    );
    let again = store.upsert_set(&set_edit("a"), Precondition::Revision(0)).await.unwrap();
    assert_eq!((again.revision, again.published, again.prompts), (before.revision + 1, None, 0));
    assert_eq!(store.freeze(&set("a"), &model("m"), false).await.unwrap().version, 2);
}

pub(crate) async fn that_are_unknown_are_named(store: &impl Store) {
    let (name, route, nobody) = (set("a"), route("r"), id("1"));
    let filter = PromptFilter { limit: 1, ..PromptFilter::default() };
    let none = Precondition::None;
    let results = [
        store.get_set(&name).await.map(drop),
        store.delete_set(&name, none).await,
        store.list_routes(&name).await.map(drop),
        store.get_route(&name, &route.name).await.map(drop),
        store.upsert_route(&name, &route, none).await.map(drop),
        store.delete_route(&name, &route.name, true, none).await,
        store.list_prompts(&name, &filter).await.map(drop),
        store.get_prompt(&name, &nobody).await.map(drop),
        store.upsert_prompts(&name, &[edit("1", "r", "x")]).await.map(drop),
        store.upsert_prompts(&name, &[]).await.map(drop),
        store.delete_prompts(&name, &[(nobody, none)]).await,
        store.freeze(&name, &model("m"), false).await.map(drop),
        store.missing_embeddings(&name, 1, 1).await.map(drop),
        store.count_missing_embeddings(&name, 1).await.map(drop),
        store.version_prompts(&name, 1, None, 1).await.map(drop),
        store.publish(&name, 1, "{}", 1).await.map(drop),
        store.rollback(&name, 1).await.map(drop),
        store.get_version(&name, 1).await.map(drop),
        store.list_versions(&name).await.map(drop),
    ];
    for (at, result) in results.into_iter().enumerate() {
        match result {
            Err(StoreError::UnknownSet { set }) if set == name => {}
            other => panic!("call {at} gave {other:?}"),
        }
    }
    store.check().await.unwrap();
}
