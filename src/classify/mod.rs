//! From a prompt to a [`Decision`]: the neighbours' vote, and the LLM stage for what the vote is unsure of.
//! What was found on a prompt is kept for the next one that is equal to it.

mod budget;
mod byte_size;
mod cache;
mod cascade;
mod decision;
mod evidence;
mod flight;
mod judge;
mod knn;
mod llm;
mod shortlist;
mod trace;
mod verdict;
mod weigh;

pub use budget::{Budget, BudgetConfig, BudgetStats, Cap, follow_spend};
pub use byte_size::{ByteSize, NoByteSize};
pub use cache::{CacheConfig, CacheStats, ExactCache};
pub use cascade::{Cascade, ClassifyOptions, LlmAccess, Purpose};
pub use decision::{Decision, LlmOutcome, Stage, Timings};
pub use evidence::{Evidence, Judged};
pub use judge::{Doubt, Measure};
pub use knn::{RouteScore, VOTERS, vote};
pub use llm::{LlmChoice, LlmConfig, LlmStage};
pub use verdict::NONE;
