//! Versions: freezing, embeddings, publishing.

use super::*;
use crate::reference::{StoreError, VersionState};

pub(crate) async fn are_immutable_copies_of_the_draft(store: &impl Store) {
    with_routes(store, "a").await;
    write(store, "a", &[edit("1", "code", "x"), edit("2", "talk", "y")]).await;
    let frozen = build(store, "a", "m").await;
    assert!(frozen.created_at > 1_700_000_000);
    let expected = SetVersion {
        set: set("a"),
        version: 1,
        draft_revision: 4,
        state: VersionState::Building,
        model: model("m"),
        policy: SetPolicy::default(),
        routes: vec![route("code"), route("talk")],
        prompts: 2,
        created_at: frozen.created_at,
        report: String::new(),
    };
    assert_eq!(frozen, expected);
    let before = store.version_prompts(&set("a"), 1, None, 10).await.unwrap();

    write(store, "a", &[edit("1", "talk", "changed"), edit("3", "code", "new")]).await;
    store.delete_prompts(&set("a"), &[(id("2"), Precondition::None)]).await.unwrap();
    store.delete_route(&set("a"), &route_name("code"), true, Precondition::None).await.unwrap();
    assert_eq!(store.version_prompts(&set("a"), 1, None, 10).await.unwrap(), before);
    assert_eq!(store.get_version(&set("a"), 1).await.unwrap(), frozen);
    assert_refused!(store.get_version(&set("a"), 2).await, StoreError::UnknownVersion { version: 2, .. });
    assert_refused!(store.get_version(&set("a"), u64::MAX).await, StoreError::UnknownVersion { .. });
}

pub(crate) async fn that_were_killed_are_resumed(store: &impl Store) {
    with_routes(store, "a").await;
    write(store, "a", &[edit("1", "code", "x"), edit("2", "talk", "y")]).await;
    let frozen = store.freeze(&set("a"), &model("m"), false).await.unwrap();
    store.put_embeddings(&model("m"), &[embedding("x")]).await.unwrap();
    assert_eq!(store.freeze(&set("a"), &model("m"), false).await.unwrap(), frozen);
    assert_eq!(store.count_missing_embeddings(&set("a"), frozen.version).await.unwrap(), 1);

    build_and_publish(store, "a", "m", 5).await;
    assert_eq!(
        store.freeze(&set("a"), &model("m"), false).await.unwrap().version,
        2,
        "a finished version is not resumed"
    );
}

pub(crate) async fn of_an_older_draft_or_model_give_way(store: &impl Store) {
    with_routes(store, "a").await;
    write(store, "a", &[edit("1", "code", "x")]).await;
    store.freeze(&set("a"), &model("m"), false).await.unwrap();
    write(store, "a", &[edit("1", "code", "y")]).await;
    assert_eq!(store.freeze(&set("a"), &model("m"), false).await.unwrap().version, 2);
    assert_eq!(versions_of(store, "a").await, [2]);
    let frozen = store.freeze(&set("a"), &model("n"), false).await.unwrap();
    assert_eq!((frozen.version, frozen.model), (3, model("n")));
    assert_eq!(versions_of(store, "a").await, [3], "numbers are not given twice");
    assert_refused!(store.publish(&set("a"), 2, "{}", 1).await, StoreError::UnknownVersion { version: 2, .. });
}

