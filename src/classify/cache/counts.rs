//! What the cache did, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use moka::notification::RemovalCause;

/// Counts are since the start; the others are as of now, give or take what is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Requests whose evidence was kept.
    pub hits: u64,
    /// Times that evidence had to be gathered.
    pub misses: u64,
    /// Requests that waited for evidence which another one was having gathered.
    pub joined: u64,
    /// Entries dropped for want of room.
    pub evicted: u64,
    /// Entries dropped because their time was over or their snapshot was replaced.
    pub expired: u64,
    pub entries: u64,
    pub bytes: u64,
    pub max_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    joined: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
}

impl Counts {
    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn joined(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn removed(&self, cause: RemovalCause) {
        match cause {
            RemovalCause::Size => self.evicted.fetch_add(1, Ordering::Relaxed),
            RemovalCause::Expired | RemovalCause::Explicit => self.expired.fetch_add(1, Ordering::Relaxed),
            // By a longer list of neighbours.
            RemovalCause::Replaced => 0,
        };
    }

    pub(super) fn stats(&self, entries: u64, bytes: u64, max_bytes: Option<u64>) -> CacheStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheStats {
            hits: read(&self.hits),
            misses: read(&self.misses),
            joined: read(&self.joined),
            evicted: read(&self.evicted),
            expired: read(&self.expired),
            entries,
            bytes,
            max_bytes: max_bytes.unwrap_or_default(),
        }
    }
}
