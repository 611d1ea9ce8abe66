//! semroute: a semantic router for LLM prompts.

pub mod app;
pub mod classify;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod embed;
pub mod evaluate;
pub mod grpc;
pub mod index;
pub mod model;
pub mod prompt;
pub mod provider;
pub mod publish;
pub mod reference;
pub mod routing;
pub mod shutdown;
pub mod store;
pub mod telemetry;