pub(crate) async fn know_which_embeddings_they_lack(store: &impl Store) {
    with_routes(store, "a").await;
    let edits = [edit("1", "code", "x"), edit("2", "talk", "x"), edit("3", "talk", "yy"), edit("4", "code", "zzz")];
    write(store, "a", &edits).await;
    let version = store.freeze(&set("a"), &model("m"), false).await.unwrap().version;
    let name = set("a");
    assert_eq!(store.count_missing_embeddings(&name, version).await.unwrap(), 3, "a shared text counts once");
    assert_eq!(store.missing_embeddings(&name, version, 0).await.unwrap(), []);
    assert_eq!(store.missing_embeddings(&name, version, 2).await.unwrap().len(), 2);
    let mut missing = store.missing_embeddings(&name, version, 10).await.unwrap();
    missing.sort_by_key(|(_, text)| text.len());
    assert_eq!(missing, ["x", "yy", "zzz"].map(|text| (TextHash::of(text), text.to_owned())));

    store.put_embeddings(&model("m"), &[]).await.unwrap();
    store.put_embeddings(&model("m"), &[embedding("x"), embedding("zzz"), embedding("of no prompt")]).await.unwrap();
    store.put_embeddings(&model("n"), &[embedding("yy")]).await.unwrap();
    let left = store.missing_embeddings(&name, version, 10).await.unwrap();
    assert_eq!(left, [(TextHash::of("yy"), "yy".to_owned())]);
    assert_refused!(
        store.version_prompts(&name, version, None, 10).await,
        StoreError::EmbeddingsMissing { version: 1, missing: 1, model: of, .. } if of == model("m")
    );
    assert_eq!(store.version_texts(&name, version, None, 10).await.unwrap().len(), 4, "texts need no embeddings");
    assert_refused!(store.publish(&name, version, "{}", 1).await, StoreError::EmbeddingsMissing { missing: 1, .. });
    assert_refused!(store.missing_embeddings(&name, 9, 10).await, StoreError::UnknownVersion { version: 9, .. });
    assert_refused!(store.count_missing_embeddings(&name, 9).await, StoreError::UnknownVersion { .. });
}

pub(crate) async fn share_embeddings_by_text_and_model(store: &impl Store) {
    for name in ["a", "b"] {
        with_routes(store, name).await;
        write(store, name, &[edit("1", "code", "shared")]).await;
    }
    build_and_publish(store, "a", "m", 1).await;
    let in_b = store.freeze(&set("b"), &model("m"), false).await.unwrap().version;
    assert_eq!(store.count_missing_embeddings(&set("b"), in_b).await.unwrap(), 0);
    let other_model = store.freeze(&set("b"), &model("n"), false).await.unwrap().version;
    assert_eq!(store.count_missing_embeddings(&set("b"), other_model).await.unwrap(), 1);

    write(store, "a", &[edit("1", "talk", "shared"), edit("2", "code", "new text")]).await;
    let changed = store.freeze(&set("a"), &model("m"), false).await.unwrap().version;
    assert_eq!(store.count_missing_embeddings(&set("a"), changed).await.unwrap(), 1, "only the new text");
}

pub(crate) async fn give_their_prompts_in_pages_with_embeddings(store: &impl Store) {
    with_routes(store, "a").await;
    let texts = ["b", "é", "A", "10", "9"];
    write(store, "a", &texts.map(|text| edit(text, "talk", text))).await;
    let version = build(store, "a", "m").await.version;
    store.put_embeddings(&model("n"), &[(TextHash::of("b"), vec![7.0])]).await.unwrap();

    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.version_prompts(&set("a"), version, after.as_ref(), 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        listed.extend(page);
    }
    assert_eq!(listed.iter().map(|prompt| prompt.id.as_str()).collect::<Vec<_>>(), ["10", "9", "A", "b", "é"]);
    for prompt in &listed {
        assert_eq!((prompt.route.as_str(), prompt.id.as_str()), ("talk", prompt.text.as_str()));
        assert_eq!(prompt.embedding, embedding(&prompt.text).1);
    }

    let (mut texts, mut after) = (Vec::new(), None);
    loop {
        let page = store.version_texts(&set("a"), version, after.as_ref(), 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        texts.extend(page.into_iter().map(|prompt| (prompt.id, prompt.route, prompt.text)));
    }
    let same: Vec<_> = listed.into_iter().map(|prompt| (prompt.id, prompt.route, prompt.text)).collect();
    assert_eq!(texts, same);
    assert_refused!(store.version_texts(&set("a"), 9, None, 2).await, StoreError::UnknownVersion { version: 9, .. });

    let odd = vec![f32::MAX, -0.0, 1.0e-40, f32::INFINITY];
    store.put_embeddings(&model("m"), &[(TextHash::of("10"), odd.clone()), (TextHash::of("9"), vec![])]).await.unwrap();
    let replaced = store.version_prompts(&set("a"), version, None, 2).await.unwrap();
    assert_eq!((&replaced[0].embedding, &replaced[1].embedding), (&odd, &vec![]));
    assert_refused!(store.version_prompts(&set("a"), 9, None, 2).await, StoreError::UnknownVersion { version: 9, .. });
}

pub(crate) async fn can_be_embedded_anew(store: &impl Store) {
    with_routes(store, "a").await;
    write(store, "a", &[edit("x", "code", "x"), edit("y", "code", "y")]).await;
    build_and_publish(store, "a", "m", 1).await;
    let anew = store.freeze(&set("a"), &model("m"), true).await.unwrap().version;
    assert_eq!(store.count_missing_embeddings(&set("a"), anew).await.unwrap(), 2);
    assert_eq!(store.count_missing_embeddings(&set("a"), 1).await.unwrap(), 0, "the live version keeps its own");
    assert_eq!(store.version_prompts(&set("a"), 1, None, 10).await.unwrap().len(), 2);

    store.put_embeddings(&model("m"), &[embedding("x")]).await.unwrap();
    assert_eq!(store.freeze(&set("a"), &model("m"), true).await.unwrap().version, anew, "it is resumed");
    let missing = store.missing_embeddings(&set("a"), anew, 10).await.unwrap();
    assert_eq!(missing.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), ["y"]);
    assert_refused!(store.publish(&set("a"), anew, "{}", 5).await, StoreError::EmbeddingsMissing { missing: 1, .. });

    let plain = store.freeze(&set("a"), &model("m"), false).await.unwrap().version;
    assert_ne!(plain, anew, "another kind of build takes its place");
    assert_eq!(store.count_missing_embeddings(&set("a"), plain).await.unwrap(), 0);
}

