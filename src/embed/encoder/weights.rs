//! Reads named tensors of a model.safetensors and checks them: shape, and that every value is finite.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use candle_nn::VarBuilder;

use crate::error::EncoderError;
use crate::norm::LayerNorm;

/// The tensors of one file.
pub(super) struct WeightFile {
    path: PathBuf,
    /// At the place where a BERT's tensors begin: some files put them under `bert.`.
    tensors: VarBuilder<'static>,
}

/// A place among the tensors, such as `encoder.layer.3.attention`.
pub(super) struct Scope<'a> {
    file: &'a WeightFile,
    name: String,
}

impl WeightFile {
    pub fn open(path: &Path) -> Result<Self, EncoderError> {
        let bytes = std::fs::read(path).map_err(|source| EncoderError::Read { path: path.to_owned(), source })?;
        let tensors = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)
            .map_err(|source| EncoderError::BadWeights { path: path.to_owned(), source })?;
        let bare = tensors.contains_tensor("embeddings.word_embeddings.weight");
        let tensors = if bare { tensors } else { tensors.pp("bert") };
        Ok(Self { path: path.to_owned(), tensors })
    }

    pub fn scope(&self, name: impl Into<String>) -> Scope<'_> {
        Scope { file: self, name: name.into() }
    }
}

impl Scope<'_> {
    pub fn scope(&self, name: &str) -> Scope<'_> {
        Scope { file: self.file, name: format!("{}.{name}", self.name) }
    }

    /// The values of tensor `name`, row-major.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EncoderError> {
        let name = format!("{}.{name}", self.name);
        let bad = |source| EncoderError::BadWeights { path: self.file.path.clone(), source };
        let tensor = self.file.tensors.get(shape, &name).map_err(bad)?;
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(bad)?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => {
                let value = values[at];
                Err(EncoderError::WeightNotFinite { path: self.file.path.clone(), tensor: name, at, value })
            }
            None => Ok(values),
        }
    }

    /// Weights, row-major (outputs, inputs), and bias of a linear layer.
    pub fn linear(&self, inputs: usize, outputs: usize) -> Result<(Vec<f32>, Vec<f32>), EncoderError> {
        Ok((self.tensor("weight", &[outputs, inputs])?, self.tensor("bias", &[outputs])?))
    }

    /// Files converted from TensorFlow call the gain `gamma` and the shift `beta`.
    pub fn layer_norm(&self, components: usize, epsilon: f32) -> Result<LayerNorm, EncoderError> {
        let old = self.file.tensors.contains_tensor(&format!("{}.gamma", self.name));
        let (gain, shift) = if old { ("gamma", "beta") } else { ("weight", "bias") };
        let (gain, shift) = (self.tensor(gain, &[components])?, self.tensor(shift, &[components])?);
        Ok(LayerNorm { gain, shift, epsilon })
    }
}
