//! A manifest for a folder that has none: a BERT sentence encoder as sentence-transformers lays it out.

use std::path::Path;

use serde::Deserialize;

use super::error::{FileFault, ModelError, Result};
use super::manifest::{CONFIG, FileSpec, ModelManifest, POOLING, Pooling, REQUIRED};
use super::shape::{BertConfig, PoolingConfig, read_json};

/// Where sentence-transformers writes the longest input, in tokens.
const SEQUENCE: &str = "sentence_bert_config.json";

#[derive(Deserialize)]
struct SequenceConfig {
    max_seq_length: Option<usize>,
}

/// Makes a manifest without sizes, hashes and sources out of the files in `dir`.
///
/// - dimension: `hidden_size` of `config.json`
/// - pooling: `1_Pooling/config.json`; the mean where there is none, as sentence-transformers does
/// - normalise: always. Similarity is the cosine here, and it is the same for a vector of any length.
/// - max_tokens: `max_seq_length` of `sentence_bert_config.json`, at most `max_position_embeddings`
///
/// Errors: `NotAModel` if a required file is missing, `Damaged` if one of those above cannot be used.
pub(super) fn manifest(dir: &Path, name: &str) -> Result<ModelManifest> {
    let missing: Vec<_> = REQUIRED.into_iter().filter(|path| !dir.join(path).is_file()).map(String::from).collect();
    if !missing.is_empty() {
        return Err(ModelError::NotAModel { dir: dir.to_owned(), missing });
    }
    let damaged = |fault: FileFault| ModelError::Damaged { name: name.to_owned(), faults: vec![fault] };
    let config: BertConfig = read_json(&dir.join(CONFIG), "the configuration of a BERT model").map_err(damaged)?;
    if config.hidden_size == 0 || config.max_position_embeddings == 0 {
        let expected = "hidden_size and max_position_embeddings of at least 1".to_owned();
        let found = format!("{} and {}", config.hidden_size, config.max_position_embeddings);
        return Err(damaged(FileFault { path: dir.join(CONFIG), expected, found }));
    }
    let has_pooling = dir.join(POOLING).is_file();
    let paths = REQUIRED.into_iter().chain(has_pooling.then_some(POOLING));
    Ok(ModelManifest {
        name: name.to_owned(),
        description: String::new(),
        licence: String::new(),
        dimension: config.hidden_size,
        pooling: if has_pooling { pooling(&dir.join(POOLING)).map_err(damaged)? } else { Pooling::Mean },
        normalise: true,
        max_tokens: max_tokens(dir, &config).map_err(damaged)?,
        files: paths.map(|path| FileSpec { path: path.to_owned(), size: None, sha256: None }).collect(),
        sources: Vec::new(),
    })
}

fn pooling(path: &Path) -> Result<Pooling, FileFault> {
    let config: PoolingConfig = read_json(path, "the configuration of a pooling layer")?;
    config.pooling().ok_or_else(|| FileFault {
        path: path.to_owned(),
        expected: "mean or cls pooling, one of them alone".to_owned(),
        found: format!("{config:?}"),
    })
}

fn max_tokens(dir: &Path, config: &BertConfig) -> Result<usize, FileFault> {
    let path = dir.join(SEQUENCE);
    let longest = config.max_position_embeddings;
    if !path.is_file() {
        return Ok(longest);
    }
    let sequence: SequenceConfig = read_json(&path, "the length of a sentence encoder's input")?;
    Ok(sequence.max_seq_length.map_or(longest, |tokens| tokens.min(longest)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::testing::TinyModel;

    #[test]
    fn a_folder_without_a_manifest_is_read_from_its_own_files() {
        let model = TinyModel::new();
        let found = manifest(model.dir(), "tiny").unwrap();
        assert_eq!((found.dimension, found.pooling, found.normalise, found.max_tokens), (4, Pooling::Mean, true, 32));
        assert_eq!(found.files.len(), 4);

        fs::write(model.dir().join(SEQUENCE), r#"{"max_seq_length": 20, "do_lower_case": false}"#).unwrap();
        fs::write(model.dir().join(POOLING), r#"{"pooling_mode_cls_token": true}"#).unwrap();
        let found = manifest(model.dir(), "tiny").unwrap();
        assert_eq!((found.pooling, found.max_tokens), (Pooling::Cls, 20));

        fs::remove_dir_all(model.dir().join("1_Pooling")).unwrap();
        assert_eq!(manifest(model.dir(), "tiny").unwrap().pooling, Pooling::Mean);
        fs::remove_file(model.dir().join("tokenizer.json")).unwrap();
        let error = manifest(model.dir(), "tiny").unwrap_err().to_string();
        assert!(error.contains("lacks tokenizer.json"), "{error}");
    }
}