pub(crate) async fn go_live_one_after_the_other(store: &impl Store) {
    with_routes(store, "a").await;
    with_routes(store, "b").await;
    let live = |set: ReferenceSet| (set.published, set.previous);
    assert_eq!(store.published_versions().await.unwrap(), []);
    let first = build(store, "a", "m").await;
    assert_eq!(live(store.get_set(&set("a")).await.unwrap()), (None, None));
    let published = store.publish(&set("a"), 1, "{\"recall\":1}", 5).await.unwrap();
    assert_eq!(live(published), (Some(1), None));
    let ready = store.get_version(&set("a"), 1).await.unwrap();
    assert_eq!(ready, SetVersion { state: VersionState::Ready, report: "{\"recall\":1}".to_owned(), ..first });

    assert_eq!(live(build_and_publish(store, "a", "m", 5).await), (Some(2), Some(1)));
    assert_eq!(live(store.publish(&set("a"), 2, "{}", 5).await.unwrap()), (Some(2), Some(1)), "again changes nothing");
    assert_eq!(live(build_and_publish(store, "a", "m", 5).await), (Some(3), Some(2)));
    assert_eq!(store.published_versions().await.unwrap(), [(set("a"), 3)]);
    build_and_publish(store, "b", "m", 5).await;
    assert_eq!(store.published_versions().await.unwrap(), [(set("a"), 3), (set("b"), 1)]);
    assert_refused!(store.publish(&set("a"), 9, "{}", 5).await, StoreError::UnknownVersion { version: 9, .. });
}

pub(crate) async fn roll_back(store: &impl Store) {
    with_routes(store, "a").await;
    let live = |set: ReferenceSet| (set.published, set.previous);
    for _ in 0..3 {
        build_and_publish(store, "a", "m", 5).await;
    }
    build(store, "a", "m").await;
    assert_eq!(live(store.rollback(&set("a"), 2).await.unwrap()), (Some(2), Some(3)));
    assert_eq!(store.published_versions().await.unwrap(), [(set("a"), 2)]);
    assert_eq!(live(store.rollback(&set("a"), 2).await.unwrap()), (Some(2), Some(3)));
    assert_eq!(live(store.rollback(&set("a"), 3).await.unwrap()), (Some(3), Some(2)));
    assert_eq!(live(store.rollback(&set("a"), 1).await.unwrap()), (Some(1), Some(3)));
    assert_refused!(store.rollback(&set("a"), 4).await, StoreError::NotReady { version: 4, .. });
    assert_refused!(store.rollback(&set("a"), 9).await, StoreError::UnknownVersion { version: 9, .. });
    assert_eq!(live(store.get_set(&set("a")).await.unwrap()), (Some(1), Some(3)));
}

