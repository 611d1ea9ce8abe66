//! How far a build is: told to whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Told by the builder, from one task at a time.
pub trait BuildProgress: Send + Sync {
    /// So many of the version's `total` prompts have to be embedded; called once, before the first.
    fn to_embed(&self, texts: u64, total: u64);
    /// So many more have been embedded and saved.
    fn embedded(&self, texts: u64);
    /// The index is being built and measured over so many prompts.
    fn indexing(&self, prompts: u64);
    /// So many of them are in the graph; told now and then, and not at all for an index without one.
    fn indexed(&self, prompts: u64);
}

/// Counts, for those who ask from time to time.
#[derive(Debug, Default)]
pub struct Counters {
    pub to_embed: AtomicU64,
    pub embedded: AtomicU64,
}

impl BuildProgress for Counters {
    fn to_embed(&self, texts: u64, _total: u64) {
        self.to_embed.store(texts, Ordering::Relaxed);
    }

    fn embedded(&self, texts: u64) {
        self.embedded.fetch_add(texts, Ordering::Relaxed);
    }

    fn indexing(&self, _prompts: u64) {}

    fn indexed(&self, _prompts: u64) {}
}
