//! Several stores on the same data, tasks at once, and calls that are dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::*;
use crate::reference::StoreError;

pub(crate) async fn data_outlives_the_store<H: Home>(home: &H) {
    let store = home.open().await;
    with_routes(&store, "a").await;
    write(&store, "a", &[edit("1", "code", "x")]).await;
    build_and_publish(&store, "a", "m", 1).await;
    let before = (
        store.list_sets().await.unwrap(),
        store.list_versions(&set("a")).await.unwrap(),
        store.version_prompts(&set("a"), 1, None, 10).await.unwrap(),
    );
    drop(store);

    let store = home.open().await;
    let after = (
        store.list_sets().await.unwrap(),
        store.list_versions(&set("a")).await.unwrap(),
        store.version_prompts(&set("a"), 1, None, 10).await.unwrap(),
    );
    assert_eq!(before, after);
}

pub(crate) async fn stores_see_each_others_writes<H: Home>(home: &H) {
    let (here, there) = (home.open().await, home.open().await);
    with_routes(&here, "a").await;
    assert_eq!(there.get_set(&set("a")).await.unwrap().routes, 2);
    write(&there, "a", &[edit("1", "code", "x")]).await;
    build_and_publish(&here, "a", "m", 1).await;
    assert_eq!(there.published_versions().await.unwrap(), [(set("a"), 1)]);
    there.delete_set(&set("a"), Precondition::None).await.unwrap();
    assert_refused!(here.get_set(&set("a")).await, StoreError::UnknownSet { .. });
}

const WRITERS: usize = 4;
const ROUNDS: usize = 12;

/// Two stores, shared by the writers in turn.
async fn stores<H: Home>(home: &H) -> Vec<Arc<H::Store>> {
    let stores = [Arc::new(home.open().await), Arc::new(home.open().await)];
    (0..WRITERS).map(|writer| stores[writer % stores.len()].clone()).collect()
}

pub(crate) async fn writers_do_not_lose_each_others_writes<H: Home>(home: &H) {
    let stores = stores(home).await;
    with_routes(&*stores[0], "a").await;
    let mut writers = JoinSet::new();
    for (writer, store) in stores.iter().cloned().enumerate() {
        writers.spawn(async move {
            for round in 0..ROUNDS {
                let text = format!("{writer} {round}");
                write(&*store, "a", &[edit(&text, "code", &text), edit("shared", "talk", &text)]).await;
                store.list_sets().await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let after = stores[1].get_set(&set("a")).await.unwrap();
    let writes = (WRITERS * ROUNDS) as u64;
    assert_eq!((after.revision, after.prompts), (3 + writes, writes + 1));
}

pub(crate) async fn one_of_many_writers_wins_a_revision<H: Home>(home: &H) {
    let stores = stores(home).await;
    let start = with_routes(&*stores[0], "a").await.revision;
    let mut writers = JoinSet::new();
    for store in &stores {
        let store = store.clone();
        writers.spawn(async move {
            let mut wins = 0;
            for round in start..start + ROUNDS as u64 {
                match store.upsert_set(&set_edit("a"), Precondition::Revision(round)).await {
                    Ok(after) => {
                        assert_eq!(after.revision, round + 1);
                        wins += 1;
                    }
                    Err(StoreError::Stale { expected, present, .. }) => assert!(expected == round && present != round),
                    Err(other) => panic!("{other:?}"),
                }
            }
            wins
        });
    }
    let mut wins = 0;
    while let Some(won) = writers.join_next().await {
        wins += won.unwrap();
    }
    assert_eq!(revision(&*stores[0], "a").await, start + wins, "every win is one write");
    assert!(wins >= 1);
}

pub(crate) async fn freezes_at_once_agree<H: Home>(home: &H) {
    let stores = stores(home).await;
    with_routes(&*stores[0], "a").await;
    write(&*stores[0], "a", &[edit("1", "code", "x"), edit("2", "code", "y")]).await;
    let mut freezes = JoinSet::new();
    for store in &stores {
        let store = store.clone();
        freezes.spawn(async move { store.freeze(&set("a"), &model("m"), false).await.unwrap() });
    }
    while let Some(frozen) = freezes.join_next().await {
        assert_eq!(frozen.unwrap().version, 1);
    }
    assert_eq!(versions_of(&*stores[0], "a").await, [1]);
}

pub(crate) async fn dropped_writes_are_whole_or_nothing<H: Home>(home: &H) {
    const CALLS: usize = 30;
    const PROMPTS: usize = 50;
    let store = home.open().await;
    with_routes(&store, "a").await;
    let mut answered = Vec::new();
    for call in 0..CALLS {
        let name = |at: usize| format!("{call:02} {at}");
        let edits: Vec<_> = (0..PROMPTS).map(|at| edit(&name(at), "code", &name(at))).collect();
        let patience = Duration::from_micros(400 * call as u64);
        let answer = tokio::time::timeout(patience, store.upsert_prompts(&set("a"), &edits)).await;
        answered.push(answer.is_ok_and(|answer| answer.is_ok()));
    }
    // Comes after a commit that was still under way when its call was dropped.
    write(&store, "a", &[edit("last", "talk", "the store still works")]).await;

    let mut written = [0; CALLS];
    for prompt in all_prompts(&store, "a").await.iter().filter(|prompt| prompt.id.as_str() != "last") {
        written[prompt.id.as_str()[..2].parse::<usize>().unwrap()] += 1;
    }
    for (call, prompts) in written.into_iter().enumerate() {
        assert!(prompts == PROMPTS || prompts == 0 && !answered[call], "{prompts} of call {call}");
    }
    let whole = written.iter().filter(|prompts| **prompts > 0).count() as u64;
    assert_eq!(revision(&store, "a").await, 3 + whole + 1);
}

pub(crate) async fn proposals_are_counted_by_all_stores<H: Home>(home: &H) {
    let stores = stores(home).await;
    with_routes(&*stores[0], "a").await;
    let mut writers = JoinSet::new();
    for (writer, store) in stores.iter().cloned().enumerate() {
        writers.spawn(async move {
            for round in 0..ROUNDS {
                let edit = super::proposals::verdict("code", "the same", &format!("{writer} {round}"));
                store.record_proposal(&edit, 10).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let all = crate::reference::ProposalFilter { limit: 10, ..Default::default() };
    let proposals = stores[1].list_proposals(&set("a"), &all).await.unwrap();
    assert_eq!(proposals.iter().map(|proposal| proposal.verdicts).collect::<Vec<_>>(), [(WRITERS * ROUNDS) as u64]);
}
