use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::*;
use crate::classify::{ByteSize, Cascade, ClassifyOptions, Decision, LlmAccess, Purpose};
use crate::embed::{BatchLimits, EmbedQueue, EmbedWorkers, Embedder, Embedding, QueueConfig, TextTokeniser};
use crate::index::{BuildWatch, IndexConfig};
use crate::prompt::Prompt;
use crate::publish::Draft;
use crate::reference::{
    Fingerprint, Precondition, PromptEdit, PromptPurpose, Route, RouteName, SetEdit, SetName, SetPolicy, Snapshot,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Counts the prompts that it embeds; each batch waits for leave, or the end of it. Id 6 (`bad`) cannot be embedded.
struct Gated {
    leave: mpsc::Receiver<()>,
    embedded: Arc<AtomicUsize>,
}

impl Embedder for Gated {
    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Embedding>, EmbedError> {
        self.embedded.fetch_add(batch.len(), Ordering::SeqCst);
        let _ = self.leave.recv();
        if batch.iter().any(|row| row.contains(&6)) {
            return Err(EmbedError::ZeroNorm);
        }
        batch.iter().map(|row| Embedding::normalised(vec![row[0] as f32, 1.0])).collect()
    }
}

/// 30 prompts that alternate between two routes.
fn snapshot(policy: SetPolicy) -> Arc<Snapshot> {
    let names = ["even", "odd"].map(|name| RouteName::new(name).unwrap());
    let edit = SetEdit { name: SetName::new("s").unwrap(), description: String::new(), policy };
    let mut draft = Draft::new(&edit, &names.clone().map(Route::named), 2);
    for at in 0..30 {
        let route = names[at % 2].clone();
        let prompt = PromptEdit {
            id: None,
            route,
            text: at.to_string(),
            purpose: PromptPurpose::Reference,
            precondition: Precondition::None,
        };
        draft.push(&prompt, &Embedding::normalised(vec![at as f32, 1.0]).unwrap()).unwrap();
    }
    let built = draft.finish(Fingerprint("m".to_owned()), &IndexConfig::default(), &BuildWatch::default());
    Arc::new(built.unwrap())
}

struct Fixture {
    cascade: Cascade,
    served: SnapshotCell,
    embedded: Arc<AtomicUsize>,
    /// Dropped: everybody may pass.
    leave: Option<mpsc::Sender<()>>,
    _workers: EmbedWorkers,
}

fn fixture(config: &CacheConfig) -> Fixture {
    let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
        "model":{"type":"WordLevel","vocab":{"[UNK]":0,"a":1,"b":2,"c":3,"d":4,"e":5,"bad":6},"unk_token":"[UNK]"}}"#;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(json.as_bytes()).unwrap();
    let tokeniser = TextTokeniser::from_file(file.path(), 8).unwrap();
    let (leave, gate) = mpsc::channel();
    let embedded = Arc::new(AtomicUsize::new(0));
    let embedder = Box::new(Gated { leave: gate, embedded: Arc::clone(&embedded) });
    let batch = BatchLimits { tokens: 64, rows: 1 };
    let settings = QueueConfig { capacity: 64, max_wait: PATIENCE, batch, niceness: 0, pace: None };
    let (queue, workers) = EmbedQueue::start(&tokeniser, vec![embedder], settings).unwrap();
    let served = SnapshotCell::default();
    served.publish(snapshot(SetPolicy::default()));
    let cache = ExactCache::new(config, served.clone());
    let cascade = Cascade::new(queue, None).caching(cache);
    Fixture { cascade, served, embedded, leave: Some(leave), _workers: workers }
}

const OPTIONS: ClassifyOptions = ClassifyOptions {
    neighbours: 5,
    llm: LlmAccess::Allowed,
    deadline: None,
    purpose: Purpose::Answer,
    target_accuracy: None,
};

fn within(time: Duration) -> ClassifyOptions {
    ClassifyOptions { deadline: Some(Instant::now() + time), ..OPTIONS }
}

impl Fixture {
    fn open(mut self) -> Self {
        self.leave = None;
        self
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.served.get("s").unwrap()
    }

    fn embedded(&self) -> usize {
        self.embedded.load(Ordering::SeqCst)
    }

    fn stats(&self) -> CacheStats {
        self.cascade.cache().unwrap().stats()
    }

    async fn decide(&self, text: &str, options: ClassifyOptions) -> Result<Decision, Arc<EmbedError>> {
        self.cascade.decide(self.snapshot(), &Prompt::from_text(text, 100).unwrap(), options).await
    }

