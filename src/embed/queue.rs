//! The way into the embedding threads: an async handle on a bounded queue.
//!
//! A full queue refuses at once, and so does one in which a prompt would wait beyond its deadline. Work that may wait
//! (building a set) asks with [`EmbedQueue::embed_patiently`]: it has a queue of its own, which the threads turn to
//! when no request waits.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::admission::{Refusal, Terms, admit, retry};
use super::batch::BatchLimits;
use super::error::EmbedError;
use super::load::{Load, LoadLimits};
use super::meter::{Caller, Charge, Meter};
use super::priority::step_back;
use super::stats::QueueStats;
use super::tokenise::TextTokeniser;
use super::worker::{Request, Worker};
use super::{Embedded, Embedder};

/// Size of the queue and of its batches.
#[derive(Debug, Clone, Copy)]
pub struct QueueConfig {
    /// Most prompts waiting.
    pub capacity: usize,
    /// Longest time that a prompt may wait for a worker, its deadline aside.
    pub max_wait: Duration,
    pub batch: BatchLimits,
    /// Steps by which the threads are nicer than the process.
    pub niceness: u8,
    /// What one worker was measured to do before the start; `None`: the first pass will tell.
    pub pace: Option<Pace>,
}

/// So many tokens took so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub tokens: usize,
    pub time: Duration,
}

/// Clone it freely; the threads stop when the last clone is gone and the queue is empty.
#[derive(Clone)]
pub struct EmbedQueue {
    urgent: Sender<Request>,
    patient: Sender<Request>,
    places: Arc<Semaphore>,
    patient_places: Arc<Semaphore>,
    capacity: usize,
    max_wait: Duration,
    meter: Arc<Meter>,
    workers: usize,
    words: Option<Arc<HashSet<Box<str>>>>,
}

/// The running threads. [`EmbedWorkers::join`] waits for them after the last [`EmbedQueue`] is dropped.
pub struct EmbedWorkers(Mutex<Vec<JoinHandle<()>>>);

