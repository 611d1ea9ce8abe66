//! kill -9 at moments that nobody chose: what was acknowledged is there, what was embedded is not embedded again, and
//! what was live stays live.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use semroute::grpc::pb;
use semroute::publish::sync_files;
use semroute::reference::{Precondition, Store, read_directory};
use semroute::store::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tokio_stream::StreamExt;

use crate::binary::{Home, jsonl, many_texts};
use crate::expect::{LIVE_WITHIN, eventually};
use crate::server::{models_dir, route_request, set_name};

/// Longest wait for something that happens while much is embedded.
const PATIENCE: Duration = Duration::from_secs(120);

/// Texts that a build embeds between two saves.
const SAVE_EVERY: u64 = 64;

/// Embeddings in the store, as another process sees them; `None` while there is no such store.
async fn saved(store: &Path) -> Option<u64> {
    let options = SqliteConnectOptions::new().filename(store).busy_timeout(Duration::from_secs(10));
    let mut connection = SqliteConnection::connect_with(&options).await.ok()?;
    let count: Option<i64> =
        sqlx::query_scalar("SELECT count(*) FROM embeddings").fetch_one(&mut connection).await.ok();
    connection.close().await.ok()?;
    count.map(|count| u64::try_from(count).unwrap())
}

async fn saved_at_least(store: &Path, count: u64) -> u64 {
    eventually("embeddings are saved", PATIENCE, async || saved(store).await.filter(|saved| *saved >= count)).await
}

