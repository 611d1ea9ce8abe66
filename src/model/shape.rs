//! Whether a model's files are a BERT sentence encoder that fits the manifest. Reads the small files and the header of
//! the weights, not the weights: a few milliseconds. It finds what a hash cannot, in models that name no hash.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::FileFault;
use super::manifest::{CONFIG, ModelManifest, POOLING, Pooling, TOKENIZER, WEIGHTS};

/// The safetensors format's own limit for a header.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// What is needed of `config.json`; the rest is `embed`'s.
#[derive(Debug, Deserialize)]
pub(super) struct BertConfig {
    #[serde(default)]
    pub(super) model_type: String,
    #[serde(default)]
    pub(super) hidden_size: usize,
    #[serde(default)]
    pub(super) vocab_size: usize,
    #[serde(default)]
    pub(super) max_position_embeddings: usize,
}

/// `1_Pooling/config.json`, as sentence-transformers writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PoolingConfig {
    pub(super) word_embedding_dimension: Option<usize>,
    pub(super) pooling_mode_cls_token: bool,
    pub(super) pooling_mode_mean_tokens: bool,
    pub(super) pooling_mode_max_tokens: bool,
    pub(super) pooling_mode_mean_sqrt_len_tokens: bool,
}

impl PoolingConfig {
    pub(super) fn pooling(&self) -> Option<Pooling> {
        let others = self.pooling_mode_max_tokens || self.pooling_mode_mean_sqrt_len_tokens;
        match (self.pooling_mode_mean_tokens, self.pooling_mode_cls_token, others) {
            (true, false, false) => Some(Pooling::Mean),
            (false, true, false) => Some(Pooling::Cls),
            _ => None,
        }
    }
}

/// All that is wrong with the files in `dir`; they exist.
pub(super) fn faults(dir: &Path, manifest: &ModelManifest) -> Vec<FileFault> {
    let mut faults = Vec::new();
    let config = config_faults(&dir.join(CONFIG), manifest, &mut faults);
    if dir.join(POOLING).exists() {
        pooling_faults(&dir.join(POOLING), manifest, &mut faults);
    }
    faults.extend(tokenizer_fault(&dir.join(TOKENIZER)));
    faults.extend(weights_fault(&dir.join(WEIGHTS), config.as_ref()));
    faults
}

fn config_faults(path: &Path, manifest: &ModelManifest, faults: &mut Vec<FileFault>) -> Option<BertConfig> {
    let config: BertConfig = read_json(path, "the configuration of a BERT model").map_err(|f| faults.push(f)).ok()?;
    if config.model_type != "bert" {
        faults.push(fault(path, "model_type \"bert\"", format!("{:?}", config.model_type)));
    }
    if config.hidden_size != manifest.dimension {
        faults.push(fault(path, format!("hidden_size {}, the dimension", manifest.dimension), config.hidden_size));
    }
    if config.max_position_embeddings < manifest.max_tokens {
        let expected = format!("max_position_embeddings of at least {}, the max_tokens", manifest.max_tokens);
        faults.push(fault(path, expected, config.max_position_embeddings));
    }
    Some(config)
}

fn pooling_faults(path: &Path, manifest: &ModelManifest, faults: &mut Vec<FileFault>) {
    let config: PoolingConfig = match read_json(path, "the configuration of a pooling layer") {
        Ok(config) => config,
        Err(fault) => return faults.push(fault),
    };
    if config.pooling() != Some(manifest.pooling) {
        faults.push(fault(path, format!("{} pooling alone", manifest.pooling.as_str()), format!("{config:?}")));
    }
    if let Some(dimension) = config.word_embedding_dimension.filter(|dimension| *dimension != manifest.dimension) {
        faults.push(fault(path, format!("word_embedding_dimension {}", manifest.dimension), dimension));
    }
}

