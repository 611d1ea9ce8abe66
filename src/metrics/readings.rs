//! What others count for themselves, read when somebody asks: the snapshots, the cache, the queue.

use prometheus::{Counter, Gauge, IntCounter, IntGauge, IntGaugeVec, Result};

use super::Sources;
use super::audit::Log;
use super::book::Book;
use super::keys::KeyUse;
use super::learning::Proposals;
use super::llm::Llm;
use crate::classify::CacheStats;
use crate::embed::QueueStats;

pub(super) struct Readings {
    ready: IntGauge,
    snapshots: Snapshots,
    cache: Cache,
    llm: Llm,
    proposals: Proposals,
    keys: KeyUse,
    queue: Queue,
    audit: Log,
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
            llm: Llm::new(book)?,
            proposals: Proposals::new(book)?,
            keys: KeyUse::new(book)?,
            queue: Queue::new(book)?,
            audit: Log::new(book)?,
        })
    }

    pub(super) fn read(&self, sources: &Sources) {
        self.ready.set(i64::from(sources.live.readiness().is_ready()));
        self.snapshots.read(sources);
        self.cache.read(sources.cache.as_ref().map(|cache| cache.stats()).unwrap_or_default());
        self.llm.read(sources.budget.as_ref().map(|budget| budget.stats()).unwrap_or_default());
        self.proposals.read(sources.learning.stats());
        self.keys.read(&sources.keys);
        self.queue.read(sources.queue.stats());
        self.audit.read(sources.audit.stats());
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
        let totals = [
            (&self.hits, stats.hits),
            (&self.misses, stats.misses),
            (&self.joined, stats.joined),
            (&self.evicted, stats.evicted),
            (&self.expired, stats.expired),
        ];
        totals.into_iter().for_each(|(counter, total)| catch_up(counter, total));
        self.entries.set(stats.entries as i64);
        self.bytes.set(stats.bytes as i64);
        self.max_bytes.set(stats.max_bytes as i64);
    }
}

/// The embedding queue and its workers. Texts of builds in the background are embedded by them too.
struct Queue {
    depth: IntGauge,
    capacity: IntGauge,
    waiting_tokens: IntGauge,
    workers: IntGauge,
    saturation: Gauge,
    rate: Gauge,
    busy: Counter,
    texts: IntCounter,
    tokens: IntCounter,
    batches: IntCounter,
    expired: IntCounter,
    cancelled: IntCounter,
    late: IntCounter,
    failed: IntCounter,
    panics: IntCounter,
}

impl Queue {
    fn new(book: &Book) -> Result<Self> {
        let dropped = "Texts dropped before a forward pass began, by reason: they cost no pass.";
        let dropped = book.counters("semroute_embed_dropped_total", dropped, &["reason"])?;
        let saturation = "Share of the embedding workers' time spent at work over the last seconds, in [0, 1]: for \
                          autoscaling.";
        let rate = "Tokens a second that all workers together do at present; 0 before the first pass.";
        let counter = |name: &str, help: &str| book.counter(name, help);
        let gauge = |name: &str, help: &str| book.gauge(name, help);
        Ok(Self {
            depth: gauge("semroute_embed_queue_depth", "Prompts waiting for an embedding worker.")?,
            capacity: gauge("semroute_embed_queue_capacity", "Most prompts that may wait.")?,
            waiting_tokens: gauge("semroute_embed_queue_tokens", "Tokens of the prompts that wait, as estimated.")?,
            workers: gauge("semroute_embed_workers", "Embedding workers.")?,
            saturation: book.ratio("semroute_embed_saturation_ratio", saturation)?,
            rate: book.ratio("semroute_embed_tokens_per_second", rate)?,
            busy: book.sum("semroute_embed_busy_seconds_total", "Time that the embedding workers spent at work.")?,
            texts: counter("semroute_embed_texts_total", "Texts embedded, those of builds included.")?,
            tokens: counter("semroute_embed_tokens_total", "Tokens embedded.")?,
            batches: counter("semroute_embed_batches_total", "Forward passes.")?,
            expired: dropped.get_metric_with_label_values(&["expired"])?,
            cancelled: dropped.get_metric_with_label_values(&["cancelled"])?,
            late: counter("semroute_embed_late_total", "Texts embedded in vain: nobody waited any longer.")?,
            failed: counter("semroute_embed_failed_total", "Texts that could not be embedded.")?,
            panics: counter("semroute_embed_panics_total", "Panics in the tokeniser or the model.")?,
        })
    }

    fn read(&self, stats: QueueStats) {
        self.depth.set(stats.waiting as i64);
        self.capacity.set(stats.capacity as i64);
        self.waiting_tokens.set(stats.waiting_tokens as i64);
        self.workers.set(stats.workers as i64);
        self.saturation.set(stats.saturation);
        self.rate.set(stats.tokens_per_second.unwrap_or_default());
        self.busy.inc_by((stats.busy_seconds - self.busy.get()).max(0.0));
        let totals = [
            (&self.texts, stats.embedded),
            (&self.tokens, stats.tokens),
            (&self.batches, stats.batches),
            (&self.expired, stats.expired),
            (&self.cancelled, stats.cancelled),
            (&self.late, stats.late),
            (&self.failed, stats.failed),
            (&self.panics, stats.panics),
        ];
        totals.into_iter().for_each(|(counter, total)| catch_up(counter, total));
    }
}

/// Brings a counter to what somebody else has counted. Only readers write here, one at a time.
pub(super) fn catch_up(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
