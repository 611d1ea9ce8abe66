//! Reference prompts of a draft.

use super::*;
use crate::reference::StoreError;

pub(crate) async fn are_listed_in_pages_by_id(store: &impl Store) {
    with_routes(store, "a").await;
    with_routes(store, "other").await;
    write(store, "other", &[edit("0", "code", "not mine")]).await;
    // Bytewise: capitals first, the private-use character before the emoji, which UTF-16 would order the other way.
    let ids = ["10", "9", "B", "a", "a b", "b", "é", "\u{e000}", "😀"];
    let mut edits: Vec<_> = ids.iter().map(|id| edit(id, "code", id)).collect();
    for (at, edit) in edits.iter_mut().enumerate() {
        edit.route = route_name(if at % 2 == 0 { "code" } else { "talk" });
    }
    edits.reverse();
    write(store, "a", &edits).await;

    let evens: Vec<&str> = ids.iter().copied().step_by(2).collect();
    for (route, expected) in [(None, ids.to_vec()), (Some(route_name("code")), evens)] {
        for limit in [1, 2, 100] {
            let mut filter = PromptFilter { route: route.clone(), after: None, limit };
            let mut listed = Vec::new();
            loop {
                let page = store.list_prompts(&set("a"), &filter).await.unwrap();
                assert!(page.len() <= limit as usize);
                let Some(last) = page.last() else { break };
                filter.after = Some(last.id.clone());
                listed.extend(page.into_iter().map(|prompt| prompt.id.to_string()));
            }
            assert_eq!(listed, expected);
        }
    }
    let nothing = PromptFilter { limit: 0, ..PromptFilter::default() };
    assert_eq!(store.list_prompts(&set("a"), &nothing).await.unwrap(), []);
    let unknown = PromptFilter { route: Some(route_name("nowhere")), limit: 5, ..PromptFilter::default() };
    assert_eq!(store.list_prompts(&set("a"), &unknown).await.unwrap(), []);
}

pub(crate) async fn keep_any_text(store: &impl Store) {
    with_routes(store, "a").await;
    let long = "長い".repeat(10_000);
    let texts = ["", " ", "'; DROP TABLE sets; --", "e\u{301}", "é", "a\u{0}b\r\n", "👩‍👩‍👧", "\u{feff}bom", &long];
    let edits: Vec<_> = texts.iter().enumerate().map(|(at, text)| edit(&format!("ключ {at}"), "code", text)).collect();
    let written = write(store, "a", &edits).await;
    for (prompt, text) in written.iter().zip(texts) {
        assert_eq!(prompt.text, text);
        assert_eq!(&store.get_prompt(&set("a"), &prompt.id).await.unwrap(), prompt);
    }
    assert_eq!(all_prompts(store, "a").await, written);
}

pub(crate) async fn without_an_id_are_one_per_text(store: &impl Store) {
    with_routes(store, "a").await;
    let nameless = |route: &str| PromptEdit { id: None, ..edit("unused", route, "hello") };
    let first = write(store, "a", &[nameless("code")]).await;
    assert_eq!(first[0].id.as_str(), TextHash::of("hello").short());
    let second = write(store, "a", &[nameless("talk")]).await;
    assert_eq!((&second[0].id, second[0].route.as_str()), (&first[0].id, "talk"));
    assert_eq!(all_prompts(store, "a").await, second);
}

pub(crate) async fn keep_what_they_are_for(store: &impl Store) {
    with_routes(store, "a").await;
    let measured = |edit: PromptEdit| PromptEdit { purpose: PromptPurpose::Evaluation, ..edit };
    let first = write(store, "a", &[edit("1", "code", "x"), measured(edit("2", "code", "y"))]).await;
    assert_eq!(first.iter().map(|prompt| prompt.purpose.as_str()).collect::<Vec<_>>(), ["reference", "evaluation"]);
    assert_eq!(all_prompts(store, "a").await, first);
    let changed = write(store, "a", &[measured(edit("1", "code", "x"))]).await;
    assert!(changed[0].revision > first[0].revision, "another purpose is a change");

    let version = store.freeze(&set("a"), &Fingerprint("m".to_owned()), false).await.unwrap();
    store.put_embeddings(&version.model, &[embedding("x"), embedding("y")]).await.unwrap();
    let prompts = store.version_prompts(&version.set, version.version, None, 9).await.unwrap();
    let texts = store.version_texts(&version.set, version.version, None, 9).await.unwrap();
    let purposes = prompts.iter().map(|prompt| prompt.purpose).chain(texts.iter().map(|prompt| prompt.purpose));
    assert!(purposes.eq([PromptPurpose::Evaluation; 4]));
}

