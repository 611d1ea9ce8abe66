//! Files that are not what they were: the store, its embeddings, the model, the reference prompts. What can be made
//! again is made again; everything else is named, at once and without a panic.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use semroute::app::Embedding;
use semroute::config::Config;
use semroute::embed::Embedding as Vector;
use semroute::model::Silent;
use semroute::publish::{Counters, LiveSets, bring_up, sync_files};
use semroute::reference::{SnapshotCell, Store, read_directory};
use semroute::store::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;

use crate::binary::Home;
use crate::server::{MODEL, Setup, models_dir, set_name};

/// A fault in a file is heard of within this time, also on a busy machine.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// Runs statements on a database behind the store's back.
pub(crate) async fn execute(path: &Path, statements: &str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_used_is_named() {
    let home = Home::new().await;
    let path = home.store_path();
    let store = SqliteStore::open(&path).await.unwrap();
    sync_files(&store, read_directory(&home.path("reference-prompts/small")).unwrap()).await.unwrap();
    store.close().await;
    let whole = std::fs::read(&path).unwrap();
    assert!(whole.len() > 32 * 1024);

    let garbage = |from: usize, to: usize| {
        let mut bytes = whole.clone();
        bytes[from..to].iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 7919 % 251) as u8);
        bytes
    };
    let cases: [(&str, Vec<u8>); 6] = [
        ("cut in the middle", whole[..whole.len() / 2].to_vec()),
        ("cut within the header", whole[..60].to_vec()),
        ("cut within a page", whole[..whole.len() - 100].to_vec()),
        ("garbage from the beginning", garbage(0, whole.len())),
        ("garbage in the pages", garbage(4096, whole.len())),
        ("text", b"this was never a database\n".repeat(100)),
    ];
    for (case, bytes) in cases {
        std::fs::write(&path, &bytes).unwrap();
        for command in [&["serve"][..], &["reindex"], &["route", "--local", "x"]] {
            let begun = Instant::now();
            let ended = home.run(command).await;
            ended.failed(1, &["semroute.db"]);
            assert!(ended.stderr.contains("is damaged"), "{case}: {ended:?}");
            assert!(begun.elapsed() < TOLD_WITHIN);
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{case}: a damaged file is left as it is");
    }

    // An empty file is what a kill leaves of a store that was just being made.
    std::fs::write(&path, b"").unwrap();
    home.serve().await.kill().await;
    let ended = home.run(&["route", "--local", "--json", "what is 2 plus 2"]).await;
    assert_eq!(ended.json()["route"], "maths");

    std::fs::remove_dir_all(home.path("data")).unwrap();
    std::fs::create_dir(home.path("data")).unwrap();
    execute(&path, "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('of another program')").await;
    home.run(&["serve"]).await.failed(1, &["semroute.db", "another program"]);

    std::fs::write(&path, &whole).unwrap();
    execute(
        &path,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'of the future', 1, x'00', 0)",
    )
    .await;
    home.run(&["serve"]).await.failed(1, &["semroute.db", "newer semroute", "99"]);

    // Values that this program never writes.
    for (statement, named) in [
        ("UPDATE sets SET policy = '{'", "policy"),
        ("UPDATE sets SET name = ''", "name"),
        ("UPDATE routes SET targets = '7'", "targets"),
        ("UPDATE texts SET text = 'quite another text' WHERE id = 3", "not the one that was written"),
    ] {
        std::fs::remove_dir_all(home.path("data")).unwrap();
        std::fs::create_dir(home.path("data")).unwrap();
        std::fs::write(&path, &whole).unwrap();
        execute(&path, statement).await;
        let ended = home.run(&["serve"]).await;
        ended.failed(1, &[named]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_dir_that_cannot_hold_a_store_is_named() {
    let home = Home::new().await;
    std::fs::write(home.path("data"), "a file").unwrap();
    home.run(&["serve"]).await.failed(1, &["data", "cannot be used"]);
    std::fs::remove_file(home.path("data")).unwrap();
    std::fs::create_dir_all(home.store_path()).unwrap();
    home.run(&["serve"]).await.failed(1, &["semroute.db"]);
    std::fs::remove_dir_all(home.path("data")).unwrap();

    std::fs::create_dir(home.path("data")).unwrap();
    let read_only = |read_only| {
        let mut permissions = std::fs::metadata(home.path("data")).unwrap().permissions();
        permissions.set_readonly(read_only);
        std::fs::set_permissions(home.path("data"), permissions).unwrap();
    };
    read_only(true);
    // Whoever may write everywhere meets no read-only folder.
    if std::fs::write(home.path("data/probe"), "").is_err() {
        home.run(&["serve"]).await.failed(1, &["semroute.db", "cannot be used"]);
    }
    read_only(false);
}

/// Bad vectors never get into a snapshot; good ones are made in their place.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_embeddings_are_made_again() {
    let server = Setup::default().start().await;
    let app = &server.app;
    let path = app.config.store_path();
    let first_text = "SELECT id FROM embeddings ORDER BY id LIMIT 1";
    let nan = "0000c07f".repeat(384);
    let zero = "00000000".repeat(384);
    let long = "0000803f".repeat(384);
    let cases = [
        ("gone", format!("DELETE FROM embeddings WHERE id = ({first_text})")),
        ("all gone", "DELETE FROM embeddings".to_owned()),
        ("wrong dimension", format!("UPDATE embeddings SET vector = x'0000803f' WHERE id = ({first_text})")),
        ("empty", format!("UPDATE embeddings SET vector = x'' WHERE id = ({first_text})")),
        ("no floats", format!("UPDATE embeddings SET vector = substr(vector, 1, 1535) WHERE id = ({first_text})")),
        ("NaN", format!("UPDATE embeddings SET vector = x'{nan}' WHERE id = ({first_text})")),
        ("zero", format!("UPDATE embeddings SET vector = x'{zero}' WHERE id = ({first_text})")),
        ("norm 19", format!("UPDATE embeddings SET vector = x'{long}'")),
        ("of another model", "UPDATE embeddings SET model = 'feedfacefeedface'".to_owned()),
    ];
    let mut vectors: HashMap<String, Vector> = HashMap::new();
    for (case, statement) in cases {
        execute(&path, &statement).await;
        let live = LiveSets::new(app.store.clone(), app.builder.clone(), SnapshotCell::default());
        // A server that runs takes no notice of such a version, and says why.
        live.refresh().await.unwrap();
        assert!(live.snapshots().all().is_empty() && live.problems().len() == 1, "{case}");
        let set = app.store.get_set(&set_name()).await.unwrap();
        let counters = Counters::default();
        bring_up(&live, &app.builder, &set, true, &counters).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(live.problems().is_empty(), "{case}");
        let snapshot = live.snapshots().get("small").unwrap();
        assert_eq!(snapshot.references.len(), 32, "{case}");
        // Every prompt is found by its own text.
        for (row, reference) in snapshot.references.iter().enumerate() {
            let text = reference.text.to_string();
            let vector = match vectors.get(&text) {
                Some(vector) => vector,
                None => {
                    let embedded = app.embedding.queue.embed_patiently(text.as_str().into()).await.unwrap();
                    vectors.entry(text).or_insert(embedded.embedding)
                }
            };
            let nearest = snapshot.nearest(vector, 1)[0];
            assert!(nearest.reference as usize == row && nearest.similarity > 0.999, "{case}: {nearest:?}");
        }
    }
}

/// A folder of models whose one model can be changed without touching the real one. Files that are not changed are
/// links, and the stamp saves hashing them.
struct Models {
    folder: TempDir,
}

impl Models {
    async fn new() -> Self {
        let original = models_dir().await.join(MODEL);
        let models = Self { folder: TempDir::new().unwrap() };
        let dir = models.dir();
        std::fs::create_dir_all(dir.join("1_Pooling")).unwrap();
        for file in ["config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"] {
            std::os::unix::fs::symlink(original.join(file), dir.join(file)).unwrap();
        }
        std::fs::copy(original.join(".verified"), dir.join(".verified")).ok();
        let manifest = std::fs::read_to_string(original.join("model.toml")).unwrap();
        let (manifest, _) = manifest.split_once("[[sources]]").unwrap();
        let nowhere = models.folder.path().join("nowhere");
        let manifest = format!("{manifest}\n[[sources]]\nkind = 'folder'\npath = '{}'\n", nowhere.display());
        std::fs::write(dir.join("model.toml"), manifest).unwrap();
        models
    }

    /// A manifest that names neither sizes nor hashes: only what is in the files can show that they are wrong.
    async fn without_hashes() -> Self {
        let models = Self::new().await;
        let path = models.dir().join("model.toml");
        let manifest = std::fs::read_to_string(&path).unwrap();
        let kept = manifest.lines().filter(|line| !line.starts_with("size =") && !line.starts_with("sha256 ="));
        std::fs::write(&path, kept.collect::<Vec<_>>().join("\n")).unwrap();
        models
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn dir(&self) -> std::path::PathBuf {
        self.folder.path().join(MODEL)
    }

    fn change(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.dir().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }

    fn set_in_config(&self, field: &str, value: serde_json::Value) {
        self.change("config.json", |bytes| {
            let mut config: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            config[field] = value;
            *bytes = serde_json::to_vec(&config).unwrap();
        });
    }

    /// Loads it as every command does; what is said of it.
    async fn load(&self) -> String {
        let text = format!("models_dir = '{}'\nembedding.workers = 1\n", self.path().display());
        let config = Config::parse(&text, std::iter::empty(), "test").unwrap();
        let mut error: &dyn std::error::Error =
            &Embedding::start(&config, MODEL, &Silent::shared()).await.err().expect("a damaged model was loaded");
        let mut said = error.to_string();
        while let Some(cause) = error.source() {
            said.push_str(&format!(": {cause}"));
            error = cause;
        }
        said
    }
}

type Change = fn(&Models);

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_that_of_its_manifest_is_named() {
    let home = Home::new().await;
    let cases: [(&str, Change); 6] = [
        ("model.safetensors", |models| models.change("model.safetensors", |bytes| bytes.truncate(1 << 20))),
        ("model.safetensors", |models| models.change("model.safetensors", |bytes| bytes[50_000_000] ^= 1)),
        ("tokenizer.json", |models| models.change("tokenizer.json", |bytes| bytes.truncate(1_000))),
        ("tokenizer.json", |models| std::fs::remove_file(models.dir().join("tokenizer.json")).unwrap()),
        ("config.json", |models| models.set_in_config("hidden_size", 768.into())),
        ("model.toml", |models| models.change("model.toml", |bytes| bytes.extend(b"dimension = 12\n"))),
    ];
    for (at, (file, change)) in cases.into_iter().enumerate() {
        let models = Models::new().await;
        change(&models);
        home.configure(models.path(), "");
        let begun = Instant::now();
        home.run(&["serve"]).await.failed(1, &[file]);
        assert!(begun.elapsed() < TOLD_WITHIN, "{file}");
        if at % 2 == 0 && file != "model.toml" {
            let verified = home.run(&["model", "verify", "--json"]).await;
            assert!(verified.code == Some(1) && verified.stdout.contains(file), "{verified:?}");
            let listed = home.run(&["model", "list"]).await;
            assert!(listed.code == Some(0) && listed.stdout.contains("damaged"), "{listed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_files_disagree_is_named_even_without_hashes() {
    let cases: [(&[&str], Change); 14] = [
        (&["config.json", "hidden_size 384"], |models| models.set_in_config("hidden_size", 768.into())),
        (&["config.json", "max_position"], |models| models.set_in_config("max_position_embeddings", 16.into())),
        (&["config.json", "bert"], |models| models.set_in_config("model_type", "gpt2".into())),
        (&["config.json", "JSON"], |models| models.change("config.json", |bytes| bytes.truncate(100))),
        (&["config.json", "heads"], |models| models.set_in_config("num_attention_heads", 0.into())),
        (&["config.json", "heads"], |models| models.set_in_config("num_attention_heads", 7.into())),
        (&["config.json"], |models| models.set_in_config("hidden_act", "none-such".into())),
        (&["model.safetensors"], |models| models.set_in_config("vocab_size", 7.into())),
        (&["model.safetensors"], |models| models.set_in_config("num_hidden_layers", 12.into())),
        (&["model.safetensors"], |models| models.set_in_config("intermediate_size", 8.into())),
        (&["tokenizer.json"], |models| models.change("tokenizer.json", |bytes| *bytes = b"{\"model\": {}}".to_vec())),
        (&["tokenizer.json"], |models| models.change("tokenizer.json", |bytes| bytes.truncate(1_000))),
        (&["model.safetensors"], |models| models.change("model.safetensors", |bytes| bytes.truncate(1 << 20))),
        // A length of the header that no memory holds.
        (&["model.safetensors"], |models| {
            models.change("model.safetensors", |bytes| {
                bytes.truncate(100);
                bytes[..8].fill(0xff);
            })
        }),
    ];
    for (named, change) in cases {
        let models = Models::without_hashes().await;
        change(&models);
        let said = models.load().await;
        assert!(named.iter().all(|named| said.contains(named)), "{named:?} are not in {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_faults_of_all_reference_files_are_told_with_their_lines() {
    let home = Home::new().await;
    let folder = home.path("reference-prompts/small");
    std::fs::write(
        folder.join("maths.jsonl"),
        b"{\"text\": \"good\", \"id\": \"1\"}\n{\"text\": \"bad \xff\"}\n{\"text\": \"  \"}\n{\"text\": \"other\", \"id\": \"1\"}\n",
    )
    .unwrap();
    std::fs::write(
        folder.join("cooking.jsonl"),
        format!("{{\"text\": \"cut\n\n{{\"label\": \"x\"}}\n[1]\n{{\"text\": \"{}\"}}\n", "x".repeat(64 * 1024 + 1)),
    )
    .unwrap();
    let expected = [
        "7 faults",
        "maths.jsonl:2: not valid UTF-8 from byte 15",
        "maths.jsonl:3: text is empty",
        "maths.jsonl:4: id 1 is taken by",
        "cooking.jsonl:1: not valid JSON",
        "cooking.jsonl:3: text is missing",
        "cooking.jsonl:4: not a JSON object",
        "cooking.jsonl:5: text has 65537 bytes",
    ];
    let folder = folder.to_str().unwrap();
    for command in [&["serve"][..], &["reindex", "--files", folder], &["eval", "--references", folder, "--test", "x"]] {
        let ended = home.run(command).await;
        if command[0] == "eval" {
            ended.failed(1, &["x cannot be read"]);
        } else {
            ended.failed(1, &expected);
        }
    }
    // Nothing of it was taken.
    let store = SqliteStore::open(&home.store_path()).await.unwrap();
    assert!(store.list_sets().await.unwrap().is_empty());
}