impl EmbedWorkers {
    pub fn join(&self) {
        let threads = self.0.lock().map(|mut threads| std::mem::take(&mut *threads)).unwrap_or_default();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl EmbedQueue {
    /// Starts one thread for each embedder. Each thread is a rayon pool of its own with a single thread, so that
    /// numeric code that asks rayon for help stays on its core (shared pools cost a peer 3.25 x).
    pub fn start(
        tokeniser: &TextTokeniser,
        embedders: Vec<Box<dyn Embedder>>,
        config: QueueConfig,
    ) -> Result<(Self, EmbedWorkers), EmbedError> {
        let capacity = config.capacity.max(1);
        let (urgent, urgent_requests) = crossbeam_channel::bounded(capacity);
        let (patient, patient_requests) = crossbeam_channel::bounded(capacity);
        let workers = embedders.len();
        let limits = LoadLimits { text_tokens: tokeniser.max_tokens(), batch_tokens: config.batch.tokens };
        let meter = Arc::new(Meter::new(Load::new(workers, limits, config.pace, Instant::now())));
        let mut threads = Vec::with_capacity(workers);
        for (number, embedder) in embedders.into_iter().enumerate() {
            let worker = Worker {
                urgent: urgent_requests.clone(),
                patient: patient_requests.clone(),
                tokeniser: tokeniser.clone(),
                embedder,
                limits: config.batch,
                workers,
                number,
                meter: Arc::clone(&meter),
            };
            let thread = std::thread::Builder::new()
                .name(format!("embed-{number}"))
                .spawn(move || run_alone(worker, config.niceness))
                .map_err(EmbedError::Spawn)?;
            threads.push(thread);
        }
        let queue = Self {
            urgent,
            patient,
            places: Arc::new(Semaphore::new(capacity)),
            patient_places: Arc::new(Semaphore::new(capacity)),
            capacity,
            max_wait: config.max_wait,
            meter,
            workers,
            words: tokeniser.words().map(Arc::new),
        };
        Ok((queue, EmbedWorkers(Mutex::new(threads))))
    }

    /// Embeds `text`. Refused at once: `QueueFull` if no place is free, `WouldExpire` if `deadline` would pass first at
    /// the present rate, `WaitTooLong` if the queue is too long for anyone. `DeadlineExceeded` if `deadline` passes
    /// nevertheless. Dropping the future drops the request.
    pub async fn embed(&self, text: Arc<str>, deadline: Option<Instant>) -> Result<Embedded, EmbedError> {
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.meter.counters.expired.add(1);
            return Err(EmbedError::DeadlineExceeded);
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| self.full(now))?;
        let charge = Arc::new(self.join(text.len(), deadline, now)?);
        let _caller = Caller(Arc::clone(&charge));
        self.send(&self.urgent, text, deadline, place, Some(charge)).await
    }

    /// Embeds `text` whenever there is room: for work without a deadline.
    pub async fn embed_patiently(&self, text: Arc<str>) -> Result<Embedded, EmbedError> {
        let place = Arc::clone(&self.patient_places).acquire_owned().await.map_err(|_| EmbedError::Stopped)?;
        self.send(&self.patient, text, None, place, None).await
    }

    /// Whether the model has `word` as a whole, not only its pieces; where that cannot be told, it is taken to know
    /// all.
    pub fn knows_word(&self, word: &str) -> bool {
        self.words.as_ref().is_none_or(|words| words.contains(word))
    }

    /// What is counted, and the load at this moment.
    pub fn stats(&self) -> QueueStats {
        self.meter.stats(self.workers, self.capacity)
    }

    /// Requests waiting for a worker; work that may wait is not counted.
    pub fn depth(&self) -> usize {
        self.urgent.len()
    }

    /// Most prompts that may wait.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    async fn send(
        &self,
        lane: &Sender<Request>,
        text: Arc<str>,
        deadline: Option<Instant>,
        place: OwnedSemaphorePermit,
        charge: Option<Arc<Charge>>,
    ) -> Result<Embedded, EmbedError> {
        let (reply, answer) = oneshot::channel();
        let now = Instant::now();
        let request = Request { text, deadline, queued_at: now, reply, place, charge };
        lane.try_send(request).map_err(|error| match error {
            crossbeam_channel::TrySendError::Full(_) => self.full(now),
            crossbeam_channel::TrySendError::Disconnected(_) => EmbedError::Stopped,
        })?;
        let answer = match deadline {
            Some(deadline) => {
                tokio::time::timeout_at(deadline.into(), answer).await.map_err(|_| EmbedError::DeadlineExceeded)?
            }
            None => answer.await,
        };
        answer.unwrap_or(Err(EmbedError::Stopped))
    }

    /// Takes a text of `bytes` bytes into the reckoning, or says why it is not taken in.
    fn join(&self, bytes: usize, deadline: Option<Instant>, now: Instant) -> Result<Charge, EmbedError> {
        let terms = Terms { deadline, max_wait: self.max_wait };
        let mut load = self.meter.load();
        let tokens = load.estimate(bytes);
        match admit(&load, tokens, terms, now) {
            Ok(foretold) => Ok(Charge::join(&self.meter, &mut load, tokens, foretold, now)),
            Err(Refusal::Deadline { needed, left, retry_after }) => {
                self.meter.counters.refused_deadline.add(1);
                Err(EmbedError::WouldExpire { needed, left, retry_after })
            }
            Err(Refusal::Wait { wait, retry_after }) => {
                self.meter.counters.refused_wait.add(1);
                Err(EmbedError::WaitTooLong { wait, most: self.max_wait, retry_after })
            }
        }
    }

    fn full(&self, now: Instant) -> EmbedError {
        self.meter.counters.refused_full.add(1);
        let retry_after = retry(self.meter.load().drained_in(now).unwrap_or_default());
        EmbedError::QueueFull { capacity: self.capacity, retry_after }
    }
}

fn run_alone(worker: Worker, niceness: u8) {
    step_back(niceness);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    if let Err(error) = &pool {
        tracing::warn!(%error, "the embedding thread shares rayon's global pool");
    }
    worker.run();
}

#[cfg(test)]
mod tests;
