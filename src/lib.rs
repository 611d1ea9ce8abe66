//! semroute: a semantic router for LLM prompts.

pub mod cli;
pub mod dispatch;
pub mod evaluate;
pub mod model;
pub mod prompt;
pub mod provider;
pub mod reference;
pub mod routing;
pub mod store;
