//! Routes of a draft.

use super::*;
use crate::reference::{StoreError, TargetName};

pub(crate) async fn keep_their_fields_and_are_listed_by_name(store: &impl Store) {
    with_routes(store, "a").await;
    let full = Route {
        description: "Alles über \"Geld\"".to_owned(),
        min_score: Some(0.1),
        min_similarity: Some(-0.3),
        targets: vec![TargetName::new("b").unwrap(), TargetName::new("ä").unwrap()],
        ..route("geld")
    };
    let written = store.upsert_route(&set("a"), &full, Precondition::Revision(0)).await.unwrap();
    assert_eq!(written, Route { revision: 4, ..full.clone() });
    assert_eq!(written, store.get_route(&set("a"), &full.name).await.unwrap());
    let names: Vec<_> =
        store.list_routes(&set("a")).await.unwrap().into_iter().map(|route| route.name.to_string()).collect();
    assert_eq!(names, ["code", "geld", "talk"]);

    let plain = store.upsert_route(&set("a"), &Route { revision: 99, ..route("geld") }, Precondition::None).await;
    assert_eq!(plain.unwrap(), Route { revision: 5, ..route("geld") });
    assert_eq!(store.get_set(&set("a")).await.unwrap().routes, 3);
}

pub(crate) async fn are_written_at_the_expected_revision_only(store: &impl Store) {
    with_routes(store, "a").await;
    let (name, code) = (set("a"), route("code"));
    let present = store.get_route(&name, &code.name).await.unwrap().revision;
    for expected in [0, present + 1] {
        let precondition = Precondition::Revision(expected);
        let stale = |result| {
            assert_refused!(result, StoreError::Stale { resource, expected: then, present: now }
                if resource == "route code" && then == expected && now == present);
        };
        stale(store.upsert_route(&name, &code, precondition).await.map(drop));
        stale(store.delete_route(&name, &code.name, false, precondition).await);
    }
    assert_refused!(
        store.upsert_route(&name, &route("new"), Precondition::Revision(1)).await,
        StoreError::Stale { present: 0, .. }
    );
    assert_eq!(revision(store, "a").await, 3);

    let rewritten = store.upsert_route(&name, &code, Precondition::Revision(present)).await.unwrap();
    assert!(rewritten.revision > present);
    store.delete_route(&name, &code.name, false, Precondition::Revision(rewritten.revision)).await.unwrap();
    let again = store.upsert_route(&name, &code, Precondition::Revision(0)).await.unwrap();
    assert!(again.revision > rewritten.revision, "a number of the deleted route was given again");
}

pub(crate) async fn with_prompts_are_deleted_on_request_only(store: &impl Store) {
    with_routes(store, "a").await;
    let (name, code) = (set("a"), route_name("code"));
    write(store, "a", &[edit("1", "code", "x"), edit("2", "code", "y"), edit("3", "talk", "z")]).await;
    assert_refused!(
        store.delete_route(&name, &code, false, Precondition::None).await,
        StoreError::RouteNotEmpty { prompts: 2, .. }
    );
    assert_eq!((all_prompts(store, "a").await.len(), revision(store, "a").await), (3, 4));

    store.delete_route(&name, &code, true, Precondition::None).await.unwrap();
    assert_refused!(store.get_route(&name, &code).await, StoreError::UnknownRoute { route, .. } if route == code);
    assert_refused!(store.delete_route(&name, &code, true, Precondition::None).await, StoreError::UnknownRoute { .. });
    assert_eq!((all_prompts(store, "a").await.len(), revision(store, "a").await), (1, 5));
}
