//! semroute: a semantic router for LLM prompts.

pub mod classify;
pub mod embed;
pub mod evaluate;
pub mod index;
pub mod model;
pub mod prompt;
pub mod provider;
pub mod publish;
pub mod reference;
