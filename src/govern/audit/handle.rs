//! The log as the rest of the service sees it.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::config::{AuditConfig, Policy, Recorded};
use super::desk::{Confirmation, Desk, GATHERING, Health, Order};
use super::entry::{Entry, Method};
use super::error::{AuditError, LogError};
use super::head::MacKey;
use super::prompt_key::PromptKey;
use crate::telemetry::chain;

/// Longest time that the end of the process waits for the last entries.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Takes entries. A cheap handle; the log is closed by [`Audit::close`], or with the last handle.
#[derive(Clone)]
pub struct Audit(Option<Arc<Shared>>);

struct Shared {
    config: AuditConfig,
    key: PromptKey,
    /// Never full: there are no more orders than permits.
    orders: Sender<Order>,
    permits: Arc<Semaphore>,
    health: Arc<Health>,
    /// The one that writes.
    desk: Thread,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditStats {
    pub written: u64,
    /// Not written, for want of room in the queue or because the log failed.
    pub lost: u64,
    /// Entries that wait.
    pub waiting: u64,
    pub is_failing: bool,
}

impl AuditConfig {
    /// The folder of the log.
    pub fn folder(&self, data_dir: &Path) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| data_dir.join("audit"))
    }
}

impl Audit {
    /// Records nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens the log and starts its thread. `mac` is for the head. Waits for the disk: not to be called on a worker of
    /// an asynchronous runtime.
    ///
    /// # Errors
    /// With the policy `required`, a log that cannot be opened. With `best_effort` that is logged and tried again every
    /// second.
    pub fn start(config: AuditConfig, data_dir: &Path, mac: Option<MacKey>) -> Result<Self, LogError> {
        Self::start_gathering(config, data_dir, mac, GATHERING)
    }

    /// `gathering`: how long the thread lets entries come together that nobody waits for.
    pub(super) fn start_gathering(
        config: AuditConfig,
        data_dir: &Path,
        mac: Option<MacKey>,
        gathering: Duration,
    ) -> Result<Self, LogError> {
        if config.policy == Policy::Off {
            return Ok(Self::off());
        }
        let key = PromptKey::load_or_make(data_dir)?;
        let health = Arc::new(Health::new());
        let (orders, taken) = crossbeam_channel::unbounded();
        let mut desk = Desk::new(config.folder(data_dir), config.clone(), mac, taken, Arc::clone(&health));
        desk.gathering = gathering;
        match desk.open() {
            Ok(()) => {}
            Err(error) if config.policy == Policy::Required => return Err(error),
            Err(error) => {
                tracing::error!(error = chain(&error), "the audit log cannot be opened: entries are lost until it can");
                health.fail(chain(&error));
            }
        }
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let thread = thread.spawn(move || desk.run()).map_err(LogError::Thread)?;
        let permits = Arc::new(Semaphore::new(config.queue));
        let (desk, thread) = (thread.thread().clone(), Mutex::new(Some(thread)));
        Ok(Self(Some(Arc::new(Shared { config, key, orders, permits, health, desk, thread }))))
    }

    /// Whether requests of this kind are recorded.
    pub fn wants(&self, method: Method) -> bool {
        self.0.as_ref().is_some_and(|shared| match shared.config.record {
            Recorded::All => true,
            Recorded::Completions => method.completes(),
        })
    }

    /// Keyed hash of a prompt's words; `None` if nothing is recorded.
    pub fn hash_prompt(&self, words: &str) -> Option<String> {
        self.0.as_ref().map(|shared| shared.key.hash(words))
    }

    /// With the policy `required`, an error if an entry could not be written at present, as far as that is known.
    /// To be asked before anything is done that has to be recorded.
    pub fn ready(&self) -> Result<(), AuditError> {
        match &self.0 {
            Some(shared) if shared.config.policy == Policy::Required => shared.ready(),
            _ => Ok(()),
        }
    }

    /// Takes an entry if there is room for it, and gives it back if it has to wait: see [`Audit::record`].
    pub fn offer(&self, entry: Box<Entry>) -> Result<Taken, Box<Entry>> {
        let Some(shared) = &self.0 else { return Ok(Taken(None)) };
        match shared.config.policy {
            Policy::Off => Ok(Taken(None)),
            Policy::BestEffort => {
                shared.offer(entry);
                Ok(Taken(None))
            }
            Policy::Required => match Arc::clone(&shared.permits).try_acquire_owned() {
                Ok(permit) => Ok(Taken(Some(shared.submit(entry, permit, shared.patience())))),
                Err(_) => Err(entry),
            },
        }
    }

