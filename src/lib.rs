//! semroute: a semantic router for LLM prompts.
//!
//! A prompt comes in over gRPC. It is embedded on this machine's CPU, the decision model that was fitted
//! to the labelled reference prompts judges it together with the nearest of them, an LLM is asked only if that is not
//! sure enough, and the prompt goes to the provider that the route maps to.
//!
//! # The way through
//!
//! ```text
//! pb::RouteRequest / pb::CompleteRequest
//!   | grpc::auth               govern::Caller: whose key, and what it may do
//!   | grpc::convert            field violations, all at once
//! prompt::Prompt               the user's newest words, bounded
//!   | classify::ExactCache     an equal prompt before it: on to the cascade
//!   | spelling::Spelling       typing errors mended by the words of the references
//!   | embed::EmbedQueue        async handle -> bounded queue -> threads that own the model
//! embed::Embedding             finite, unit norm
//!   | reference::Snapshot      exact scan or HNSW
//! Vec<reference::Neighbour>
//!   | semroute_decision        the snapshot's decision model: routes with probabilities, confidence, scope
//!   | classify::Cascade        the policy's threshold; if unsure the LLM stage; else the set's policy
//! classify::Decision  -------> pb::RouteResponse
//!   | routing::TokenCounter    only where a target might be too small
//!   | routing::RoutingTable    rules first, then the order: targets, and those refused
//! routing::Plan
//!   | govern::Ledger           what it may cost at most is reserved; settled when grpc::Journey ends
//!   | dispatch::Dispatcher     one deadline, one retry budget, breakers; failover until the first text
//! dispatch::Dispatched         govern::Audit: recorded before the answer leaves
//!   -------------------------> pb::CompleteResponse | stream of pb::CompleteEvent
//! ```
//!
//! Beside it, never on the request path: references API or `semroute reindex` -> [`reference::Store`] (a frozen
//! version) -> [`publish::Builder`] (embed, index, fit, check) -> [`reference::Snapshot`] -> one atomic swap in
//! [`reference::SnapshotCell`]. [`publish::LiveSets`] follows what any process publishes. And back: verdicts of the LLM
//! stage and corrections by clients -> [`learn::Learning`] -> proposals in the store -> the set's draft.
//!
//! # Layers
//!
//! | module | may use | names that stay inside |
//! | --- | --- | --- |
//! | `cli`, `main` | everything | clap, indicatif |
//! | `app` | everything below | |
//! | `grpc` | everything below | tonic, prost |
//! | `http` | `metrics`, `publish` | axum, hyper |
//! | `config` | configurations of the modules below | environment variables |
//! | `store` | `reference`, `govern` | sqlx |
//! | `doctor` | `evaluate`, `classify` and below | |
//! | `replay` | `dispatch` and below, `evaluate` | regex, boon (only `replay/schema.rs`) |
//! | `evaluate` | nothing | |
//! | `metrics` | `learn`, `govern` and below | prometheus |
//! | `govern` | `dispatch`, `routing` and below, `calendar` | blake3, rand, fs4, hdrhistogram |
//! | `learn` | `classify` and below | |
//! | `load` | `grpc::pb`, `reference` | h2, hdrhistogram, rand, rustls |
//! | `publish` | `classify` and below | |
//! | `dispatch` | `routing`, `money`, `provider` | |
//! | `routing` | `reference`, `provider`, `money` | bpe_openai (only `routing/tokens.rs`) |
//! | `classify` | `reference`, `provider`, `embed`, `prompt` | moka, blake3 |
//! | `reference` | `embed`, `index`, `decision`, `spelling` | |
//! | `spelling` | nothing | strsim |
//! | `index` | `embed` | hnsw_rs (only `index/hnsw.rs`), pulp |
//! | `embed` | `model` | tokenizers |
//! | `embed/encoder` (the crate `semroute-encoder`) | nothing | candle, pulp |
//! | `decision` (the crate `semroute-decision`) | nothing | |
//! | `money` | `provider` | |
//! | `calendar` | nothing | |
//! | `provider`, `model` | `prompt`; `reference::Fingerprint` | reqwest, AWS' SDK (only `provider/bedrock`) |
//! | `reach` | `telemetry` | |
//! | `telemetry` | `config::LogConfig` | opentelemetry, tracing-subscriber |
//!
//! Two rooms are not in the first sketch of the house: `model` (a model's files: found, fetched, checked), because it
//! is needed without any embedding, and `publish`, because building a version needs the vote of `classify`, which
//! stands above `reference`. The encoder and the decision model are crates of their own, because their loops want
//! optimisation in every profile and the rest wants to compile fast.
//!
//! # Invariants
//!
//! 1. A published snapshot never changes; a request takes one and uses it to the end, so that route, evidence and
//!    version agree.
//! 2. An embedding is finite, of norm 1 and of its snapshot's dimension, by construction.
//! 3. Nothing on the request path writes to the store or waits for it.
//! 4. No lock is held across an `.await`; every queue is bounded; every spawned task is tracked and stops at shutdown.
//! 5. The model runs on threads of its own, never on a tokio worker; each of them computes alone,
//!    unless nothing else waits and the others are idle.
//! 6. A deadline is received, shortened and passed on. Work whose caller has gone is dropped before it costs anything.
//! 7. After the first text has reached the client there is no failover; the stream ends with a status that says so.
//! 8. What a plan does not list is never tried, and a plan lists only what every rule has let pass: no retry and no
//!    hedge leaves it. The LLM stage's own call obeys the same rules.
//! 9. An LLM stage that fails, or is over its budget, degrades, and the answer says so. Overload is refused at once
//!    with RESOURCE_EXHAUSTED.
//! 10. Keys and prompts are in no log and no error. Prompts are remembered only where `[feedback]` is configured.
//!     The audit log holds keyed hashes of prompts.
//! 11. What a caller may not use is refused before it is embedded or sent. What a key may spend is reserved before a
//!     request is sent and settled after it, in memory; the store is written beside it.

pub mod app;
pub mod calendar;
pub mod classify;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod doctor;
pub mod embed;
pub mod evaluate;
pub mod govern;
pub mod grpc;
pub mod http;
pub mod index;
pub mod learn;
pub mod load;
pub mod metrics;
pub mod model;
pub mod money;
pub mod prompt;
pub mod provider;
pub mod publish;
mod reach;
pub mod reference;
pub mod replay;
pub mod routing;
mod rpc_code;
pub mod shutdown;
pub mod spelling;
pub mod store;
pub mod telemetry;
