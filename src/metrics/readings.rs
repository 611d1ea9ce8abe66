//! What others count for themselves, read when somebody asks: the snapshots, the cache, the queue.

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Result};

use super::Sources;
use super::book::Book;
use crate::classify::CacheStats;

pub(super) struct Readings {
    ready: IntGauge,
    snapshots: Snapshots,
    cache: Cache,
    queue: Queue,
}

impl Readings {
    pub(super) fn new(book: &Book, model: &str) -> Result<Self> {
        let build = book.gauges("semroute_build_info", "Always 1: what runs here.", &["version", "model"])?;
        build.get_metric_with_label_values(&[env!("CARGO_PKG_VERSION"), model])?.set(1);
        Ok(Self {
            ready: book
                .gauge("semroute_ready", "1 if every published set is served, as /readyz says while it runs.")?,
            snapshots: Snapshots::new(book)?,
            cache: Cache::new(book)?,
            queue: Queue::new(book)?,
        })
    }

    pub(super) fn read(&self, sources: &Sources) {
        self.ready.set(i64::from(sources.live.readiness().is_ready()));
        self.snapshots.read(sources);
        self.cache.read(sources.cache.as_ref().map(|cache| cache.stats()).unwrap_or_default());
        self.queue.read(sources);
    }
}

/// What is served, by set.
struct Snapshots {
    version: IntGaugeVec,
    references: IntGaugeVec,
    routes: IntGaugeVec,
    index: IntGaugeVec,
    stale: IntGaugeVec,
}

impl Snapshots {
    fn new(book: &Book) -> Result<Self> {
        let by_set = |name: &str, help: &str| book.gauges(name, help, &["set"]);
        let stale = "1 if the published version of a set cannot be served, and an older one or none is.";
        Ok(Self {
            version: by_set("semroute_snapshot_version", "Version of a set that is served.")?,
            references: by_set("semroute_snapshot_references", "Reference prompts of the version that is served.")?,
            routes: by_set("semroute_snapshot_routes", "Routes of the version that is served.")?,
            index: book.gauges("semroute_snapshot_index_info", "Always 1: the index of a set.", &["set", "kind"])?,
            stale: by_set("semroute_set_stale", stale)?,
        })
    }

    fn read(&self, sources: &Sources) {
        for family in [&self.version, &self.references, &self.routes, &self.index, &self.stale] {
            family.reset();
        }
        let set = |family: &IntGaugeVec, labels: &[&str], value: i64| {
            if let Ok(gauge) = family.get_metric_with_label_values(labels) {
                gauge.set(value);
            }
        };
        for snapshot in sources.live.snapshots().all() {
            let name = snapshot.set.as_str();
            set(&self.version, &[name], snapshot.version as i64);
            set(&self.references, &[name], snapshot.references.len() as i64);
            set(&self.routes, &[name], snapshot.routes.len() as i64);
            set(&self.index, &[name, snapshot.index_report.kind.as_str()], 1);
            set(&self.stale, &[name], 0);
        }
        for (name, _) in sources.live.problems() {
            set(&self.stale, &[name.as_str()], 1);
        }
    }
}

/// The exact-decision cache; all zero if it is off.
struct Cache {
    hits: IntCounter,
    misses: IntCounter,
    joined: IntCounter,
    evicted: IntCounter,
    expired: IntCounter,
    entries: IntGauge,
    bytes: IntGauge,
    max_bytes: IntGauge,
}

impl Cache {
    fn new(book: &Book) -> Result<Self> {
        let removed = "Entries dropped, by reason. size: for want of room; expired: time over or snapshot replaced.";
        let removed = book.counters("semroute_cache_removed_total", removed, &["reason"])?;
        let counter = |name: &str, help: &str| book.counter(name, help);
        let gauge = |name: &str, help: &str| book.gauge(name, help);
        Ok(Self {
            hits: counter("semroute_cache_hits_total", "Prompts whose evidence was kept.")?,
            misses: counter("semroute_cache_misses_total", "Times that evidence had to be gathered.")?,
            joined: counter("semroute_cache_joined_total", "Prompts that waited for an equal one under way.")?,
            evicted: removed.get_metric_with_label_values(&["size"])?,
            expired: removed.get_metric_with_label_values(&["expired"])?,
            entries: gauge("semroute_cache_entries", "Entries of the exact-decision cache.")?,
            bytes: gauge("semroute_cache_bytes", "Memory that the entries take.")?,
            max_bytes: gauge("semroute_cache_max_bytes", "Most memory that they may take; 0: the cache is off.")?,
        })
    }

    fn read(&self, stats: CacheStats) {
        catch_up(&self.hits, stats.hits);
        catch_up(&self.misses, stats.misses);
        catch_up(&self.joined, stats.joined);
        catch_up(&self.evicted, stats.evicted);
        catch_up(&self.expired, stats.expired);
        self.entries.set(stats.entries as i64);
        self.bytes.set(stats.bytes as i64);
        self.max_bytes.set(stats.max_bytes as i64);
    }
}

/// The embedding queue and its workers.
struct Queue {
    depth: IntGauge,
    capacity: IntGauge,
}

impl Queue {
    fn new(book: &Book) -> Result<Self> {
        Ok(Self {
            depth: book.gauge("semroute_embed_queue_depth", "Prompts waiting for an embedding worker.")?,
            capacity: book.gauge("semroute_embed_queue_capacity", "Most prompts that may wait.")?,
        })
    }

    fn read(&self, sources: &Sources) {
        self.depth.set(sources.queue.depth() as i64);
        self.capacity.set(sources.queue.capacity() as i64);
    }
}

/// Brings a counter to what somebody else has counted. Only readers write here, one at a time.
fn catch_up(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
