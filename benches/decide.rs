//! Time of the steps of a decision, on one thread.
//!
//! Measured: the forward pass at several lengths, the search of 2,000 and 20,000 vectors (flat and HNSW), the vote, the
//! decision model's judgement among 150 routes, the mending of typing errors, and whole decisions that come from the
//! cache. Corpus: real token ids of an English sentence repeated to length; random unit vectors in 30 or 150 clusters,
//! seed 1; texts of random words, of which each cluster has some of its own.
//! Command: `cargo bench --bench decide`. The model is taken from `models/` (`semroute model pull` gets it).

#![expect(clippy::expect_used, clippy::print_stderr, reason = "a bench that cannot run stops and says why")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use semroute::classify::{CacheConfig, Cascade, ClassifyOptions, ExactCache, LlmAccess, Purpose, vote};
use semroute::embed::{
    BatchLimits, BertSource, CandleBert, EmbedError, EmbedQueue, EmbedWorkers, Embedder, Embedding, Encoder,
    EncoderConfig, Precision, QueueConfig, TextTokeniser,
};
use semroute::index::{self, BuildWatch, IndexChoice, IndexConfig, VectorMatrix};
use semroute::model::{Registry, Silent};
use semroute::prompt::Prompt;
use semroute::publish::Draft;
use semroute::reference::{
    Fingerprint, Neighbour, Precondition, PromptEdit, PromptPurpose, Route, RouteName, SetEdit, SetName, SetPolicy,
    Snapshot, SnapshotCell,
};
use semroute::spelling::Spelling;

const SENTENCE: &str = "Please explain how a hash map works inside and why lookups are fast on average. ";

fn forward_pass(c: &mut Criterion) {
    let registry = Registry::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
    let files = match registry.find("all-MiniLM-L6-v2").and_then(|model| model.open(&Silent::shared())) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("skipped: {error}; run `semroute model pull` first");
            return;
        }
    };
    let manifest = files.manifest();
    let source = BertSource {
        config: files.config().path.clone(),
        weights: files.weights().path.clone(),
        pooling: manifest.pooling,
        dimension: manifest.dimension,
        max_tokens: manifest.max_tokens,
    };
    let tokeniser = TextTokeniser::from_file(&files.tokenizer().path, manifest.max_tokens).expect("it tokenises");
    let ids = tokeniser.tokenise(&SENTENCE.repeat(9)).expect("it tokenises").ids;

    let ours = |precision| {
        let config = EncoderConfig { precision, instruction_set: None };
        Box::new(Encoder::load(&source, config).expect("the verified model loads")) as Box<dyn Embedder>
    };
    let mut embedders = [
        ("int8", ours(Precision::Int8)),
        ("f32", ours(Precision::F32)),
        ("candle", Box::new(CandleBert::load(&source).expect("the verified model loads"))),
    ];
    let mut group = c.benchmark_group("forward_pass");
    group.sample_size(20);
    // candle asks rayon for help; here each computes on one core.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    for tokens in [8, 16, 32, 64, 128] {
        let row = &ids[..tokens];
        for (name, embedder) in &mut embedders {
            group.bench_function(BenchmarkId::new(*name, tokens), |b| {
                pool.install(|| b.iter(|| black_box(embedder.embed(&[row]))));
            });
        }
    }
    group.finish();
    c.bench_function("tokenise/80_characters", |b| b.iter(|| black_box(tokeniser.tokenise(SENTENCE))));
}

fn clusters(rows: usize, dimension: usize) -> VectorMatrix {
    clustered(rows, dimension, 30)
}

fn clustered(rows: usize, dimension: usize, clusters: usize) -> VectorMatrix {
    let mut random = StdRng::seed_from_u64(1);
    let mut vector =
        |spread: f32| -> Vec<f32> { (0..dimension).map(|_| random.random_range(-spread..spread)).collect() };
    let centres: Vec<Vec<f32>> = (0..clusters).map(|_| vector(1.0)).collect();
    let mut matrix = VectorMatrix::with_capacity(rows, dimension);
    for row in 0..rows {
        let noise = vector(0.7);
        let values = centres[row % clusters].iter().zip(noise).map(|(centre, noise)| centre + noise).collect();
        matrix.push(&Embedding::normalised(values).expect("finite")).expect("one dimension");
    }
    matrix.finish()
}

