//! The encoder beside candle and, with `benches/encoder_peer.py`, beside ONNX Runtime; how far bytes are from floats.
//!
//! Measured: one forward pass on one thread at several shapes, and of single prompts on two (least and median of many);
//! with `--throughput`, prompts a second of two threads with a batch each, at several token budgets; with `--fidelity`,
//! the cosine of the embeddings in bytes with those in single precision. Corpus: for the times the token ids 1000,
//! 1001, ..., as the script uses; for the throughput banking77's test prompts, for the cosines 2,000 prompts of three
//! sets, evenly spaced, all of `../shared/data` (skipped where that is absent). Command: `cargo bench --bench encoder
//! -- [--throughput | --fidelity]`; prints one JSON object a line.

#![expect(clippy::expect_used, clippy::print_stdout, clippy::print_stderr, reason = "a bench says why it stops")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use semroute::embed::{BertSource, CandleBert, Embedder, Encoder, EncoderConfig, Precision, TextTokeniser};
use semroute::model::{ModelFiles, Registry, Silent};

/// Prompts and tokens of each.
const SHAPES: [(usize, usize); 7] = [(1, 8), (1, 16), (1, 64), (1, 128), (1, 256), (8, 16), (32, 16)];

fn main() {
    let registry = Registry::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
    let files = match registry.find("all-MiniLM-L6-v2").and_then(|model| model.open(&Silent::shared())) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("skipped: {error}; run `semroute model pull` first");
            return;
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    if std::env::args().any(|argument| argument == "--fidelity") {
        pool.install(|| fidelity(&files));
    } else if std::env::args().any(|argument| argument == "--throughput") {
        throughput(&files);
    } else {
        pool.install(|| times(&source(&files)));
    }
}

fn source(files: &ModelFiles) -> BertSource {
    let manifest = files.manifest();
    BertSource {
        config: files.config().path.clone(),
        weights: files.weights().path.clone(),
        pooling: manifest.pooling,
        dimension: manifest.dimension,
        max_tokens: manifest.max_tokens,
    }
}

fn ours(source: &BertSource, precision: Precision) -> Encoder {
    Encoder::load(source, EncoderConfig { precision, instruction_set: None }).expect("the verified model loads")
}

fn times(source: &BertSource) {
    let mut embedders: Vec<(&str, Box<dyn Embedder>)> = vec![
        ("int8", Box::new(ours(source, Precision::Int8))),
        ("f32", Box::new(ours(source, Precision::F32))),
        ("candle", Box::new(CandleBert::load(source).expect("the verified model loads"))),
    ];
    let mut together = [("int8", Precision::Int8), ("f32", Precision::F32)]
        .map(|(name, precision)| (name, ours(source, precision).with_helpers(1, || ()).expect("a thread")));
    for (batch, tokens) in SHAPES {
        let ids: Vec<u32> = (0..batch * tokens).map(|at| 1000 + (at % 20_000) as u32).collect();
        let rows: Vec<&[u32]> = ids.chunks(tokens).collect();
        for (name, embedder) in &mut embedders {
            let mut pass = || drop(embedder.embed(&rows).expect("ids of the vocabulary"));
            report(name, 1, (batch, tokens), &mut pass);
        }
        if let [row] = rows.as_slice() {
            for (name, encoder) in &mut together {
                let mut pass = || drop(encoder.encode_together(row).expect("ids of the vocabulary"));
                report(name, 2, (batch, tokens), &mut pass);
            }
        }
    }
}

