//! The sizes of a BERT encoder, as its config.json gives them.

use serde::Deserialize;

use crate::attention::Heads;
use crate::finish::Activation;

/// The fields of config.json that the encoder is built from. Others (dropout, labels) do not matter for inference.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Shape {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub max_position_embeddings: usize,
    pub type_vocab_size: usize,
    pub layer_norm_eps: f32,
    #[serde(rename = "hidden_act")]
    pub activation: Activation,
    #[serde(default)]
    pub model_type: Option<String>,
    #[serde(default)]
    pub position_embedding_type: Option<String>,
}

impl Shape {
    /// Reads a config.json; says what is wrong with it.
    pub fn parse(json: &str) -> Result<Self, String> {
        let shape: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        shape.check().map(|()| shape)
    }

    fn check(&self) -> Result<(), String> {
        if let Some(kind) = self.model_type.as_deref().filter(|kind| *kind != "bert") {
            return Err(format!("model_type is {kind:?}, only \"bert\" can be run"));
        }
        if let Some(kind) = self.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
            return Err(format!("position_embedding_type is {kind:?}, only \"absolute\" can be run"));
        }
        let sizes = [
            ("vocab_size", self.vocab_size, 10_000_000),
            ("hidden_size", self.hidden_size, 16_384),
            ("num_hidden_layers", self.num_hidden_layers, 1_000),
            ("num_attention_heads", self.num_attention_heads, 1_024),
            ("intermediate_size", self.intermediate_size, 65_536),
            ("max_position_embeddings", self.max_position_embeddings, 1_000_000),
            ("type_vocab_size", self.type_vocab_size, 1_000),
        ];
        if let Some((field, value, most)) = sizes.into_iter().find(|(_, value, most)| *value == 0 || value > most) {
            return Err(format!("{field} is {value}, must be from 1 to {most}"));
        }
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        if !hidden.is_multiple_of(heads) {
            return Err(format!("hidden_size {hidden} is no multiple of num_attention_heads {heads}"));
        }
        if !(self.layer_norm_eps.is_finite() && self.layer_norm_eps >= 0.0) {
            return Err(format!("layer_norm_eps is {}, must be a number from 0", self.layer_norm_eps));
        }
        Ok(())
    }

    pub fn heads(&self) -> Heads {
        Heads { count: self.num_attention_heads, size: self.hidden_size / self.num_attention_heads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: &str) -> String {
        let json = r#"{"vocab_size":100,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,
            "intermediate_size":16,"max_position_embeddings":32,"type_vocab_size":2,"layer_norm_eps":1e-12,
            "hidden_act":"gelu","model_type":"bert"}"#;
        let (field, value) = change.split_once('=').unwrap_or(("hidden_dropout_prob", "0.1"));
        let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
        object.insert(field.to_owned(), serde_json::from_str(value).unwrap());
        serde_json::to_string(&object).unwrap()
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_field() {
        assert!(Shape::parse(&config("")).is_ok());
        assert_eq!(Shape::parse(&config("hidden_act=\"relu\"")).unwrap().activation, Activation::Relu);
        let table = [
            ("model_type=\"roberta\"", "model_type"),
            ("position_embedding_type=\"relative_key\"", "position_embedding_type"),
            ("hidden_size=0", "hidden_size is 0"),
            ("hidden_size=9", "no multiple"),
            ("num_hidden_layers=0", "num_hidden_layers"),
            ("vocab_size=100000000000", "vocab_size"),
            ("vocab_size=-1", "-1"),
            ("layer_norm_eps=-1", "layer_norm_eps"),
            ("hidden_act=\"swish\"", "swish"),
        ];
        for (change, expected) in table {
            let fault = Shape::parse(&config(change)).unwrap_err();
            assert!(fault.contains(expected), "{change}: {fault}");
        }
        assert!(Shape::parse("{").is_err());
    }
}