pub(crate) async fn that_are_old_are_removed(store: &impl Store) {
    with_routes(store, "a").await;
    write(store, "a", &[edit("1", "code", "x")]).await;
    for _ in 0..4 {
        build_and_publish(store, "a", "m", 3).await;
    }
    assert_eq!(versions_of(store, "a").await, [4, 3, 2]);
    store.rollback(&set("a"), 2).await.unwrap();
    build(store, "a", "m").await;
    store.publish(&set("a"), 2, "{}", 0).await.unwrap();
    assert_eq!(versions_of(store, "a").await, [5, 4, 2], "live, previous, and one being built");
    build_and_publish(store, "a", "m", 0).await;
    assert_eq!(versions_of(store, "a").await, [5, 2]);
    assert_eq!(store.version_prompts(&set("a"), 2, None, 10).await.unwrap().len(), 1);
}

pub(crate) async fn leave_no_unused_embeddings(store: &impl Store) {
    with_routes(store, "a").await;
    write(store, "a", &[edit("1", "code", "old"), edit("2", "code", "stays")]).await;
    build_and_publish(store, "a", "m", 0).await;
    write(store, "a", &[edit("1", "code", "new")]).await;
    build_and_publish(store, "a", "m", 0).await;
    let missing_of = async |of: &str| {
        let version = store.freeze(&set("a"), &model(of), false).await.unwrap().version;
        let mut missing = store.missing_embeddings(&set("a"), version, 10).await.unwrap();
        missing.sort_by_key(|(_, text)| text.len());
        missing.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
    };

    write(store, "a", &[edit("3", "code", "old")]).await;
    assert!(missing_of("m").await.is_empty(), "the previous version still uses it");
    store.delete_prompts(&set("a"), &[(id("3"), Precondition::None)]).await.unwrap();
    build_and_publish(store, "a", "m", 0).await;
    write(store, "a", &[edit("3", "code", "old")]).await;
    assert_eq!(missing_of("m").await, ["old"], "no version uses it any more");

    for _ in 0..2 {
        build_and_publish(store, "a", "n", 0).await;
    }
    assert_eq!(missing_of("m").await, ["new", "old", "stays"], "no version is of that model any more");
}

pub(crate) async fn keep_their_decision_models(store: &impl Store) {
    with_routes(store, "a").await;
    write(store, "a", &[edit("1", "code", "x")]).await;
    let version = build(store, "a", "m").await.version;
    let name = set("a");
    assert_eq!(store.decision_model(&name, version).await.unwrap(), None);
    store.put_decision_model(&name, version, &[]).await.unwrap();
    store.put_decision_model(&name, version, &[0, 255, 7]).await.unwrap();
    store.publish(&name, version, "{}", 0).await.unwrap();
    assert_eq!(store.decision_model(&name, version).await.unwrap(), Some(vec![0, 255, 7]));
    assert_refused!(store.put_decision_model(&name, 9, &[1]).await, StoreError::UnknownVersion { version: 9, .. });
    assert_refused!(store.decision_model(&name, 9).await, StoreError::UnknownVersion { version: 9, .. });

    for _ in 0..2 {
        build_and_publish(store, "a", "m", 0).await;
    }
    assert_refused!(store.decision_model(&name, version).await, StoreError::UnknownVersion { .. });
    store.delete_set(&name, Precondition::None).await.unwrap();
}

pub(crate) async fn give_embeddings_by_text(store: &impl Store) {
    with_routes(store, "a").await;
    write(store, "a", &[edit("1", "code", "x"), edit("2", "code", "yy")]).await;
    build(store, "a", "m").await;
    let texts = ["x", "yy", "unknown"].map(TextHash::of);
    let mut found = store.get_embeddings(&model("m"), &texts).await.unwrap();
    found.sort_by_key(|(_, vector)| vector[0] as u32);
    assert_eq!(found, [embedding("x"), embedding("yy")]);
    assert_eq!(store.get_embeddings(&model("other"), &texts).await.unwrap(), []);
    assert_eq!(store.get_embeddings(&model("m"), &[]).await.unwrap(), []);
}