/// With one thread, so that a build takes its time on a large machine too.
async fn slow_home() -> Home {
    let home = Home::new().await;
    home.configure(&models_dir().await, "[embedding]\nworkers = 1\n");
    home
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_outlives_a_kill() {
    let home = Home::new().await;
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..4 {
        let served = home.serve().await;
        let mut writing = Vec::new();
        // Several at once, in calls of one prompt and of many.
        for (writer, prompts) in [(0, 1), (1, 5), (2, 40)] {
            let mut references = served.references().await;
            writing.push(tokio::spawn(async move {
                let mut written = Vec::new();
                for call in 0.. {
                    let prompts: Vec<pb::ReferencePrompt> = (0..prompts)
                        .map(|n| pb::ReferencePrompt {
                            id: format!("{round}-{writer}-{call}-{n}"),
                            route: "maths".to_owned(),
                            text: format!("round {round} writer {writer} call {call} prompt {n}"),
                            ..pb::ReferencePrompt::default()
                        })
                        .collect();
                    let writes = prompts.iter().map(|prompt| pb::ReferencePromptWrite {
                        prompt: Some(prompt.clone()),
                        expected_revision: None,
                    });
                    let request =
                        pb::UpsertReferencePromptsRequest { set: "small".to_owned(), prompts: writes.collect() };
                    match references.upsert_reference_prompts(request).await {
                        Ok(_) => written.push(prompts),
                        Err(_) => return written,
                    }
                }
                written
            }));
        }
        // The moment is random; that it comes soon is not.
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..400))).await;
        served.kill().await;
        for task in writing {
            for prompt in task.await.unwrap().concat() {
                acknowledged.insert(prompt.id, prompt.text);
            }
        }

        let served = home.serve().await;
        let export = pb::ExportRequest { set: "small".to_owned() };
        let prompts = served.references().await.export(export).await.unwrap().into_inner();
        let kept: BTreeMap<String, String> = prompts
            .map(|prompt| prompt.map(|prompt| (prompt.id, prompt.text)))
            .collect::<Result<_, _>>()
            .await
            .unwrap();
        let lost: Vec<&String> =
            acknowledged.iter().filter(|(id, text)| kept.get(*id) != Some(text)).map(|(id, _)| id).collect();
        assert!(lost.is_empty(), "round {round}: {} of {} are lost: {lost:?}", lost.len(), acknowledged.len());
        // All or none of a call.
        for writer_and_call in
            kept.keys().filter_map(|id| id.strip_suffix("-0")).filter(|id| id.starts_with(&format!("{round}-2-")))
        {
            assert!(
                kept.contains_key(&format!("{writer_and_call}-39")),
                "half of a call was written: {writer_and_call}"
            );
        }
        served.kill().await;
    }
    assert!(!acknowledged.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_reindex_is_resumed_and_the_old_version_stays_live() {
    const TEXTS: u64 = 400;
    let home = slow_home().await;
    let served = home.serve().await;
    let before = saved(&home.store_path()).await.unwrap();
    assert_eq!(before, 32);
    let folder = home.path("big");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("numbers.jsonl"), jsonl(&many_texts(TEXTS as usize))).unwrap();
    let args = ["reindex", "--set", "small", "--files", folder.to_str().unwrap(), "--force", "--json"];
    let served_version = async || {
        let response = served.router().await.route(route_request("x")).await.unwrap().into_inner();
        response.decision.unwrap().versions.unwrap().set_version
    };

    let mut known = before;
    for _ in 0..2 {
        let mut running = home.command(&args).spawn().unwrap();
        saved_at_least(&home.store_path(), known + 1).await;
        running.kill().await.unwrap();
        let saved = saved(&home.store_path()).await.unwrap();
        assert!(saved > known && saved < before + TEXTS, "{saved} were saved: the kill came too late");
        known = saved;
        assert_eq!(served_version().await, 1);
    }
    let ended = home.run(&args).await;
    let done = ended.json();
    // What was saved is not computed again: all that a kill costs is a batch.
    let (new, embedded) = (known - before, done["report"]["embedded"].as_u64().unwrap());
    assert_eq!(new + embedded, TEXTS, "{done}");
    assert!(new >= 2 && new.is_multiple_of(SAVE_EVERY), "{new}");
    assert!(ended.stderr.contains(&format!("{new} of {TEXTS} texts are embedded already")), "{ended:?}");
    eventually("the new version is served", LIVE_WITHIN, async || {
        (served_version().await == done["report"]["version"].as_u64().unwrap()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_first_start_is_taken_up_by_the_next() {
    const TEXTS: usize = 200;
    let home = slow_home().await;
    home.write_set("small", &[("numbers", many_texts(TEXTS))]);
    let served = home.begin_to_serve();
    saved_at_least(&home.store_path(), 1).await;
    served.kill().await;
    let known = saved(&home.store_path()).await.unwrap();

    let served = home.serve().await;
    let log = served.log();
    assert!(known < 232, "the kill came too late");
    assert!(log.contains(&format!("{known} of 232 texts are embedded already")), "{log}");
    let request = pb::ListVersionsRequest { set: "small".to_owned() };
    let versions = served.references().await.list_versions(request).await.unwrap().into_inner().versions;
    let report = versions[0].report.clone().unwrap();
    assert_eq!((versions.len(), report.prompts, report.embedded), (1, 232, 232 - known));
}

/// A kill while the files are written to the store leaves a part of them in the draft. The next start must not take
/// that for the set.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_was_taken_half_is_taken_wholly_by_the_next_start() {
    let home = Home::new().await;
    let whole = read_directory(&home.path("reference-prompts/small")).unwrap();
    let half = |prompts: usize, routes: usize| {
        let mut files = whole.clone();
        files.prompts.truncate(prompts);
        files.routes.truncate(routes);
        files
    };
    // The set alone, with some routes, with some prompts; and one that somebody has begun to work on.
    for (prompts, routes, edited, expected) in
        [(0, 0, false, 32), (0, 2, false, 32), (9, 4, false, 32), (9, 4, true, 10)]
    {
        std::fs::remove_dir_all(home.path("data")).ok();
        let store = SqliteStore::open(&home.store_path()).await.unwrap();
        sync_files(&store, half(prompts, routes)).await.unwrap();
        if edited {
            let mut edit = whole.prompts[0].clone();
            edit.text = "of somebody's own".to_owned();
            edit.precondition = Precondition::None;
            store.upsert_prompts(&set_name(), &[edit]).await.unwrap();
        }
        store.close().await;
        // A mere question changes nothing.
        home.run(&["route", "--local", "x"]).await.failed(1, &["no published version"]);
        let served = home.serve().await;
        let found = served.log();
        served.kill().await;
        let store = SqliteStore::open(&home.store_path()).await.unwrap();
        let set = store.get_set(&set_name()).await.unwrap();
        assert_eq!((set.prompts, set.published), (expected, Some(1)), "{prompts} prompts, {routes} routes:\n{found}");
        store.close().await;
    }
}
