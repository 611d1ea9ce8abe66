//! From a prompt to a [`Decision`]: the neighbours' vote, and the LLM stage for what the vote is unsure of.

mod cascade;
mod decision;
mod judge;
mod knn;
mod llm;
mod verdict;

pub use cascade::{Cascade, ClassifyOptions, Purpose};
pub use decision::{Decision, LlmOutcome, Stage, Timings};
pub use judge::{Doubt, Measure};
pub use knn::{RouteScore, SHARPNESS, VOTERS, margin, vote};
pub use llm::{LlmConfig, LlmStage};
pub use verdict::NONE;