fn tokenizer_fault(path: &Path) -> Option<FileFault> {
    #[derive(Deserialize)]
    struct Tokenizer {
        #[serde(rename = "model")]
        _model: IgnoredAny,
    }
    read_json::<Tokenizer>(path, "a tokenizer").err()
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, FileFault> {
    let text = std::fs::read(path).map_err(|error| fault(path, what, error))?;
    serde_json::from_slice(&text).map_err(|error| fault(path, format!("{what} as JSON"), error))
}

#[derive(Deserialize)]
struct Tensor {
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// Reads the header: 8 bytes of length, then JSON that names every tensor with shape and place.
/// <https://huggingface.co/docs/safetensors/index#format>
fn weights_fault(path: &Path, config: Option<&BertConfig>) -> Option<FileFault> {
    let what = "the weights of a BERT model as safetensors";
    let (header, data_bytes) = match read_header(path) {
        Ok(read) => read,
        Err(error) => return Some(fault(path, what, error)),
    };
    let mut entries: BTreeMap<String, serde_json::Value> = match serde_json::from_slice(&header) {
        Ok(entries) => entries,
        Err(error) => return Some(fault(path, what, format!("a header that is not JSON: {error}"))),
    };
    entries.remove("__metadata__");
    let tensors: Result<Vec<(String, Tensor)>, String> = entries
        .into_iter()
        .map(|(name, entry)| match serde_json::from_value(entry) {
            Ok(tensor) => Ok((name, tensor)),
            Err(error) => Err(format!("a header whose tensor {name} is not described: {error}")),
        })
        .collect();
    let tensors = match tensors {
        Ok(tensors) => tensors,
        Err(found) => return Some(fault(path, what, found)),
    };
    let named_bytes = tensors.iter().map(|(_, tensor)| tensor.data_offsets.1).max().unwrap_or_default();
    if named_bytes != data_bytes {
        let expected = format!("{named_bytes} bytes of tensors, as its header says");
        return Some(fault(path, expected, format!("{data_bytes} bytes")));
    }
    let words = tensors.iter().find(|(name, _)| name.ends_with("embeddings.word_embeddings.weight"));
    let Some((name, words)) = words else {
        return Some(fault(path, "a tensor embeddings.word_embeddings.weight", format!("{} others", tensors.len())));
    };
    let config = config?;
    (words.shape != [config.vocab_size, config.hidden_size]).then(|| {
        let expected = format!("{name} of shape [{}, {}], as {CONFIG} says", config.vocab_size, config.hidden_size);
        fault(path, expected, format!("{:?}", words.shape))
    })
}

fn read_header(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut length = [0; 8];
    let short = |_| io::Error::other(format!("{size} bytes, too few for a header"));
    file.read_exact(&mut length).map_err(short)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES.min(size.saturating_sub(8)) {
        return Err(io::Error::other(format!("a header of {length} bytes in a file of {size}")));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    Ok((header, size.saturating_sub(8).saturating_sub(length)))
}

fn fault(path: &Path, expected: impl Into<String>, found: impl ToString) -> FileFault {
    FileFault { path: path.to_owned(), expected: expected.into(), found: found.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{TinyModel, safetensors};

    fn check(path: &str, bytes: impl AsRef<[u8]>, expected: &str) {
        let model = TinyModel::new();
        std::fs::write(model.dir().join(path), bytes).unwrap();
        let faults = faults(model.dir(), &model.manifest());
        let text = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(faults.is_empty() || text.contains(path), "{text}");
    }

    #[test]
    fn wrong_files_are_named_with_what_was_expected_and_found() {
        let config = |kind: &str, hidden: usize, positions: usize| {
            format!(
                r#"{{"model_type":"{kind}","hidden_size":{hidden},"vocab_size":6,"max_position_embeddings":{positions}}}"#
            )
        };
        check("config.json", config("bert", 4, 32), "");
        check("config.json", config("mpnet", 4, 32), "expected model_type \"bert\", found \"mpnet\"");
        check("config.json", config("bert", 5, 32), "expected hidden_size 4, the dimension, found 5");
        check("config.json", config("bert", 4, 8), "max_position_embeddings of at least 16, the max_tokens, found 8");
        check("config.json", "<html>", "expected the configuration of a BERT model as JSON, found expected value");
        check("1_Pooling/config.json", r#"{"pooling_mode_max_tokens":true}"#, "expected mean pooling alone");
        check("tokenizer.json", "{}", "expected a tokenizer as JSON, found missing field `model`");
        check("model.safetensors", "x", "found 1 bytes, too few for a header");
        check("model.safetensors", [0xff; 64], "found a header of 18446744073709551615 bytes in a file of 64");
        check("model.safetensors", b"\x04\0\0\0\0\0\0\0{..}", "found a header that is not JSON");
        let mut truncated = safetensors("embeddings.word_embeddings.weight", 6, 4);
        truncated.truncate(truncated.len() - 5);
        check("model.safetensors", truncated, "expected 96 bytes of tensors, as its header says, found 91 bytes");
        check("model.safetensors", safetensors("x", 6, 4), "expected a tensor embeddings.word_embeddings.weight");
        let wide = safetensors("bert.embeddings.word_embeddings.weight", 6, 5);
        check("model.safetensors", wide, "of shape [6, 4], as config.json says, found [6, 5]");
    }
}