fn search(c: &mut Criterion) {
    let mut group = c.benchmark_group("search_top_20");
    group.sample_size(30);
    for rows in [2_000, 20_000] {
        let vectors = Arc::new(clusters(rows, 384));
        let query = Embedding::stored(vectors.row(7).to_vec(), 384).expect("a unit vector");
        for (name, kind) in [("flat", IndexChoice::Flat), ("hnsw", IndexChoice::Hnsw)] {
            let config = IndexConfig { kind, ..IndexConfig::default() };
            let (index, report) = index::build(&vectors, &config, &BuildWatch::default()).expect("not stopped");
            if let Some(recall) = report.recall_at_10 {
                eprintln!("hnsw over {rows} rows: recall@10 {recall:.4}");
            }
            group.bench_function(BenchmarkId::new(name, rows), |b| b.iter(|| black_box(index.nearest(&query, 20))));
        }
    }
    group.finish();
}

fn votes(c: &mut Criterion) {
    let neighbours: Vec<Neighbour> =
        (0..20).map(|row| Neighbour { reference: row, route: row % 7, similarity: 0.9 - row as f32 / 50.0 }).collect();
    c.bench_function("vote/20_neighbours", |b| b.iter(|| black_box(vote(&neighbours))));
}

/// Words that nobody has, of four to nine letters.
fn words(count: usize) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(2);
    let mut word = || -> String {
        let letters = random.random_range(4..10);
        (0..letters).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
    };
    (0..count).map(|_| word()).collect()
}

/// 12 words each; of every second word each of the 150 topics has ten of its own.
fn texts(rows: usize) -> Vec<String> {
    let words = words(6_000);
    let mut random = StdRng::seed_from_u64(3);
    let mut text = |topic: usize| -> String {
        let word = |at: usize| match at % 2 {
            0 => words[10 * topic + random.random_range(0..10)].as_str(),
            _ => words[random.random_range(1_500..words.len())].as_str(),
        };
        (0..12).map(word).collect::<Vec<_>>().join(" ")
    };
    (0..rows).map(|row| text(row % TOPICS)).collect()
}

const TOPICS: usize = 150;

fn judgement(c: &mut Criterion) {
    let rows = 10 * TOPICS;
    let (vectors, texts) = (clustered(rows, 384, TOPICS), texts(rows));
    let names: Vec<String> = (0..TOPICS).map(|topic| format!("topic-{topic}")).collect();
    let routes: Vec<semroute_decision::Route<'_>> =
        names.iter().map(|name| semroute_decision::Route { name, description: "", embedding: None }).collect();
    let example = |(row, text)| semroute_decision::Example {
        text,
        label: semroute_decision::Label::Route((row % TOPICS) as u32),
        purpose: semroute_decision::Purpose::Reference,
    };
    let examples: Vec<semroute_decision::Example<'_>> =
        texts.iter().map(String::as_str).enumerate().map(example).collect();
    let set = semroute_decision::TrainingSet::new(&routes, &examples, vectors.view()).expect("a sound set");
    let fitted = semroute_decision::fit(&set, &semroute_decision::FitConfig::default(), &()).expect("not cancelled");
    let neighbours: Vec<(u32, f32)> = (0..20).map(|at| (at % 7, 0.9 - at as f32 / 50.0)).collect();
    c.bench_function("judge/150_routes", |b| {
        b.iter(|| black_box(fitted.model.judge(vectors.row(7), &texts[7], &neighbours)));
    });
}

