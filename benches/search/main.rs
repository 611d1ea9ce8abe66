//! Time of a search among many vectors, on one thread.
//!
//! Without files: criterion, the ten nearest among 10,000 and 100,000 vectors, flat and HNSW, random unit vectors in
//! 300 clusters, seed 1; `cargo bench --bench search`. With files, as `tests/scale/search.py make` makes them (it says
//! how): build time and its peak of memory, then of the index as it is read back the time that takes, resident memory,
//! recall@10 and latency at several `ef`, one JSON line each; `python3 tests/scale/search.py ours --folder FOLDER`, which
//! sets SEARCH_FOLDER and calls this. SEARCH_BUILDER, SEARCH_M and SEARCH_EF_CONSTRUCTION are as in the configuration.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot run stops and says why"
)]

mod timed;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use semroute::embed::Embedding;
use semroute::index::{self, BuildWatch, IndexChoice, IndexConfig, VectorMatrix};

const DIMENSION: usize = 384;

fn main() {
    match std::env::var("SEARCH_FOLDER") {
        Ok(folder) => timed::run(Path::new(&folder)),
        Err(_) => {
            let mut criterion = Criterion::default().configure_from_args();
            // `cargo test` runs benches too, with a flag; building the indexes would take it minutes.
            if !std::env::args().any(|argument| argument == "--test") {
                search(&mut criterion);
            }
            criterion.final_summary();
        }
    }
}

fn search(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("search_top_10");
    group.sample_size(30);
    for rows in [10_000, 100_000] {
        let vectors = Arc::new(clusters(rows));
        let query = Embedding::stored(vectors.row(7).to_vec(), DIMENSION).expect("a unit vector");
        for (name, kind) in [("flat", IndexChoice::Flat), ("hnsw", IndexChoice::Hnsw)] {
            let config = IndexConfig { kind, ..IndexConfig::default() };
            let (index, report) = index::build(&vectors, &config, &BuildWatch::default()).expect("not stopped");
            if let Some(recall) = report.recall_at_10 {
                println!("hnsw over {rows} rows: recall@10 {recall:.4}");
            }
            group.bench_function(BenchmarkId::new(name, rows), |b| b.iter(|| black_box(index.nearest(&query, 10))));
        }
    }
    group.finish();
}

fn clusters(rows: usize) -> VectorMatrix {
    let mut random = StdRng::seed_from_u64(1);
    let mut vector =
        |spread: f32| -> Vec<f32> { (0..DIMENSION).map(|_| random.random_range(-spread..spread)).collect() };
    let centres: Vec<Vec<f32>> = (0..300).map(|_| vector(1.0)).collect();
    let mut matrix = VectorMatrix::with_capacity(rows, DIMENSION);
    for row in 0..rows {
        let noise = vector(0.7);
        let values = centres[row % 300].iter().zip(noise).map(|(centre, noise)| centre + noise).collect();
        matrix.push(&Embedding::normalised(values).expect("finite")).expect("one dimension");
    }
    matrix.finish()
}
