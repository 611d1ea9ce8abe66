//! `[embedding]` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::embed::{InstructionSet, Precision};

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingConfig {
    /// A folder in `models_dir`.
    pub model: String,
    /// Of the model's linear layers: `int8` or `f32`.
    pub precision: Precision,
    /// The widest instructions to use: `portable`, `avx2` or `avx512`; left out: the widest that the CPU has.
    pub instruction_set: Option<InstructionSet>,
    /// Threads; 0: one a core.
    pub workers: usize,
    /// How much nicer the threads are than the rest of the process, 0 to 19, so that answers and refusals need not wait
    /// for them. On Linux only.
    pub niceness: u8,
    /// Whether a prompt that is alone is spread over the cores of idle workers, where that turns out to be faster.
    pub spread: bool,
    /// Whether a word that neither the model nor the set knows is read as the word of the reference prompts that it is
    /// a typing error away from.
    pub mend_typing_errors: bool,
    /// Prompts waiting for a thread; one more is refused.
    pub queue_capacity: usize,
    /// Longest time that a prompt may wait for a thread; one that would wait longer is refused. A queue that is never
    /// shorter than a second is no burst that it takes up: it makes all wait, and does no more work for it.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
    /// Most tokens of a batch; 0: found by a measurement at the start.
    pub batch_tokens: usize,
    /// Most prompts of a batch.
    pub batch_prompts: usize,
    /// Where the model may be copied from, before any download.
    pub model_source: Option<PathBuf>,
    /// The Hugging Face Hub or a mirror of it.
    pub hub_endpoint: Option<String>,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self {
            model: "all-MiniLM-L6-v2".to_owned(),
            precision: Precision::default(),
            instruction_set: None,
            workers: 0,
            niceness: 5,
            spread: true,
            mend_typing_errors: true,
            queue_capacity: 512,
            max_wait: Duration::from_secs(1),
            batch_tokens: 0,
            batch_prompts: 64,
            model_source: None,
            hub_endpoint: None,
        }
    }
}