/// Prints the times of a pass.
fn report(name: &str, threads: usize, (batch, tokens): (usize, usize), pass: &mut dyn FnMut()) {
    let mut seconds: Vec<f64> = Vec::new();
    let begun = Instant::now();
    while seconds.len() < 10 || (seconds.len() < 300 && begun.elapsed().as_secs_f64() < 1.5) {
        let begun = Instant::now();
        pass();
        seconds.push(begun.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let (least, median) = (seconds[0] * 1e3, seconds[seconds.len() / 2] * 1e3);
    println!(
        r#"{{"engine":"{name}","threads":{threads},"batch":{batch},"tokens":{tokens},"least_ms":{least:.4},"median_ms":{median:.4}}}"#
    );
}

/// Two threads, each with half of the prompts, in batches of so many tokens.
fn throughput(files: &ModelFiles) {
    let tokeniser = TextTokeniser::from_file(&files.tokenizer().path, files.manifest().max_tokens).expect("it loads");
    let texts = texts(&["banking77/test.jsonl"]);
    if texts.is_empty() {
        eprintln!("skipped: ../shared/data is absent");
        return;
    }
    let prompts: Vec<Vec<u32>> = texts.iter().map(|text| tokeniser.tokenise(text).expect("it tokenises").ids).collect();
    let encoder = ours(&source(files), Precision::Int8);
    for budget in [1, 64, 128, 256, 512] {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for half in prompts.chunks(prompts.len().div_ceil(2)) {
                let mut encoder = encoder.clone();
                scope.spawn(move || {
                    let mut left = half;
                    while !left.is_empty() {
                        let mut tokens = 0;
                        let fits = |ids: &&Vec<u32>| {
                            tokens += ids.len();
                            tokens <= budget
                        };
                        let count = left.iter().take_while(fits).count().max(1);
                        let (batch, rest) = left.split_at(count);
                        let rows: Vec<&[u32]> = batch.iter().map(Vec::as_slice).collect();
                        encoder.embed(&rows).expect("it embeds");
                        left = rest;
                    }
                });
            }
        });
        let rate = prompts.len() as f64 / begun.elapsed().as_secs_f64();
        println!(r#"{{"throughput":"int8","threads":2,"batch_tokens":{budget},"prompts_per_second":{rate:.0}}}"#);
    }
}

/// Bytes against floats.
fn fidelity(files: &ModelFiles) {
    let source = source(files);
    let tokeniser = TextTokeniser::from_file(&files.tokenizer().path, files.manifest().max_tokens).expect("it loads");
    let (mut bytes, mut floats) = (ours(&source, Precision::Int8), ours(&source, Precision::F32));
    let prompts = texts(&["banking77/test.jsonl", "clinc150/test.jsonl", "load_permissive/prompts.jsonl.gz"]);
    let mut cosines: Vec<f32> = Vec::new();
    for text in prompts.iter().step_by((prompts.len() / 2000).max(1)).take(2000) {
        let ids = tokeniser.tokenise(text).expect("it tokenises").ids;
        let embed = |encoder: &mut Encoder| encoder.embed(&[&ids]).expect("it embeds").remove(0);
        let (one, other) = (embed(&mut bytes), embed(&mut floats));
        cosines.push(one.as_slice().iter().zip(other.as_slice()).map(|(a, b)| a * b).sum());
    }
    let Some(least) = cosines.iter().copied().reduce(f32::min) else {
        eprintln!("skipped: ../shared/data is absent");
        return;
    };
    let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
    println!(r#"{{"prompts":{},"mean_cosine":{mean:.5},"least_cosine":{least:.5}}}"#, cosines.len());
}

/// The texts of public sets of prompts.
fn texts(sets: &[&str]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let mut texts = Vec::new();
    for path in sets.iter().map(|set| folder.join(set)) {
        let Ok(file) = std::fs::File::open(&path) else { continue };
        let reader: Box<dyn BufRead> = match path.extension().is_some_and(|extension| extension == "gz") {
            true => Box::new(BufReader::new(flate2::read::GzDecoder::new(file))),
            false => Box::new(BufReader::new(file)),
        };
        for line in reader.lines() {
            let line = line.expect("it reads");
            let object: serde_json::Value = serde_json::from_str(&line).expect("JSON Lines");
            texts.extend(object["text"].as_str().map(str::to_owned));
        }
    }
    texts
}
