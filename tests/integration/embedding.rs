//! Embeddings against those of an independent implementation in single precision.

use std::io::BufRead;
use std::path::Path;

use semroute::embed::{BertSource, CandleBert, Embedder, TextTokeniser};
use semroute::model::{Registry, Silent};
use serde::Deserialize;

use crate::server::{MODEL, models_dir};

/// A text with its embedding, computed with ONNX Runtime (float32, mean over tokens, at most 256 tokens).
#[derive(Deserialize)]
struct Row {
    text: String,
    embedding: Vec<f32>,
}

fn rows() -> Vec<(String, Vec<f32>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/minilm_embeddings.jsonl");
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    file.lines()
        .map(|line| {
            let row: Row = serde_json::from_str(&line.unwrap()).unwrap();
            (row.text, row.embedding)
        })
        .collect()
}

async fn model() -> (TextTokeniser, CandleBert) {
    let registry = Registry::new(models_dir().await);
    let files = registry.find(MODEL).unwrap().open(&Silent::shared()).unwrap();
    let manifest = files.manifest();
    let tokeniser = TextTokeniser::from_file(&files.tokenizer().path, manifest.max_tokens).unwrap();
    let source = BertSource {
        config: files.config().path.clone(),
        weights: files.weights().path.clone(),
        pooling: manifest.pooling,
        dimension: manifest.dimension,
        max_tokens: manifest.max_tokens,
    };
    (tokeniser, CandleBert::load(&source).unwrap())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_equal_those_of_an_independent_implementation() {
    let (tokeniser, mut bert) = model().await;
    let rows = rows();
    assert_eq!(rows.len(), 20);
    let tokens: Vec<_> = rows.iter().map(|(text, _)| tokeniser.tokenise(text).unwrap().ids).collect();
    for ((text, expected), ids) in rows.iter().zip(&tokens) {
        let alone = bert.embed(&[ids]).unwrap().remove(0);
        let cosine = cosine(alone.as_slice(), expected);
        assert!(cosine >= 0.9999, "cosine {cosine} for {:?}", text.chars().take(40).collect::<String>());
    }
    // Padding must not leak in: all in one batch gives the same.
    let batch: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
    for ((_, expected), embedding) in rows.iter().zip(bert.embed(&batch).unwrap()) {
        assert!(cosine(embedding.as_slice(), expected) >= 0.9999);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_own_maximum_holds_not_that_of_its_tokenizer_file() {
    let (tokeniser, mut bert) = model().await;
    let short = tokeniser.tokenise("hello world").unwrap();
    assert_eq!((short.ids.len(), short.seen), (4, 1.0), "no padding to 128");
    let medium = tokeniser.tokenise(&"word ".repeat(200)).unwrap();
    assert_eq!((medium.ids.len(), medium.seen), (202, 1.0), "no truncation at 128");
    let long = tokeniser.tokenise(&"word ".repeat(1000)).unwrap();
    assert_eq!(long.windows().map(<[u32]>::len).collect::<Vec<_>>(), [50, 50], "a head and a tail");
    assert!((long.seen - 0.096).abs() < 0.001, "{}", long.seen);
    // Text that no model needs to see costs no more than its beginning.
    for text in [" ".repeat(1_000_000), "x".repeat(100_000), "é".repeat(500_000)] {
        let tokens = tokeniser.tokenise(&text).unwrap();
        assert!(tokens.ids.len() >= 2 && (0.0..=1.0).contains(&tokens.seen));
        bert.embed(&[&tokens.ids]).unwrap();
    }
    assert!(bert.embed(&[&[101, 30_522, 102]]).is_err(), "an id beyond the vocabulary");
}
