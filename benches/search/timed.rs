//! One JSON line for each `ef`: time of a search of one thread and recall against the truth in the folder's files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use semroute::embed::Embedding;
use semroute::index::{self, BuildWatch, HnswIndex, Identity, IndexConfig, RowKey, VectorIndex, VectorMatrix};

const DIMENSION: usize = 384;
const K: usize = 10;

pub fn run(folder: &Path) {
    let queries = matrix(&folder.join("queries.f32"));
    let queries: Vec<Embedding> =
        queries.iter().map(|row| Embedding::stored(row.to_vec(), DIMENSION).expect("unit")).collect();
    let truth: Vec<u32> = read(&folder.join("truth.u32")).into_iter().map(u32::from_le_bytes).collect();
    let number =
        |name: &str, default: usize| std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"));
    let repeats = number("SEARCH_REPEATS", 3);
    let defaults = IndexConfig::default();
    let ef_construction = number("SEARCH_EF_CONSTRUCTION", defaults.ef_construction);
    let m = number("SEARCH_M", defaults.m);
    let builder = std::env::var("SEARCH_BUILDER")
        .map_or(defaults.builder, |name| serde_json::from_value(json!(name)).expect("batches or hnsw_rs"));
    let config = IndexConfig { ef_construction, m, builder, ..defaults };

    let file = std::env::var("SEARCH_KEEP").map_or(folder.join("semroute.hnsw"), PathBuf::from);
    if !file.exists() {
        build(folder, &config, &file);
    }
    let begun = Instant::now();
    let (mut index, rows) = opened(&file, &config);
    let about = json!({
        "m": m, "ef_construction": ef_construction, "loaded_s": begun.elapsed().as_secs_f64(),
        "index_mib": index.bytes() >> 20, "resident_mib": mib("VmRSS:"),
    });
    let efs = std::env::var("SEARCH_EF").unwrap_or_else(|_| "16,32,64,128,256".to_owned());
    for ef in efs.split(',').map(|ef| ef.parse::<usize>().expect("a number")) {
        index = index.with_ef_search(ef);
        report("semroute", rows, ef, &index, &queries, &truth, repeats, about.clone());
    }
}

/// Builds the index and writes it to `to`.
fn build(folder: &Path, config: &IndexConfig, to: &Path) {
    let vectors = matrix(&folder.join("vectors.f32"));
    let begun = Instant::now();
    let index = HnswIndex::build(&vectors, config, &BuildWatch::default()).expect("not stopped");
    let built = begun.elapsed().as_secs_f64();
    println!("{}", json!({ "rows": vectors.rows(), "built_s": built, "peak_mib": mib("VmHWM:") }));
    let keys = vec![RowKey::default(); vectors.rows()];
    let file = File::create_new(to).expect("a new file");
    index::write(&index, &keys, &Identity::default(), file).expect("room on the disk");
}

fn opened(path: &Path, config: &IndexConfig) -> (HnswIndex, usize) {
    let file = File::open(path).expect("the file that was kept");
    let length = file.metadata().expect("its length").len();
    let saved = index::read(&file, length, config, DIMENSION).expect("whole");
    (saved.index, saved.keys.len())
}

/// A line of what the kernel says about this process, where it says so.
fn mib(line: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|found| found.strip_prefix(line))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib / 1024)
}

#[expect(clippy::too_many_arguments, reason = "what a line of the report says")]
fn report(
    who: &str,
    rows: usize,
    ef: usize,
    index: &dyn VectorIndex,
    queries: &[Embedding],
    truth: &[u32],
    repeats: usize,
    about: serde_json::Value,
) {
    let mut found = 0;
    let mut times = Vec::new();
    for round in 0..=repeats {
        for (query, truth) in queries.iter().zip(truth.chunks_exact(K)) {
            let begun = Instant::now();
            let hits = index.nearest(query, K);
            let took = begun.elapsed().as_secs_f64() * 1e6;
            // The first round warms up, and is what recall is taken from.
            if round == 0 {
                found += hits.iter().filter(|hit| truth.contains(&hit.row)).count();
            } else {
                times.push(took);
            }
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let mut line = json!({
        "who": who, "rows": rows, "ef": ef, "recall_at_10": found as f64 / (queries.len() * K) as f64,
        "mean_us": times.iter().sum::<f64>() / times.len() as f64,
        "p50_us": quantile(0.5), "p99_us": quantile(0.99),
    });
    if let (Some(line), Some(about)) = (line.as_object_mut(), about.as_object()) {
        line.extend(about.clone());
    }
    println!("{line}");
}

fn matrix(path: &Path) -> VectorMatrix {
    let values: Vec<f32> = read(path).into_iter().map(f32::from_le_bytes).collect();
    let mut matrix = VectorMatrix::with_capacity(values.len() / DIMENSION, DIMENSION);
    for row in values.chunks_exact(DIMENSION) {
        matrix.push(&Embedding::normalised(row.to_vec()).expect("finite")).expect("one dimension");
    }
    matrix.finish()
}

fn read(path: &Path) -> Vec<[u8; 4]> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes.as_chunks::<4>().0.to_vec()
}
