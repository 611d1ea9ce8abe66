//! The BERT encoder of candle-transformers with pooling: what tests and benches compare with.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};

use crate::error::EncoderError;
use crate::source::{BertSource, Pooling};

/// Weights are shared between clones.
#[derive(Clone)]
pub struct CandleBert {
    model: Arc<BertModel>,
    vocabulary: usize,
    pooling: Pooling,
}

impl CandleBert {
    /// Loads config.json and model.safetensors (read whole, checked against the configuration's shapes).
    pub fn load(source: &BertSource) -> Result<Self, EncoderError> {
        let config = read_config(source)?;
        let path = &source.weights;
        let bytes = std::fs::read(path).map_err(|source| EncoderError::Read { path: path.clone(), source })?;
        let bad = |source| EncoderError::BadWeights { path: path.clone(), source };
        let weights = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).map_err(bad)?;
        let model = BertModel::load(weights, &config).map_err(bad)?;
        Ok(Self { model: Arc::new(model), vocabulary: config.vocab_size, pooling: source.pooling })
    }

    /// One pooled vector, not normalised, for each row of token ids: (batch, hidden). `TokenOutOfRange`, `Forward`.
    pub fn encode(&self, batch: &[&[u32]]) -> Result<Vec<Vec<f32>>, EncoderError> {
        let (ids, mask) = self.tensors(batch)?;
        self.forward(&ids, &mask).map_err(EncoderError::Forward)
    }

    /// Token ids of one length each row, and 1 where a token stands, 0 where padding does: (batch, longest).
    fn tensors(&self, batch: &[&[u32]]) -> Result<(Tensor, Tensor), EncoderError> {
        let longest = batch.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let mut ids = vec![0u32; batch.len() * longest];
        let mut mask = vec![0u32; batch.len() * longest];
        for (row, tokens) in batch.iter().enumerate() {
            if let Some(&id) = tokens.iter().find(|&&id| id as usize >= self.vocabulary) {
                return Err(EncoderError::TokenOutOfRange { id, vocabulary: self.vocabulary });
            }
            let span = row * longest..row * longest + tokens.len();
            ids[span.clone()].copy_from_slice(tokens);
            mask[span].fill(1);
        }
        let shape = (batch.len(), longest);
        let ids = Tensor::from_vec(ids, shape, &Device::Cpu).map_err(EncoderError::Forward)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu).map_err(EncoderError::Forward)?;
        Ok((ids, mask))
    }

    /// One pooled, not yet normalised vector a row: (batch, hidden).
    fn forward(&self, ids: &Tensor, mask: &Tensor) -> candle_core::Result<Vec<Vec<f32>>> {
        let hidden = self.model.forward(ids, &ids.zeros_like()?, Some(mask))?;
        let pooled = match self.pooling {
            Pooling::Cls => hidden.narrow(1, 0, 1)?.squeeze(1)?,
            Pooling::Mean => {
                let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
                let sum = hidden.broadcast_mul(&mask)?.sum(1)?;
                sum.broadcast_div(&mask.sum(1)?)?
            }
        };
        pooled.to_vec2()
    }
}

fn read_config(source: &BertSource) -> Result<Config, EncoderError> {
    let path: &Path = &source.config;
    let bad = |what: String| EncoderError::BadConfig { path: path.to_owned(), what };
    let text = std::fs::read_to_string(path).map_err(|source| EncoderError::Read { path: path.to_owned(), source })?;
    let config: Config = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if let Some(kind) = config.model_type.as_deref().filter(|kind| *kind != "bert") {
        return Err(bad(format!("model_type is {kind:?}, only \"bert\" can be run")));
    }
    if config.hidden_size != source.dimension {
        return Err(bad(format!("hidden_size is {}, the model's dimension {}", config.hidden_size, source.dimension)));
    }
    if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
        let (size, heads) = (config.hidden_size, config.num_attention_heads);
        return Err(bad(format!("hidden_size {size} is no multiple of num_attention_heads {heads}")));
    }
    if config.max_position_embeddings < source.max_tokens {
        let (positions, tokens) = (config.max_position_embeddings, source.max_tokens);
        return Err(bad(format!("max_position_embeddings is {positions}, less than max_tokens {tokens}")));
    }
    Ok(config)
}
