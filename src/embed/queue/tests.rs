use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use super::super::Single;
use super::super::embedding::Embedding;
use super::*;

/// Tells which rows it was given, then waits for leave, for each batch. Id 6 (`bad`) panics.
struct Gated {
    leave: mpsc::Receiver<()>,
    seen: mpsc::Sender<Vec<Vec<u32>>>,
}

impl Embedder for Gated {
    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Embedding>, EmbedError> {
        let rows = batch.iter().map(|row| row.to_vec()).collect();
        let _ = self.seen.send(rows);
        let _ = self.leave.recv();
        assert!(!batch.iter().any(|row| row.contains(&6)), "bad");
        batch.iter().map(|row| Embedding::normalised(vec![row.len() as f32, 1.0])).collect()
    }

    /// Rows of seven tokens are spread; told apart by an empty row.
    fn embed_single(&mut self, row: &[u32]) -> Result<Single, EmbedError> {
        let spread = row.len() == 7;
        let mut seen = vec![row.to_vec()];
        seen.extend(spread.then(Vec::new));
        let _ = self.seen.send(seen);
        let _ = self.leave.recv();
        assert!(!row.contains(&6), "bad");
        Ok(Single { embedding: Embedding::normalised(vec![row.len() as f32, 1.0])?, spread })
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

struct Fixture {
    queue: EmbedQueue,
    workers: EmbedWorkers,
    leave: mpsc::Sender<()>,
    seen: mpsc::Receiver<Vec<Vec<u32>>>,
}

/// One worker behind a gate; the tokeniser knows the words a to e (ids 1 to 5) and `bad` (6).
fn fixture(capacity: usize) -> Fixture {
    let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
        "model":{"type":"WordLevel","vocab":{"[UNK]":0,"a":1,"b":2,"c":3,"d":4,"e":5,"bad":6},"unk_token":"[UNK]"}}"#;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(json.as_bytes()).unwrap();
    let tokeniser = TextTokeniser::from_file(file.path(), 8).unwrap();
    let ((leave, gate), (told, seen)) = (mpsc::channel(), mpsc::channel());
    let embedder = Box::new(Gated { leave: gate, seen: told });
    let batch = BatchLimits { tokens: 64, rows: 4 };
    let config = QueueConfig { capacity, max_wait: PATIENCE, batch, niceness: 0, pace: None };
    let (queue, workers) = EmbedQueue::start(&tokeniser, vec![embedder], config).unwrap();
    Fixture { queue, workers, leave, seen }
}

impl Fixture {
    fn urgent(&self, text: &'static str) -> tokio::task::JoinHandle<Result<Embedded, EmbedError>> {
        let queue = self.queue.clone();
        tokio::spawn(async move { queue.embed(text.into(), None).await })
    }

    fn patient(&self, text: &'static str) -> tokio::task::JoinHandle<Result<Embedded, EmbedError>> {
        let queue = self.queue.clone();
        tokio::spawn(async move { queue.embed_patiently(text.into()).await })
    }

    /// Keeps the worker busy with `a` until leave is given.
    async fn busy(&self) -> tokio::task::JoinHandle<Result<Embedded, EmbedError>> {
        let first = self.urgent("a");
        let entered = tokio::task::block_in_place(|| self.seen.recv_timeout(PATIENCE)).unwrap();
        assert_eq!(entered, [vec![1]]);
        first
    }

    /// Waits until so many requests of either kind are in the queues.
    async fn waiting(&self, requests: usize) {
        let until = Instant::now() + PATIENCE;
        while self.queue.urgent.len() + self.queue.patient.len() != requests {
            assert!(Instant::now() < until, "{requests} requests never waited");
            tokio::task::yield_now().await;
        }
    }