pub(crate) async fn that_stand_there_keep_their_revision(store: &impl Store) {
    with_routes(store, "a").await;
    let before = write(store, "a", &[edit("1", "code", "x"), edit("2", "code", "y"), edit("3", "code", "z")]).await;
    assert!(before.iter().all(|prompt| prompt.revision == 4));

    let same = write(store, "a", &[edit("2", "code", "y"), edit("1", "code", "x")]).await;
    assert_eq!(same, [before[1].clone(), before[0].clone()]);
    assert_eq!(revision(store, "a").await, 4);
    write(store, "a", &[]).await;
    assert_eq!(revision(store, "a").await, 4);

    let mixed = write(store, "a", &[edit("1", "code", "x"), edit("2", "talk", "y"), edit("3", "code", "new")]).await;
    assert_eq!(mixed.iter().map(|prompt| prompt.revision).collect::<Vec<_>>(), [4, 5, 5]);
    assert_eq!((all_prompts(store, "a").await, revision(store, "a").await), (mixed, 5));
}

pub(crate) async fn are_written_all_or_none(store: &impl Store) {
    with_routes(store, "a").await;
    let before = write(store, "a", &[edit("1", "code", "x"), edit("2", "code", "y")]).await;
    let at = |revision, edit| PromptEdit { precondition: Precondition::Revision(revision), ..edit };

    let unknown = [edit("1", "talk", "new"), edit("9", "nowhere", "new")];
    assert_refused!(
        store.upsert_prompts(&set("a"), &unknown).await,
        StoreError::UnknownRoute { route, .. } if route.as_str() == "nowhere"
    );
    for (stale, present) in [(at(0, edit("2", "code", "y")), 4), (at(3, edit("2", "code", "new")), 4)] {
        assert_refused!(
            store.upsert_prompts(&set("a"), &[edit("1", "talk", "new"), stale]).await,
            StoreError::Stale { resource, present: now, .. } if resource == "reference prompt 2" && now == present
        );
    }
    assert_refused!(
        store.upsert_prompts(&set("a"), &[edit("1", "talk", "new"), at(4, edit("9", "code", "new"))]).await,
        StoreError::Stale { present: 0, expected: 4, .. }
    );
    assert_eq!((all_prompts(store, "a").await, revision(store, "a").await), (before, 4));

    write(store, "a", &[at(4, edit("1", "code", "new")), at(0, edit("9", "code", "new"))]).await;
    assert_eq!(all_prompts(store, "a").await.len(), 3);
}

pub(crate) async fn take_the_last_edit_of_an_id(store: &impl Store) {
    with_routes(store, "a").await;
    let create = |edit| PromptEdit { precondition: Precondition::Revision(0), ..edit };
    let edits = [create(edit("1", "code", "first")), edit("2", "code", "between"), create(edit("1", "talk", "last"))];
    let written = write(store, "a", &edits).await;
    let texts: Vec<_> = written.iter().map(|prompt| prompt.text.as_str()).collect();
    assert_eq!(texts, ["last", "between", "last"]);
    assert_eq!(all_prompts(store, "a").await, written[1..].iter().rev().cloned().collect::<Vec<_>>());

    let there_and_back = [edit("1", "code", "elsewhere"), edit("1", "talk", "last")];
    write(store, "a", &there_and_back).await;
    assert_eq!(revision(store, "a").await, 4, "nothing changed in the end");
    assert_refused!(
        store.upsert_prompts(&set("a"), &[create(edit("1", "code", "x")), edit("1", "code", "y")]).await,
        StoreError::Stale { .. }
    );
}

pub(crate) async fn are_deleted_all_or_none(store: &impl Store) {
    with_routes(store, "a").await;
    write(store, "a", &[edit("1", "code", "x"), edit("2", "code", "y"), edit("3", "code", "z")]).await;
    let free = |name: &str| (id(name), Precondition::None);
    assert_refused!(
        store.delete_prompts(&set("a"), &[free("1"), free("9")]).await,
        StoreError::UnknownPrompt { id, .. } if id.as_str() == "9"
    );
    assert_refused!(
        store.delete_prompts(&set("a"), &[free("1"), (id("2"), Precondition::Revision(3))]).await,
        StoreError::Stale { resource, expected: 3, present: 4 } if resource == "reference prompt 2"
    );
    store.delete_prompts(&set("a"), &[]).await.unwrap();
    assert_eq!((all_prompts(store, "a").await.len(), revision(store, "a").await), (3, 4));

    store.delete_prompts(&set("a"), &[free("1"), (id("2"), Precondition::Revision(4)), free("1")]).await.unwrap();
    assert_eq!((all_prompts(store, "a").await.len(), revision(store, "a").await), (1, 5));
    assert_refused!(store.get_prompt(&set("a"), &id("1")).await, StoreError::UnknownPrompt { .. });
    let again = write(store, "a", &[edit("1", "code", "x")]).await;
    assert_eq!(again[0].revision, 6, "a number of the deleted prompt was given again");
}