fn mending(c: &mut Criterion) {
    let texts = texts(15_000);
    let spelling = Spelling::of(texts.iter().map(String::as_str));
    let clean = texts[7].clone();
    // A letter less in the third and the eighth word.
    let slips: Vec<String> = clean
        .split(' ')
        .enumerate()
        .map(|(at, word)| if at % 5 == 2 { format!("{}{}", &word[..2], &word[3..]) } else { word.to_owned() })
        .collect();
    let slips = slips.join(" ");
    let mut group = c.benchmark_group("mend");
    for (name, text) in [("clean", &clean), ("two_slips", &slips)] {
        group.bench_function(name, |b| b.iter(|| black_box(spelling.mend(text, &|_| false))));
    }
    group.finish();
}

/// Says that every text is the same.
struct Constant;

impl Embedder for Constant {
    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Embedding>, EmbedError> {
        batch.iter().map(|_| Embedding::normalised(vec![1.0; 384])).collect()
    }
}

/// A queue in front of no model.
fn queue() -> (EmbedQueue, EmbedWorkers) {
    let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
        "model":{"type":"WordLevel","vocab":{"[UNK]":0},"unk_token":"[UNK]"}}"#;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), json).expect("it is written");
    let tokeniser = TextTokeniser::from_file(file.path(), 256).expect("it tokenises");
    let batch = BatchLimits { tokens: 1024, rows: 1 };
    let config = QueueConfig { capacity: 16, max_wait: Duration::from_secs(1), batch, niceness: 0, pace: None };
    EmbedQueue::start(&tokeniser, vec![Box::new(Constant)], config).expect("a thread")
}

/// 2,000 references of 20 routes.
fn snapshot() -> Arc<Snapshot> {
    let vectors = clusters(2_000, 384);
    let names: Vec<RouteName> = (0..20).map(|at| RouteName::new(&format!("route-{at}")).expect("a name")).collect();
    let routes: Vec<Route> = names.iter().cloned().map(Route::named).collect();
    let set = SetName::new("bench").expect("a name");
    let edit = SetEdit { name: set, description: String::new(), policy: SetPolicy::default() };
    let mut draft = Draft::new(&edit, &routes, 384);
    for row in 0..2_000 {
        let (route, text) = (names[row % 20].clone(), format!("reference prompt {row}"));
        let prompt =
            PromptEdit { id: None, route, text, purpose: PromptPurpose::Reference, precondition: Precondition::None };
        let embedding = Embedding::stored(vectors.row(row).to_vec(), 384).expect("a unit vector");
        draft.push(&prompt, &embedding).expect("a known route");
    }
    let built = draft.finish(Fingerprint("bench".to_owned()), &IndexConfig::default(), &BuildWatch::default());
    Arc::new(built.expect("not stopped"))
}

fn cached_decisions(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (queue, _workers) = queue();
    let (snapshot, served) = (snapshot(), SnapshotCell::default());
    served.publish(Arc::clone(&snapshot));
    let cascade = Cascade::new(queue, None).caching(ExactCache::new(&CacheConfig::default(), served));
    let options = ClassifyOptions {
        neighbours: 5,
        llm: LlmAccess::Allowed,
        deadline: None,
        purpose: Purpose::Answer,
        target_accuracy: None,
    };
    let mut group = c.benchmark_group("cached_decision");
    for bytes in [100, 1_000, 10_000, 100_000] {
        let text = &SENTENCE.repeat(bytes / SENTENCE.len() + 1)[..bytes];
        let prompt = Prompt::from_text(text, bytes).expect("a text");
        let decide = || {
            let decided = runtime.block_on(cascade.decide(Arc::clone(&snapshot), &prompt, options));
            decided.expect("a decision")
        };
        decide();
        assert!(decide().cached, "it is kept");
        group.bench_function(BenchmarkId::new("bytes", bytes), |b| b.iter(|| black_box(decide())));
    }
    group.finish();
}

criterion_group!(benches, forward_pass, search, votes, judgement, mending, cached_decisions);
criterion_main!(benches);
