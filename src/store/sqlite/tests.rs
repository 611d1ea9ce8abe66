//! The contract on SQLite, and what only a file can suffer.

use std::path::PathBuf;

use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use super::*;
use crate::reference::{
    Fingerprint, Precondition, PromptEdit, PromptFilter, ReferenceId, Route, RouteName, SetEdit, SetName, SetPolicy,
    Store, TextHash,
};
use crate::store::contract::{self, assert_refused, store_contract};

struct Folder(TempDir);

impl Folder {
    fn file(&self) -> PathBuf {
        self.0.path().join("new/folder/semroute.db")
    }

    /// A connection that knows nothing of the store's rules.
    async fn raw(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.file()).create_if_missing(true).connect().await.unwrap()
    }

    async fn refused(&self) -> StoreError {
        SqliteStore::open(&self.file()).await.err().unwrap()
    }
}

impl contract::Home for Folder {
    type Store = SqliteStore;

    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.file()).await.unwrap()
    }
}

mod keeps {
    use super::{Folder, store_contract};

    store_contract!(Folder);
}

fn name() -> SetName {
    SetName::new("a").unwrap()
}

fn edits(from: usize, count: usize) -> Vec<PromptEdit> {
    (from..from + count)
        .map(|at| PromptEdit {
            id: Some(ReferenceId::new(&format!("{at:06}")).unwrap()),
            route: RouteName::new("code").unwrap(),
            text: format!("prompt number {at} with some words to make it as long as a prompt is on average"),
            precondition: Precondition::None,
        })
        .collect()
}

/// A set with one route and so many prompts, in a closed store.
async fn filled(prompts: usize) -> Folder {
    use contract::Home;
    let folder = Folder::new().await;
    let store = folder.open().await;
    fill(&store, prompts).await;
    store.close().await;
    folder
}

