//! The contract on SQLite, and what only a file can suffer.

use std::path::PathBuf;

use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use super::*;
use crate::reference::{
    Fingerprint, Precondition, PromptEdit, PromptFilter, PromptPurpose, ReferenceId, Route, RouteName, SetEdit,
    SetName, SetPolicy, Store, TextHash,
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
            purpose: PromptPurpose::Reference,
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
    assert_refused!(Err::<(), _>(folder.refused().await), StoreError::TooNew { found: 99, known: 7, .. });
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
    let version = store.freeze(&name(), &model, false).await.unwrap().version;
    let vectors: Vec<_> = edits(0, 2).iter().map(|edit| (TextHash::of(&edit.text), vec![1.0])).collect();
    store.put_embeddings(&model, &vectors).await.unwrap();
    let mut raw = folder.raw().await;
    let mut change = async |sql: &'static str| sqlx::raw_sql(sql).execute(&mut raw).await.map(drop).unwrap();

    // Embeddings can be made again: whoever builds a snapshot sees that this is none, and has it made.
    change("UPDATE embeddings SET vector = x'000000'").await;
    let prompts = store.version_prompts(&name(), version, None, 5).await.unwrap();
    assert!(prompts.len() == 2 && prompts.iter().all(|prompt| prompt.embedding.is_empty()));
    change("DELETE FROM embeddings WHERE id = (SELECT max(id) FROM embeddings)").await;
    assert_refused!(
        store.version_prompts(&name(), version, None, 5).await,
        StoreError::EmbeddingsMissing { missing: 1, .. }
    );
    change("UPDATE texts SET text = 'another text' WHERE id = (SELECT min(id) FROM texts)").await;
    let all = PromptFilter { limit: 5, ..PromptFilter::default() };
    assert_refused!(store.list_prompts(&name(), &all).await, StoreError::Damaged { what, .. }
        if what.contains("not the one that was written"));
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

#[tokio::test]
async fn commits_wait_for_the_disk_and_readers_cannot_write() {
    let (store, _folder) = SqliteStore::temporary().await;
    for (pool, query_only) in [(&store.writer, 0), (&store.readers, 1)] {
        let mut found = Vec::new();
        for pragma in ["PRAGMA synchronous", "PRAGMA foreign_keys", "PRAGMA query_only"] {
            found.push(sqlx::query_scalar::<_, i64>(pragma).fetch_one(pool).await.unwrap());
        }
        assert_eq!(found, [2, 1, query_only]);
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await.unwrap();
        assert_eq!(journal, "wal");
    }
}
