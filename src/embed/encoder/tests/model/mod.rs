//! A small BERT with made-up weights.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use semroute_encoder::{BertSource, Encoder, EncoderConfig, Pooling, Precision};

pub const VOCABULARY: usize = 50;
const POSITIONS: usize = 48;
const HIDDEN: usize = 96;
const WIDE: usize = 200;
const LAYERS: usize = 2;

/// `name` is of the test, so that no two write the same files. `gain`: of the first normalisation.
pub fn encoder(name: &str, gain: f32, precision: Precision) -> Encoder {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", precision.as_str()));
    let source = write(&folder, gain);
    Encoder::load(&source, EncoderConfig { precision, instruction_set: None }).unwrap()
}

fn write(folder: &Path, gain: f32) -> BertSource {
    std::fs::create_dir_all(folder).unwrap();
    let config = format!(
        r#"{{"vocab_size":{VOCABULARY},"hidden_size":{HIDDEN},"num_hidden_layers":{LAYERS},"num_attention_heads":3,
            "intermediate_size":{WIDE},"max_position_embeddings":{POSITIONS},"type_vocab_size":2,
            "layer_norm_eps":1e-12,"hidden_act":"gelu","model_type":"bert"}}"#
    );
    let mut tensors = Tensors(HashMap::new(), 1);
    tensors.add("embeddings.word_embeddings.weight", &[VOCABULARY, HIDDEN], 0.0, 1.0);
    tensors.add("embeddings.position_embeddings.weight", &[POSITIONS, HIDDEN], 0.0, 0.3);
    tensors.add("embeddings.token_type_embeddings.weight", &[2, HIDDEN], 0.0, 0.3);
    tensors.norm("embeddings.LayerNorm", gain);
    for layer in 0..LAYERS {
        let layer = format!("encoder.layer.{layer}");
        for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
            tensors.linear(&format!("{layer}.{part}"), HIDDEN, HIDDEN);
        }
        tensors.linear(&format!("{layer}.intermediate.dense"), HIDDEN, WIDE);
        tensors.linear(&format!("{layer}.output.dense"), WIDE, HIDDEN);
        tensors.norm(&format!("{layer}.attention.output.LayerNorm"), 1.0);
        tensors.norm(&format!("{layer}.output.LayerNorm"), 1.0);
    }
    let (config_path, weights): (PathBuf, PathBuf) = (folder.join("config.json"), folder.join("model.safetensors"));
    std::fs::write(&config_path, config).unwrap();
    candle_core::safetensors::save(&tensors.0, &weights).unwrap();
    BertSource { config: config_path, weights, pooling: Pooling::Mean, dimension: HIDDEN, max_tokens: POSITIONS }
}

/// Tensors, and the state of a generator of numbers.
struct Tensors(HashMap<String, Tensor>, u64);

impl Tensors {
    /// Numbers around `centre`, at most `spread` away.
    fn add(&mut self, name: &str, shape: &[usize], centre: f32, spread: f32) {
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| {
                self.1 = self.1.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                centre + spread * ((self.1 >> 40) as f32 / f32::from(1u16 << 15) / 256.0 - 1.0)
            })
            .collect();
        self.0.insert(name.to_owned(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) {
        self.add(&format!("{name}.weight"), &[outputs, inputs], 0.0, 0.2);
        self.add(&format!("{name}.bias"), &[outputs], 0.0, 0.1);
    }

    fn norm(&mut self, name: &str, gain: f32) {
        self.add(&format!("{name}.weight"), &[HIDDEN], gain, 0.0);
        self.add(&format!("{name}.bias"), &[HIDDEN], 0.0, 0.1);
    }
}
