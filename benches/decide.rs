//! Time of the steps of a decision, on one thread.
//!
//! Measured: the forward pass at several lengths, the search of 2,000 and 20,000 vectors (flat and HNSW), and the
//! vote. Corpus: real token ids of an English sentence repeated to length; random unit vectors in 30 clusters, seed 1.
//! Command: `cargo bench --bench decide`. The model is taken from `models/` (`semroute model pull` gets it).

#![expect(clippy::expect_used, clippy::print_stderr, reason = "a bench that cannot run stops and says why")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use semroute::classify::vote;
use semroute::embed::{BertSource, CandleBert, Embedder, Embedding, TextTokeniser};
use semroute::index::{self, BuildWatch, IndexChoice, IndexConfig, VectorMatrix};
use semroute::model::{Registry, Silent};
use semroute::reference::Neighbour;

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
    let mut model = CandleBert::load(&source).expect("the verified model loads");
    let tokeniser = TextTokeniser::from_file(&files.tokenizer().path, manifest.max_tokens).expect("it tokenises");
    let ids = tokeniser.tokenise(&SENTENCE.repeat(40)).expect("it tokenises").ids;

    let mut group = c.benchmark_group("forward_pass");
    group.sample_size(20);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    for tokens in [8, 16, 32, 64, 128, 256] {
        let row = &ids[..tokens];
        group.bench_function(BenchmarkId::new("tokens", tokens), |b| {
            pool.install(|| b.iter(|| black_box(model.embed(&[row]))));
        });
    }
    group.finish();
    c.bench_function("tokenise/80_characters", |b| b.iter(|| black_box(tokeniser.tokenise(SENTENCE))));
}

fn clusters(rows: usize, dimension: usize) -> VectorMatrix {
    let mut random = StdRng::seed_from_u64(1);
    let mut vector =
        |spread: f32| -> Vec<f32> { (0..dimension).map(|_| random.random_range(-spread..spread)).collect() };
    let centres: Vec<Vec<f32>> = (0..30).map(|_| vector(1.0)).collect();
    let mut matrix = VectorMatrix::with_capacity(rows, dimension);
    for row in 0..rows {
        let noise = vector(0.7);
        let values = centres[row % 30].iter().zip(noise).map(|(centre, noise)| centre + noise).collect();
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

criterion_group!(benches, forward_pass, search, votes);
criterion_main!(benches);
