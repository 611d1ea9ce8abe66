//! semroute: a semantic router for LLM prompts.

pub mod dispatch;
pub mod embed;
pub mod evaluate;
pub mod grpc;
pub mod model;
pub mod prompt;
pub mod provider;
pub mod reference;
pub mod routing;
pub mod store;