    fn spawn(&self, text: &str, options: ClassifyOptions) -> JoinHandle<Result<Decision, Arc<EmbedError>>> {
        let (cascade, snapshot) = (self.cascade.clone(), self.snapshot());
        let prompt = Prompt::from_text(text, 100).unwrap();
        tokio::spawn(async move { cascade.decide(snapshot, &prompt, options).await })
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < until, "never: {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The worker is busy with a first caller, and `joined` others wait for what he asked for.
    async fn is_waited_for(&self, joined: u64) {
        self.until("the worker is busy", |fixture| fixture.embedded() == 1).await;
        self.until("the others wait", |fixture| fixture.stats().joined == joined).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_equal_prompts_at_once_are_embedded_once() {
    let fixture = fixture(&CacheConfig::default());
    let calls: Vec<_> = (0..1_000).map(|_| fixture.spawn("a b", OPTIONS)).collect();
    fixture.is_waited_for(999).await;
    let fixture = fixture.open();
    let (mut ids, mut steps) = (BTreeSet::new(), 0);
    for call in calls {
        let decision = call.await.unwrap().unwrap();
        assert!(!decision.cached && decision.timings.queue.is_some());
        steps += usize::from(decision.timings.embed.is_some());
        ids.insert(decision.id);
    }
    assert_eq!((fixture.embedded(), ids.len(), steps), (1, 1_000, 1), "each answer has an id of its own");
    let again = fixture.decide("a b", OPTIONS).await.unwrap();
    assert!(again.cached && again.timings.embed.is_none() && again.timings.queue.is_none());
    let stats = fixture.stats();
    assert_eq!((fixture.embedded(), stats.hits, stats.misses, stats.joined), (1, 1, 1, 999));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_caller_may_go_or_run_out_of_time() {
    for gone in [true, false] {
        let fixture = fixture(&CacheConfig::default());
        let options = if gone { OPTIONS } else { within(Duration::from_millis(100)) };
        let first = fixture.spawn("a", options);
        fixture.until("the worker is busy", |fixture| fixture.embedded() == 1).await;
        let others: Vec<_> = (0..10).map(|_| fixture.spawn("a", OPTIONS)).collect();
        fixture.is_waited_for(10).await;
        if gone {
            first.abort();
        } else {
            let late = first.await.unwrap().unwrap_err();
            assert!(matches!(*late, EmbedError::DeadlineExceeded), "{late:?}");
        }
        let fixture = fixture.open();
        for other in others {
            other.await.unwrap().unwrap();
        }
        // Work under way is never thrown away for the others, unless its own time was over.
        assert!(fixture.embedded() <= if gone { 1 } else { 2 }, "gone {gone}: {}", fixture.embedded());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_obeys_his_own_deadline() {
    let fixture = fixture(&CacheConfig::default());
    let first = fixture.spawn("a", OPTIONS);
    fixture.until("the worker is busy", |fixture| fixture.embedded() == 1).await;
    let begun = Instant::now();
    let late = fixture.decide("a", within(Duration::from_millis(50))).await.unwrap_err();
    assert!(matches!(*late, EmbedError::DeadlineExceeded), "{late:?}");
    assert!(begun.elapsed() < PATIENCE / 2);
    let fixture = fixture.open();
    first.await.unwrap().unwrap();
    assert_eq!(fixture.embedded(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_have_gone_nothing_is_embedded() {
    let fixture = fixture(&CacheConfig::default());
    let busy = fixture.spawn("e", OPTIONS);
    fixture.until("the worker is busy", |fixture| fixture.embedded() == 1).await;
    let calls: Vec<_> = (0..10).map(|_| fixture.spawn("a", OPTIONS)).collect();
    fixture.until("they wait", |fixture| fixture.stats().joined == 9).await;
    calls.iter().for_each(JoinHandle::abort);
    for call in calls {
        assert!(call.await.unwrap_err().is_cancelled());
    }
    let fixture = fixture.open();
    busy.await.unwrap().unwrap();
    fixture.decide("b", OPTIONS).await.unwrap();
    assert_eq!(fixture.embedded(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_not_kept() {
    let fixture = fixture(&CacheConfig::default()).open();
    for tried in 1..=2 {
        fixture.decide("bad", OPTIONS).await.unwrap_err();
        assert_eq!(fixture.embedded(), tried);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_version_begins_with_nothing_kept() {
    let fixture = fixture(&CacheConfig::default()).open();
    let before = fixture.snapshot();
    fixture.decide("a", OPTIONS).await.unwrap();
    // The same name, the same version and other rules: only the snapshot tells them apart.
    let stricter = SetPolicy { min_similarity: 1.0, ..SetPolicy::default() };
    fixture.served.publish(snapshot(stricter));
    let after = fixture.decide("a", OPTIONS).await.unwrap();
    assert!(!after.cached && Arc::ptr_eq(&after.snapshot, &fixture.snapshot()));
    assert!(!after.doubts().is_empty());
    // What was kept of the old one is given back, and nothing more is taken for it.
    let prompt = Prompt::from_text("b", 100).unwrap();
    let late = fixture.cascade.decide(Arc::clone(&before), &prompt, OPTIONS).await.unwrap();
    assert!(Arc::ptr_eq(&late.snapshot, &before));
    let cache = fixture.cascade.cache().unwrap();
    let until = Instant::now() + PATIENCE;
    while {
        cache.kept.run_pending_tasks().await;
        fixture.stats().entries
    } != 1
    {
        assert!(Instant::now() < until, "{:?}", fixture.stats());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(fixture.decide("a", OPTIONS).await.unwrap().cached);
    let again = fixture.decide("b", OPTIONS).await.unwrap();
    assert!(!again.cached, "it was decided on the old snapshot only");
    drop((late, again, after));
    assert_eq!(Arc::strong_count(&before), 1, "the cache holds no snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_under_way_at_a_publish_answers_for_its_own_version_alone() {
    let fixture = fixture(&CacheConfig::default());
    let before = fixture.snapshot();
    let under_way = fixture.spawn("a", OPTIONS);
    fixture.until("the worker is busy", |fixture| fixture.embedded() == 1).await;
    fixture.served.publish(snapshot(SetPolicy::default()));
    let new = fixture.spawn("a", OPTIONS);
    let fixture = fixture.open();
    let (old, new) = (under_way.await.unwrap().unwrap(), new.await.unwrap().unwrap());
    assert!(Arc::ptr_eq(&old.snapshot, &before) && Arc::ptr_eq(&new.snapshot, &fixture.snapshot()));
    assert_eq!(fixture.embedded(), 2, "they shared nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_applied_to_what_is_kept() {
    let kept = fixture(&CacheConfig::default()).open();
    let fresh = fixture(&CacheConfig { max_bytes: ByteSize(0), ..CacheConfig::default() }).open();
    let mut known = 0;
    for neighbours in [5, 0, 1, 20, 25, 21, 100, 30, 0] {
        let options = ClassifyOptions { neighbours, ..OPTIONS };
        let (kept, fresh) = (kept.decide("a", options).await.unwrap(), fresh.decide("a", options).await.unwrap());
        assert_eq!(kept.neighbours(), fresh.neighbours(), "{neighbours}");
        assert_eq!(kept.neighbours().len(), neighbours.min(30));
        assert_eq!((kept.scores(), kept.doubts()), (fresh.scores(), fresh.doubts()));
        // More neighbours than are known have to be searched for.
        assert_eq!((kept.cached, fresh.cached), (neighbours <= known, false), "{neighbours}");
        known = known.max(neighbours.max(20));
    }
    assert_eq!((kept.embedded(), fresh.embedded()), (3, 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_size_is_bounded() {
    let room = 64 * 1024;
    let fixture = fixture(&CacheConfig { max_bytes: ByteSize(room), ..CacheConfig::default() }).open();
    for at in 0..500 {
        fixture.decide(&format!("a {at}"), OPTIONS).await.unwrap();
    }
    let cache = fixture.cascade.cache().unwrap();
    cache.kept.run_pending_tasks().await;
    let stats = fixture.stats();
    assert!(stats.bytes <= room && stats.bytes > room / 2, "{stats:?}");
    assert!(stats.entries * 500 < room && stats.evicted >= 500 - stats.entries - 1, "{stats:?}");
    assert_eq!(stats.max_bytes, room);
}

#[test]
fn an_entry_weighs_what_it_takes() {
    let fixture_evidence = Evidence {
        scores: vec![crate::classify::RouteScore { route: 0, score: 1.0, similarity: 1.0, probability: None }; 7]
            .into(),
        judged: None,
        neighbours: vec![crate::reference::Neighbour { reference: 0, route: 0, similarity: 1.0 }; 20].into(),
        searched: 20,
        input_tokens: 9,
        input_seen: 1.0,
        mended_words: 0,
    };
    let content = 7 * 12 + 20 * 12;
    let weight = weight(&fixture_evidence) as usize;
    assert!(weight > content + OVERHEAD_BYTES && weight < content + OVERHEAD_BYTES + 200, "{weight}");
}
