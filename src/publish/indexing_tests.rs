use std::sync::Mutex;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::embed::Embedding;
use crate::index::{IndexChoice, VectorMatrix};
use crate::reference::{Fingerprint, Reference, ReferenceId, SetName, SetPolicy, VersionState};

const DIMENSION: usize = 16;

fn indexing(home: &TempDir) -> Indexing {
    let config = IndexConfig { kind: IndexChoice::Hnsw, m: 8, ef_construction: 40, ..IndexConfig::default() };
    Indexing { config, folder: IndexFolder::new(home.path().to_owned()), dimension: DIMENSION }
}

/// The vector of text `at`.
fn vector(at: usize) -> Embedding {
    let values = (0..DIMENSION).map(|place| ((at * 31 + place * 17) as f32 * 0.7).sin() + 0.3).collect();
    Embedding::normalised(values).unwrap()
}

fn texts(number: Version, texts: &[usize]) -> Texts {
    let reference = |at: &usize| Reference {
        id: ReferenceId::new(&format!("id-{at}")).unwrap(),
        route: 0,
        text: format!("text {at}").into(),
    };
    let version = SetVersion {
        set: SetName::new("s").unwrap(),
        version: number,
        draft_revision: number,
        state: VersionState::Building,
        model: Fingerprint("m".to_owned()),
        policy: SetPolicy::default(),
        routes: Vec::new(),
        prompts: texts.len() as u64,
        created_at: 1,
        report: String::new(),
    };
    Texts { version, references: texts.iter().map(reference).collect() }
}

fn rows(number: Version, rows: &[usize]) -> Rows {
    let Texts { version, references } = texts(number, rows);
    let mut vectors = VectorMatrix::with_capacity(rows.len(), DIMENSION);
    rows.iter().for_each(|at| vectors.push(&vector(*at)).unwrap());
    Rows { version, references, vectors: Arc::new(vectors.finish()), apart: Vec::new() }
}

fn saved(indexing: &Indexing, number: Version) -> Option<index::Saved> {
    indexing.folder.read(&SetName::new("s").unwrap(), number, &indexing.config, DIMENSION)
}

/// Every text finds itself.
fn expect_all(snapshot: &Snapshot, all: &[usize]) {
    assert_eq!(snapshot.references.len(), all.len());
    for (row, at) in all.iter().enumerate() {
        let nearest = snapshot.nearest(&vector(*at), 3);
        assert!(nearest[0].similarity > 0.999, "text {at}: {nearest:?}");
        assert!(nearest.iter().take_while(|near| near.similarity > 0.999).any(|near| near.reference == row as u32));
    }
}

#[test]
fn what_was_made_is_restored_for_the_same_texts_only() {
    let home = tempfile::tempdir().unwrap();
    let indexing = indexing(&home);
    let all: Vec<usize> = (0..300).collect();
    assert!(!indexing.is_saved(&texts(1, &all).version));
    let made = indexing.make(rows(1, &all), None, &BuildWatch::default()).unwrap();
    expect_all(&made, &all);
    assert!(indexing.is_saved(&texts(1, &all).version));

    let restored = indexing.restored(texts(1, &all), saved(&indexing, 1).unwrap()).unwrap();
    expect_all(&restored, &all);
    assert_eq!(restored.index_report, made.index_report, "recall is told as it was measured");

    let mut other = all.clone();
    other.swap(5, 6);
    assert!(indexing.restored(texts(1, &other), saved(&indexing, 1).unwrap()).is_none(), "another order");
    assert!(indexing.restored(texts(2, &all), saved(&indexing, 1).unwrap()).is_none(), "another version");
    assert!(indexing.restored(texts(1, &all[1..]), saved(&indexing, 1).unwrap()).is_none());
}

#[test]
fn a_version_that_differs_little_takes_the_graph_over() {
    let home = tempfile::tempdir().unwrap();
    let indexing = indexing(&home);
    let first: Vec<usize> = (0..300).collect();
    indexing.make(rows(1, &first), None, &BuildWatch::default()).unwrap();

    let second: Vec<usize> = (0..330).filter(|at| at % 12 != 5).collect();
    let watch = BuildWatch::default();
    let snapshot = indexing.make(rows(2, &second), Some(1), &watch).unwrap();
    assert_eq!(watch.rows(), 0, "no graph was built");
    expect_all(&snapshot, &second);
    expect_all(&indexing.restored(texts(2, &second), saved(&indexing, 2).unwrap()).unwrap(), &second);

    let third: Vec<usize> = (0..200).collect();
    let watch = BuildWatch::default();
    expect_all(&indexing.make(rows(3, &third), Some(2), &watch).unwrap(), &third);
    assert_eq!(watch.rows(), 200, "too much was deleted");
    let without_before = indexing.make(rows(4, &third), Some(99), &BuildWatch::default()).unwrap();
    expect_all(&without_before, &third);
}

#[test]
fn small_sets_are_flat_and_not_saved() {
    let home = tempfile::tempdir().unwrap();
    let indexing = Indexing { config: IndexConfig::default(), ..indexing(&home) };
    let snapshot = indexing.make(rows(1, &[1, 2, 3]), None, &BuildWatch::default()).unwrap();
    assert_eq!(snapshot.index_report.kind, IndexKind::Flat);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

struct Told(Mutex<Vec<u64>>);

impl BuildProgress for Told {
    fn to_embed(&self, _texts: u64, _total: u64) {}
    fn embedded(&self, _texts: u64) {}
    fn indexing(&self, _prompts: u64) {}
    fn indexed(&self, prompts: u64) {
        self.0.lock().unwrap().push(prompts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_tells_how_far_it_is_and_stops_when_nobody_waits() {
    let told = Told(Mutex::default());
    let (ended, has_ended) = std::sync::mpsc::channel();
    let endless = move |watch: &BuildWatch| {
        let begun = Instant::now();
        let many = rows(1, &(0..3_000).collect::<Vec<_>>());
        let config = IndexConfig { kind: IndexChoice::Hnsw, m: 8, ef_construction: 40, ..IndexConfig::default() };
        let mut built = Ok(());
        while built.is_ok() && begun.elapsed() < Duration::from_secs(120) {
            built = load::index(without_texts(&many), &config, watch).map(drop);
        }
        ended.send(built).unwrap();
        built
    };
    let waited = tokio::time::timeout(Duration::from_secs(1), watched(endless, &told)).await;
    assert!(waited.is_err(), "it was given up");
    let ended = tokio::task::spawn_blocking(move || has_ended.recv_timeout(Duration::from_secs(60))).await.unwrap();
    assert_eq!(ended, Ok(Err(Stopped)));
    assert!(!told.0.lock().unwrap().is_empty());

    let done = watched(|_: &BuildWatch| Ok(7), &told).await.unwrap();
    assert_eq!(done, 7);
    let stopped: Result<(), BuildError> = watched(|_: &BuildWatch| Err(Stopped), &told).await;
    assert!(matches!(stopped, Err(BuildError::Stopped)));
}

fn without_texts(rows: &Rows) -> Rows {
    Rows {
        version: rows.version.clone(),
        references: Vec::new(),
        vectors: Arc::clone(&rows.vectors),
        apart: Vec::new(),
    }
}
