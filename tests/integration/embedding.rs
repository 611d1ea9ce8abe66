//! Embeddings against those of an independent implementation in single precision.

use std::io::BufRead;
use std::path::Path;

use semroute::embed::{
    BertSource, CandleBert, EmbedError, Embedder, Encoder, EncoderConfig, EncoderError, InstructionSet, Precision,
    TextTokeniser,
};
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

async fn model() -> (TextTokeniser, BertSource) {
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
    (tokeniser, source)
}

fn encoder(source: &BertSource, precision: Precision, instruction_set: Option<InstructionSet>) -> Encoder {
    Encoder::load(source, EncoderConfig { precision, instruction_set }).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_equal_those_of_an_independent_implementation() {
    let (tokeniser, source) = model().await;
    let rows = rows();
    assert_eq!(rows.len(), 20);
    let tokens: Vec<_> = rows.iter().map(|(text, _)| tokeniser.tokenise(text).unwrap().ids).collect();
    let batch: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
    let load = |precision, set| -> Box<dyn Embedder> { Box::new(encoder(&source, precision, set)) };
    let embedders: Vec<(&str, Box<dyn Embedder>, f64)> = vec![
        ("candle", Box::new(CandleBert::load(&source).unwrap()), 0.9999),
        ("f32", load(Precision::F32, None), 0.9999),
        ("f32, AVX2 at most", load(Precision::F32, Some(InstructionSet::Avx2)), 0.9999),
        ("f32, portable", load(Precision::F32, Some(InstructionSet::Portable)), 0.9999),
        // The bound of single rows; the mean over many prompts is measured by `cargo bench --bench encoder`.
        ("int8", load(Precision::Int8, None), 0.990),
        ("int8, AVX2 at most", load(Precision::Int8, Some(InstructionSet::Avx2)), 0.990),
        ("int8, portable", load(Precision::Int8, Some(InstructionSet::Portable)), 0.990),
    ];
    for (name, mut embedder, least) in embedders {
        let check = |at: usize, found: &[f32], how: &str| {
            let (text, expected) = &rows[at];
            let cosine = cosine(found, expected);
            assert!(cosine >= least, "{name}, {how}: {cosine} for {:?}", text.chars().take(40).collect::<String>());
        };
        for (at, ids) in batch.iter().enumerate() {
            check(at, embedder.embed(&[ids]).unwrap()[0].as_slice(), "alone");
        }
        // Neighbours in a batch must not leak in, nor what an earlier batch left in memory.
        for (at, embedding) in embedder.embed(&batch).unwrap().iter().enumerate() {
            check(at, embedding.as_slice(), "in a batch");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_the_same_alone_and_in_any_batch() {
    let (tokeniser, source) = model().await;
    let texts = ["a", "what is the capital of France?", "fix this: let x = 1", &"long text ".repeat(90)];
    let tokens: Vec<_> = texts.iter().map(|text| tokeniser.tokenise(text).unwrap().ids).collect();
    let batch: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
    for precision in [Precision::F32, Precision::Int8] {
        let mut encoder = encoder(&source, precision, None);
        let together = encoder.embed(&batch).unwrap();
        for (ids, expected) in batch.iter().zip(&together) {
            let alone = encoder.clone().embed(&[ids]).unwrap().remove(0);
            assert!(cosine(alone.as_slice(), expected.as_slice()) > 0.999_999, "{precision:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_the_model_cannot_read_are_refused() {
    let (_, source) = model().await;
    let mut encoder = encoder(&source, Precision::Int8, None);
    let ok: &[u32] = &[101, 7592, 102];
    let refused = |encoder: &mut Encoder, ids: &[u32]| encoder.embed(&[ok, ids]).unwrap_err();
    assert!(matches!(refused(&mut encoder, &[]), EmbedError::Encoder(EncoderError::NoTokens)));
    assert!(matches!(
        refused(&mut encoder, &[101, 30_522]),
        EmbedError::Encoder(EncoderError::TokenOutOfRange { id: 30_522, .. })
    ));
    let many = vec![101; 513];
    assert!(matches!(
        refused(&mut encoder, &many),
        EmbedError::Encoder(EncoderError::TooManyTokens { tokens: 513, most: 512 })
    ));
    assert!(encoder.embed(&[]).unwrap().is_empty());
    assert_eq!(encoder.embed(&[ok]).unwrap().len(), 1, "a refusal leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_disagree_are_refused_with_the_reason() {
    let (_, source) = model().await;
    let folder = tempfile::tempdir().unwrap();
    let config = std::fs::read_to_string(&source.config).unwrap();
    let changed = |from: &str, to: &str| {
        let path = folder.path().join("config.json");
        std::fs::write(&path, config.replace(from, to)).unwrap();
        let source = BertSource { config: path, ..source.clone() };
        let fault = Encoder::load(&source, EncoderConfig::default()).err().unwrap();
        format!("{fault}: {fault:?}")
    };
    let table = [
        ("\"intermediate_size\": 1536", "\"intermediate_size\": 1024", "shape"),
        ("\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7", "encoder.layer.6"),
        ("\"vocab_size\": 30522", "\"vocab_size\": 30000", "shape"),
        ("\"hidden_size\": 384", "\"hidden_size\": 385", "385"),
        ("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"mish\"", "mish"),
        ("\"max_position_embeddings\": 512", "\"max_position_embeddings\": 100", "max_position_embeddings"),
    ];
    for (from, to, expected) in table {
        assert!(config.contains(from), "{from}");
        let fault = changed(from, to);
        assert!(fault.contains(expected), "{to}: {fault}");
    }
    let mut weights = std::fs::read(&source.weights).unwrap();
    let header = u64::from_le_bytes(*weights.first_chunk().unwrap()) as usize;
    let tensors: serde_json::Value = serde_json::from_slice(&weights[8..8 + header]).unwrap();
    let end = &tensors["encoder.layer.5.output.dense.weight"]["data_offsets"][1];
    let end = 8 + header + end.as_u64().unwrap() as usize;
    weights[end - 4..end].copy_from_slice(&f32::NAN.to_le_bytes());
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, &weights).unwrap();
    let fault = Encoder::load(&BertSource { weights: path.clone(), ..source.clone() }, EncoderConfig::default()).err();
    let Some(EncoderError::WeightNotFinite { tensor, at, .. }) = fault else { panic!("{fault:?}") };
    assert_eq!((tensor.as_str(), at), ("encoder.layer.5.output.dense.weight", 384 * 1536 - 1));
    std::fs::write(&path, &weights[..end / 2]).unwrap();
    let fault = Encoder::load(&BertSource { weights: path, ..source }, EncoderConfig::default());
    assert!(matches!(fault.err(), Some(EncoderError::BadWeights { .. })), "a truncated file");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_own_maximum_holds_not_that_of_its_tokenizer_file() {
    let (tokeniser, source) = model().await;
    let mut bert = encoder(&source, Precision::Int8, None);
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
