//! The way into the embedding threads: an async handle on a bounded queue.
//!
//! A full queue refuses at once; work that may wait (building a set) asks with [`EmbedQueue::embed_patiently`], and
//! may take half of the places, so that it cannot shut requests out.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::batch::BatchLimits;
use super::error::EmbedError;
use super::tokenise::TextTokeniser;
use super::worker::{Request, Worker};
use super::{Embedded, Embedder};

/// Size of the queue and of its batches.
#[derive(Debug, Clone, Copy)]
pub struct QueueConfig {
    /// Most prompts waiting.
    pub capacity: usize,
    pub batch: BatchLimits,
}

/// Clone it freely; the threads stop when the last clone is gone and the queue is empty.
#[derive(Clone)]
pub struct EmbedQueue {
    requests: Sender<Request>,
    places: Arc<Semaphore>,
    patient_places: Arc<Semaphore>,
    capacity: usize,
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
        let (requests, receiver) = crossbeam_channel::bounded(config.capacity.max(1));
        let workers = embedders.len();
        let mut threads = Vec::with_capacity(workers);
        for (number, embedder) in embedders.into_iter().enumerate() {
            let worker = Worker {
                requests: receiver.clone(),
                tokeniser: tokeniser.clone(),
                embedder,
                limits: config.batch,
                workers,
            };
            let thread = std::thread::Builder::new()
                .name(format!("embed-{number}"))
                .spawn(move || run_alone(worker))
                .map_err(EmbedError::Spawn)?;
            threads.push(thread);
        }
        let queue = Self {
            requests,
            places: Arc::new(Semaphore::new(config.capacity.max(1))),
            patient_places: Arc::new(Semaphore::new((config.capacity / 2).max(1))),
            capacity: config.capacity.max(1),
        };
        Ok((queue, EmbedWorkers(Mutex::new(threads))))
    }

    /// Embeds `text`. `QueueFull` at once if no place is free; `DeadlineExceeded` if `deadline` passes first.
    /// Dropping the future drops the request.
    pub async fn embed(&self, text: Arc<str>, deadline: Option<Instant>) -> Result<Embedded, EmbedError> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| EmbedError::QueueFull { capacity: self.capacity })?;
        self.send(text, deadline, place).await
    }

    /// Embeds `text` whenever there is room: for work without a deadline.
    pub async fn embed_patiently(&self, text: Arc<str>) -> Result<Embedded, EmbedError> {
        let _share = self.patient_places.acquire().await.map_err(|_| EmbedError::Stopped)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| EmbedError::Stopped)?;
        self.send(text, None, place).await
    }

    /// Prompts waiting for a worker.
    pub fn depth(&self) -> usize {
        self.requests.len()
    }

    /// Most prompts that may wait.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    async fn send(
        &self,
        text: Arc<str>,
        deadline: Option<Instant>,
        place: OwnedSemaphorePermit,
    ) -> Result<Embedded, EmbedError> {
        let (reply, answer) = oneshot::channel();
        let request = Request { text, deadline, queued_at: Instant::now(), reply, place };
        self.requests.try_send(request).map_err(|error| match error {
            crossbeam_channel::TrySendError::Full(_) => EmbedError::QueueFull { capacity: self.capacity },
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
}

fn run_alone(worker: Worker) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    if let Err(error) = &pool {
        tracing::warn!(%error, "the embedding thread shares rayon's global pool");
    }
    worker.run();
}
