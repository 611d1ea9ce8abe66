//! One request as it is recorded. Plain words and numbers: the log outlives the types that it was made from.
//!
//! Times are in microseconds (`_us`), money in billionths of the unit that prices are given in (`_nano`). What is not
//! known is left out. Readers take fields that they do not know for granted: the format may grow.

use serde::{Deserialize, Serialize};

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    pub method: Method,
    /// The caller's `x-request-id`, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Id of the caller's key, never the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Keyed BLAKE3 of the words that were classified, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Name of the gRPC code that it ended with; `CANCELLED` where the caller had gone before the end.
    pub code: String,
    /// The stable reason of an error, such as `ALL_TARGETS_FAILED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// From its arrival to this record. The line's `time` is that of the record.
    pub took_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decided>,
    /// In order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Tried>,
    /// Targets that were not allowed to be tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// Targets before the one that answered which were passed over, since their breaker was open or they were to rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<Refused>,
    /// Refusals beyond those listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answered>,
    /// Of all attempts whose cost is known, and of the LLM stage where that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_nano: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Method {
    #[default]
    Route,
    RouteBatch,
    Complete,
    CompleteStream,
}

impl Method {
    /// Whether a provider was to answer.
    pub fn completes(self) -> bool {
        matches!(self, Self::Complete | Self::CompleteStream)
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Decided {
    pub id: String,
    pub set: String,
    pub version: u64,
    /// Fingerprint of the embedding model.
    pub model: String,
    /// None: no route applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// That the route is right, in [0, 1], as the decision model says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// Least confidence with which the first stage decides alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    pub stage: String,
    /// What became of the LLM stage.
    pub llm: String,
    /// Whether this very decision put the question to the LLM stage's model and got its choice.
    #[serde(skip_serializing_if = "is_false")]
    pub llm_asked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm_cost_nano: Option<u64>,
    pub cached: bool,
    pub took_us: u64,
    /// Ids of the reference prompts that were nearest, as many as the request asked to see.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// One call to one target.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tried {
    pub target: String,
    pub provider: String,
    /// As it was asked for.
    pub model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// `ok`, the kind of its failure, or `cancelled`.
    pub outcome: String,
    /// HTTP status of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Counted from the begin of the dispatch.
    pub started_us: u64,
    pub took_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_text_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_nano: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    pub hedge: bool,
    /// Whether it tried out a target whose breaker was half open.
    #[serde(skip_serializing_if = "is_false")]
    pub probe: bool,
    /// Whether any of its answer was handed over.
    #[serde(skip_serializing_if = "is_false")]
    pub committed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// Those read from a cache included.
    pub input: u64,
    /// Hidden reasoning included.
    pub output: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cached_input: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    /// Not as the provider counted them, but as we do.
    #[serde(skip_serializing_if = "is_false")]
    pub estimated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    pub target: String,
    pub reason: String,
}

/// Who answered, in the end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answered {
    pub target: String,
    /// As the provider reported it, shortened; else as it was asked for.
    pub model: String,
    /// `stop`, `length`, `content_filter`, `tool_calls` or `other`.
    pub finish: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}