async fn fill(store: &SqliteStore, prompts: usize) {
    let set = SetEdit { name: name(), description: String::new(), policy: SetPolicy::default() };
    store.upsert_set(&set, Precondition::None).await.unwrap();
    let route: Route = serde_json::from_str(r#"{"name": "code"}"#).unwrap();
    store.upsert_route(&name(), &route, Precondition::None).await.unwrap();
    store.upsert_prompts(&name(), &edits(0, prompts)).await.unwrap();
}

async fn count(store: &SqliteStore) -> u64 {
    store.get_set(&name()).await.unwrap().prompts
}

#[tokio::test]
async fn a_foreign_file_is_left_alone() {
    for content in [b"not a database, but a letter".repeat(100), b"short".to_vec(), vec![0; 8192]] {
        let folder = Folder(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(folder.file().parent().unwrap()).unwrap();
        std::fs::write(folder.file(), &content).unwrap();
        assert_refused!(Err::<(), _>(folder.refused().await), StoreError::Damaged { place, .. }
            if place == folder.file().display().to_string());
        assert_eq!(std::fs::read(folder.file()).unwrap(), content);
    }
}

#[tokio::test]
async fn the_database_of_another_program_is_left_alone() {
    let folder = Folder(tempfile::tempdir().unwrap());
    std::fs::create_dir_all(folder.file().parent().unwrap()).unwrap();
    let mut raw = folder.raw().await;
    sqlx::raw_sql("CREATE TABLE sets (name TEXT)").execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let before = std::fs::read(folder.file()).unwrap();
    assert_refused!(Err::<(), _>(folder.refused().await), StoreError::Damaged { what, .. }
        if what == "it is the database of another program");
    assert_eq!(std::fs::read(folder.file()).unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = filled(1).await;
    let mut raw = folder.raw().await;
    sqlx::raw_sql("INSERT INTO _sqlx_migrations VALUES (99, 'later', 0, TRUE, x'00', 0)")
        .execute(&mut raw)
        .await
        .unwrap();
    raw.close().await.unwrap();
    assert_refused!(Err::<(), _>(folder.refused().await), StoreError::TooNew { found: 99, known: 1, .. });
}

#[tokio::test]
async fn a_truncated_file_is_damaged() {
    let folder = filled(500).await;
    let whole = std::fs::read(folder.file()).unwrap();
    for length in [10, 50, 99, 100, 511, 1000, 4095, 4096, 5000, 8192, whole.len() / 2, whole.len() - 4096] {
        std::fs::write(folder.file(), &whole[..length]).unwrap();
        match folder.refused().await {
            StoreError::Damaged { .. } => {}
            other => panic!("{length} of {} bytes: {other:?}", whole.len()),
        }
    }
    std::fs::write(folder.file(), &whole).unwrap();
    contract::Home::open(&folder).await;
}

#[tokio::test]
async fn an_overwritten_page_is_damaged() {
    let folder = filled(500).await;
    let whole = std::fs::read(folder.file()).unwrap();
    for page in 1..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0x5a);
        std::fs::write(folder.file(), &bytes).unwrap();
        match SqliteStore::open(&folder.file()).await {
            Err(StoreError::Damaged { .. }) => {}
            other => panic!("page {page}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn damage_met_later_is_told() {
    let folder = filled(500).await;
    let store = contract::Home::open(&folder).await;
    let bytes = std::fs::read(folder.file()).unwrap();
    let mut broken = bytes.clone();
    broken[4096..].fill(0x5a);
    std::fs::write(folder.file(), &broken).unwrap();
    let all = PromptFilter { limit: 1000, ..PromptFilter::default() };
    assert_refused!(store.list_prompts(&name(), &all).await, StoreError::Damaged { .. });
}

#[tokio::test]
async fn values_that_cannot_have_been_written_are_damage() {
    let folder = filled(2).await;
    let store = contract::Home::open(&folder).await;
    let model = Fingerprint("m".to_owned());
    let version = store.freeze(&name(), &model).await.unwrap().version;
    let vectors: Vec<_> = edits(0, 2).iter().map(|edit| (TextHash::of(&edit.text), vec![1.0])).collect();
    store.put_embeddings(&model, &vectors).await.unwrap();
    let mut raw = folder.raw().await;
    let mut change = async |sql: &'static str| sqlx::raw_sql(sql).execute(&mut raw).await.map(drop).unwrap();

    change("UPDATE embeddings SET vector = x'000000'").await;
    assert_refused!(store.version_prompts(&name(), version, None, 5).await, StoreError::Damaged { what, .. }
        if what.contains("3 bytes"));
    change("UPDATE versions SET state = 'half done'").await;
    assert_refused!(store.get_version(&name(), version).await, StoreError::Damaged { .. });
}

#[tokio::test]
async fn a_folder_in_its_place_makes_it_unavailable() {
    let folder = Folder(tempfile::tempdir().unwrap());
    std::fs::create_dir_all(folder.file()).unwrap();
    assert_refused!(Err::<(), _>(folder.refused().await), StoreError::Unavailable { doing: "opening it", .. });
    let below = folder.0.path().join("file");
    std::fs::write(&below, "").unwrap();
    let refused = SqliteStore::open(&below.join("semroute.db")).await;
    assert_refused!(refused, StoreError::Unavailable { doing: "creating its folder", .. });
}

#[tokio::test]
async fn a_full_disk_fails_the_write_and_no_other() {
    let (store, _folder) = SqliteStore::temporary().await;
    fill(&store, 10).await;
    let limit = async |sql: &'static str| {
        let mut writer = store.writer.acquire().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut *writer).await.unwrap();
    };
    limit("PRAGMA max_page_count = 1").await; // SQLite takes the present size for a limit below it.
    let refused = store.upsert_prompts(&name(), &edits(10, 1000)).await;
    assert_refused!(refused, StoreError::Unavailable { doing: "writing reference prompts", .. });
    assert_eq!(count(&store).await, 10);
    limit("PRAGMA max_page_count = 1073741823").await;
    store.upsert_prompts(&name(), &edits(10, 1000)).await.unwrap();
    assert_eq!(count(&store).await, 1010);
}

#[tokio::test]
async fn a_lock_that_is_not_given_back_makes_writes_unavailable() {
    let folder = filled(1).await;
    let store = SqliteStore::open_with(&folder.file(), Duration::from_millis(50)).await.unwrap();
    let mut raw = folder.raw().await;
    let lock = raw.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let refused = store.upsert_prompts(&name(), &edits(1, 1)).await;
    assert_refused!(refused, StoreError::Unavailable { doing: "writing reference prompts", .. });
    assert_eq!(count(&store).await, 1, "reads go on");
    lock.rollback().await.unwrap();
    store.upsert_prompts(&name(), &edits(1, 1)).await.unwrap();
}

#[tokio::test]
async fn a_transaction_dropped_midway_leaves_nothing() {
    let (store, _folder) = SqliteStore::temporary().await;
    fill(&store, 1).await;
    for _ in 0..3 {
        let mut work = store.write("writing").await.unwrap();
        prompts::upsert(work.connection(), &name(), &edits(1, 50)).await.unwrap();
        drop(work);
        assert_eq!(count(&store).await, 1);
    }
    store.upsert_prompts(&name(), &edits(1, 1)).await.unwrap();
    assert_eq!(count(&store).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_can_be_opened_by_many_at_once() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("semroute.db");
        let mut opens = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let path = path.clone();
            opens.spawn(async move { SqliteStore::open(&path).await.map(drop) });
        }
        while let Some(opened) = opens.join_next().await {
            opened.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_deleted_file_fails_the_check() {
    let folder = filled(1).await;
    let store = contract::Home::open(&folder).await;
    store.check().await.unwrap();
    std::fs::remove_file(folder.file()).unwrap();
    assert_refused!(store.check().await, StoreError::Unavailable { .. });
    store.close().await;
    assert_refused!(store.list_sets().await, StoreError::Unavailable { doing: "listing reference sets", .. });
}

// SCRATCH
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scratch_measure() {
    use std::time::Instant;
    let folder = tempfile::tempdir_in("/work").unwrap();
    let path = folder.path().join("semroute.db");
    let store = SqliteStore::open(&path).await.unwrap();
    fill(&store, 0).await;
    let say = |what: &str, start: Instant| println!("{what}: {:?}", start.elapsed());
    let t = Instant::now();
    for from in (0..100_000).step_by(1000) {
        let t = Instant::now();
        store.upsert_prompts(&name(), &edits(from, 1000)).await.unwrap();
        if from % 20_000 == 0 {
            say("  upsert 1000", t);
        }
    }
    say("upsert 100k", t);
    let t = Instant::now();
    for from in (0..100_000).step_by(10000) {
        store.upsert_prompts(&name(), &edits(from, 10000)).await.unwrap();
    }
    say("upsert 100k unchanged", t);
    let model = Fingerprint("f".repeat(64));
    let t = Instant::now();
    let v = store.freeze(&name(), &model).await.unwrap().version;
    say("freeze", t);
    let t = Instant::now();
    let (mut in_missing, mut in_put) = (Duration::ZERO, Duration::ZERO);
    loop {
        let s = Instant::now();
        let m = store.missing_embeddings(&name(), v, 256).await.unwrap();
        in_missing += s.elapsed();
        if m.is_empty() {
            break;
        }
        let e: Vec<_> = m.iter().map(|(h, _)| (*h, vec![0.5_f32; 384])).collect();
        let s = Instant::now();
        store.put_embeddings(&model, &e).await.unwrap();
        in_put += s.elapsed();
    }
    say("embed all", t);
    println!("  missing {in_missing:?} put {in_put:?} for 391 calls");
    let t = Instant::now();
    let mut after = None;
    let mut n = 0;
    loop {
        let page = store.version_prompts(&name(), v, after.as_ref(), 1000).await.unwrap();
        if page.is_empty() {
            break;
        }
        n += page.len();
        after = Some(page.last().unwrap().id.clone());
    }
    say("version_prompts", t);
    assert_eq!(n, 100_000);
    let t = Instant::now();
    store.publish(&name(), v, "{}", 1).await.unwrap();
    say("publish", t);
    let t = Instant::now();
    let v2 = store.freeze(&name(), &model).await.unwrap().version;
    say("freeze 2", t);
    let t = Instant::now();
    store.publish(&name(), v2, "{}", 0).await.unwrap();
    say("publish 2", t);
    let v3 = store.freeze(&name(), &model).await.unwrap().version;
    let t = Instant::now();
    store.publish(&name(), v3, "{}", 0).await.unwrap();
    say("publish 3 (removes one)", t);
    let t = Instant::now();
    store.get_set(&name()).await.unwrap();
    say("get_set", t);
    let t = Instant::now();
    for _ in 0..100 {
        store.published_versions().await.unwrap();
    }
    say("100 published_versions", t);
    let t = Instant::now();
    let mut f = PromptFilter { limit: 1000, ..Default::default() };
    loop {
        let page = store.list_prompts(&name(), &f).await.unwrap();
        let Some(l) = page.last() else { break };
        f.after = Some(l.id.clone());
    }
    say("list_prompts all", t);
    let t = Instant::now();
    f = PromptFilter { limit: 1000, route: Some(RouteName::new("code").unwrap()), ..Default::default() };
    loop {
        let page = store.list_prompts(&name(), &f).await.unwrap();
        let Some(l) = page.last() else { break };
        f.after = Some(l.id.clone());
    }
    say("list_prompts of route", t);
    let t = Instant::now();
    SqliteStore::open(&path).await.unwrap();
    say("open with embeddings", t);
    let t = Instant::now();
    store.forget_embeddings(&name(), v3).await.unwrap();
    say("forget", t);
    store.close().await;
    println!("file {} MiB", std::fs::metadata(&path).unwrap().len() >> 20);
    let t = Instant::now();
    let store = SqliteStore::open(&path).await.unwrap();
    say("open", t);
    let t = Instant::now();
    store.delete_set(&name(), Precondition::None).await.unwrap();
    say("delete_set", t);
}