    /// Takes an entry, once there is room for it. With `required` the answer is there once it is written (so that a
    /// killed process does not lose it), with `best_effort` at once. Dropped while it waits for room, the entry is
    /// lost.
    ///
    /// # Errors
    /// Only with `required`: it is not written, or not in time, or the log is closed.
    pub async fn record(&self, entry: Entry) -> Result<(), AuditError> {
        match (self.offer(Box::new(entry)), &self.0) {
            (Ok(taken), _) => taken.written().await,
            (Err(entry), Some(shared)) => shared.wait(entry).await,
            (Err(_), None) => Ok(()),
        }
    }

    pub fn stats(&self) -> AuditStats {
        let Some(shared) = &self.0 else { return AuditStats::default() };
        AuditStats {
            written: shared.health.written.load(Ordering::Relaxed),
            lost: shared.health.lost.load(Ordering::Relaxed),
            waiting: shared.waiting() as u64,
            is_failing: shared.health.failing().is_some(),
        }
    }

    /// Writes what waits, and ends the log in good order. What comes afterwards is not taken.
    pub async fn close(&self) {
        let Some(shared) = &self.0 else { return };
        // Fails only if the thread has ended already.
        let _ = shared.orders.send(Order::Close);
        let thread = shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let joined = tokio::task::spawn_blocking(move || thread.join().is_ok());
        if !matches!(tokio::time::timeout(CLOSE_WITHIN, joined).await, Ok(Ok(true))) {
            tracing::error!("the audit log did not end in good order");
        }
    }
}

/// An entry that the log has: whatever becomes of this, it is written, or counted as lost.
#[must_use = "with the policy `required` no answer may leave before its entry is written"]
pub struct Taken(Option<Writing>);

struct Writing {
    written: oneshot::Receiver<Result<(), AuditError>>,
    patience: Patience,
}

/// How long an answer waits for its entry.
#[derive(Clone, Copy)]
struct Patience {
    until: tokio::time::Instant,
    after: Duration,
}

impl Taken {
    /// Waits until it is written, where that is `required`.
    ///
    /// # Errors
    /// It is not written, or not in time, or the log is closed.
    pub async fn written(self) -> Result<(), AuditError> {
        let Some(Writing { written, patience }) = self.0 else { return Ok(()) };
        match tokio::time::timeout_at(patience.until, written).await {
            Ok(written) => written.unwrap_or(Err(AuditError::Closed)),
            Err(_) => Err(AuditError::TooSlow { after: patience.after }),
        }
    }
}

/// Counts an entry as lost when it is dropped, also with the future of a request whose caller has gone.
struct Unsent<'a>(&'a Health);

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn ready(&self) -> Result<(), AuditError> {
        if let Some(cause) = self.health.failing() {
            return Err(AuditError::Failing { cause });
        }
        match self.health.busy_for() {
            Some(after) if after > self.config.max_wait => Err(AuditError::TooSlow { after }),
            _ => Ok(()),
        }
    }

    fn offer(&self, entry: Box<Entry>) {
        let taken = Arc::clone(&self.permits).try_acquire_owned();
        if !taken.is_ok_and(|permit| self.order(entry, None, permit)) {
            self.health.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn patience(&self) -> Patience {
        let after = self.config.max_wait;
        Patience { until: tokio::time::Instant::now() + after, after }
    }

    /// For room, and then until it is written.
    async fn wait(&self, entry: Box<Entry>) -> Result<(), AuditError> {
        let patience = self.patience();
        let unsent = Unsent(&self.health);
        let permit = tokio::time::timeout_at(patience.until, Arc::clone(&self.permits).acquire_owned()).await;
        let too_slow = AuditError::TooSlow { after: patience.after };
        let permit = permit.map_err(|_| too_slow)?.map_err(|_| AuditError::Closed)?;
        std::mem::forget(unsent);
        Taken(Some(self.submit(entry, permit, patience))).written().await
    }

    /// From here on the thread counts it, written or lost; if there is none any more, it is lost now, and whoever waits
    /// is told that the log is closed.
    fn submit(&self, entry: Box<Entry>, permit: OwnedSemaphorePermit, patience: Patience) -> Writing {
        let (done, written) = oneshot::channel();
        if !self.order(entry, Some(done), permit) {
            self.health.lost.fetch_add(1, Ordering::Relaxed);
        }
        Writing { written, patience }
    }

    fn order(&self, entry: Box<Entry>, done: Option<Confirmation>, permit: OwnedSemaphorePermit) -> bool {
        let sent = self.orders.send(Order::Write { entry, done, permit }).is_ok();
        if self.config.is_half_full(self.waiting()) {
            self.desk.unpark();
        }
        sent
    }

    /// Entries that are not written yet.
    fn waiting(&self) -> usize {
        self.config.queue.saturating_sub(self.permits.available_permits())
    }
}