    /// Lets all go, and says what came after the first batch.
    fn batches(self) -> Vec<Vec<Vec<u32>>> {
        drop(self.leave);
        drop(self.queue);
        self.workers.join();
        self.seen.iter().collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_spread_only_if_it_is_alone_and_long_enough() {
    let fixture = fixture(4);
    let first = fixture.urgent("a b c d e a b");
    let entered = tokio::task::block_in_place(|| fixture.seen.recv_timeout(PATIENCE)).unwrap();
    assert_eq!(entered, [vec![1, 2, 3, 4, 5, 1, 2], Vec::new()]);
    // Two that wait go together, then a short one by itself.
    let others = [fixture.urgent("c b a c b a a"), fixture.urgent("d")];
    fixture.waiting(2).await;
    fixture.leave.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().tokens, 7);
    let entered = tokio::task::block_in_place(|| fixture.seen.recv_timeout(PATIENCE)).unwrap();
    assert!(entered.len() == 2 && entered.iter().all(|row| !row.is_empty()), "{entered:?}");
    fixture.leave.send(()).unwrap();
    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
    let short = fixture.urgent("e");
    assert_eq!(tokio::task::block_in_place(|| fixture.seen.recv_timeout(PATIENCE)).unwrap(), [vec![5]]);
    fixture.leave.send(()).unwrap();
    assert!(short.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once() {
    let fixture = fixture(2);
    let first = fixture.busy().await;
    let others = [fixture.urgent("b"), fixture.urgent("c")];
    fixture.waiting(2).await;
    let refused = fixture.queue.embed("d".into(), None).await;
    assert!(matches!(refused, Err(EmbedError::QueueFull { capacity: 2, .. })), "{refused:?}");
    let stats = fixture.queue.stats();
    assert_eq!((stats.refused_full, stats.waiting, stats.waiting_tokens), (1, 2, 2), "{stats:?}");
    assert_eq!((stats.capacity, stats.workers, stats.under_way_tokens), (2, 1, 1), "{stats:?}");
    assert_eq!(stats.tokens_per_second, None, "the first pass is still under way");
    let batches = fixture.batches();
    assert_eq!(batches.concat().len(), 2);
    for request in others.into_iter().chain([first]) {
        request.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_gone_costs_nothing() {
    let fixture = fixture(8);
    let first = fixture.busy().await;
    let cancelled = fixture.urgent("b");
    let kept = fixture.urgent("c");
    fixture.waiting(2).await;
    let soon = Some(Instant::now() + Duration::from_millis(20));
    let expired = fixture.queue.embed("d".into(), soon).await;
    assert!(matches!(expired, Err(EmbedError::DeadlineExceeded)), "{expired:?}");
    cancelled.abort();
    let _ = cancelled.await;
    let stats = fixture.queue.stats();
    assert_eq!((stats.waiting, stats.waiting_tokens), (1, 1), "whoever leaves takes his weight along: {stats:?}");
    let meter = Arc::clone(&fixture.queue.meter);
    assert_eq!(fixture.batches(), [vec![vec![3]]]);
    let stats = meter.stats(1, 8);
    assert_eq!((stats.cancelled, stats.expired, stats.embedded, stats.late), (1, 1, 2, 0), "{stats:?}");
    assert_eq!((stats.waiting, stats.under_way_tokens, stats.tokens, stats.batches), (0, 0, 2, 2), "{stats:?}");
    assert!(stats.busy_seconds > 0.0 && stats.tokens_per_second.is_some());
    first.await.unwrap().unwrap();
    kept.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_in_time_is_refused_at_once() {
    let fixture = fixture(8);
    // The first pass takes its time, and so the rate is known to be low.
    let first = fixture.busy().await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    fixture.leave.send(()).unwrap();
    first.await.unwrap().unwrap();
    let busy = fixture.busy().await;
    let waiting = fixture.urgent("b c d");
    fixture.waiting(1).await;
    let begun = Instant::now();
    let refused = fixture.queue.embed("e".into(), Some(begun + Duration::from_millis(100))).await;
    let Err(EmbedError::WouldExpire { needed, left, retry_after }) = refused else { panic!("{refused:?}") };
    assert!(needed > left && !retry_after.is_zero(), "{needed:?} {left:?} {retry_after:?}");
    assert_eq!(fixture.queue.stats().refused_deadline, 1);
    // With time enough it is taken in, and so is what comes when nothing is under way, however little time it has.
    let taken = fixture.queue.clone();
    let later = Some(begun + PATIENCE);
    let taken = tokio::spawn(async move { taken.embed("e".into(), later).await });
    fixture.waiting(2).await;
    let queue = fixture.queue.clone();
    for _ in 0..3 {
        fixture.leave.send(()).unwrap();
    }
    for request in [busy, waiting, taken] {
        request.await.unwrap().unwrap();
    }
    assert_eq!(queue.stats().waiting, 0);
    fixture.leave.send(()).unwrap();
    let alone = queue.embed("a".into(), Some(Instant::now() + Duration::from_millis(50))).await;
    assert!(!matches!(alone, Err(EmbedError::WouldExpire { .. })), "{alone:?}");
    drop(queue);
    fixture.batches();
}

#[tokio::test(flavor = "multi_thread")]
async fn patient_work_waits_for_requests() {
    let fixture = fixture(8);
    let first = fixture.busy().await;
    let patient = [fixture.patient("b"), fixture.patient("c")];
    fixture.waiting(2).await;
    let urgent = fixture.urgent("d");
    fixture.waiting(3).await;
    let batches = fixture.batches();
    assert_eq!(batches[0], [vec![4]]);
    assert_eq!(batches[1..].concat().len(), 2);
    for request in patient.into_iter().chain([first, urgent]) {
        request.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_panics_fails_alone() {
    let fixture = fixture(8);
    let first = fixture.busy().await;
    let meter = Arc::clone(&fixture.queue.meter);
    let (good, bad) = (fixture.urgent("b c"), fixture.urgent("bad"));
    fixture.waiting(2).await;
    fixture.batches();
    first.await.unwrap().unwrap();
    good.await.unwrap().unwrap();
    let bad = bad.await.unwrap();
    let stats = meter.stats(1, 8);
    assert_eq!((stats.panics, stats.failed, stats.embedded, stats.under_way_tokens), (2, 1, 2, 0), "{stats:?}");
    assert!(matches!(bad, Err(EmbedError::Panicked { .. })), "{bad:?}");
}
