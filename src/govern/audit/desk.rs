//! The thread that writes: takes what has come in, writes it with one call, says so to those who wait.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::config::{AuditConfig, Fsync};
use super::disk::opener;
use super::entry::Entry;
use super::error::{AuditError, LogError};
use super::head::MacKey;
use super::line::{Note, What};
use super::stamp::Stamp;
use super::writer::Writer;
use crate::telemetry::chain;

/// Most entries that are written with one call.
const MAX_BATCH: usize = 1_024;

/// A failing log is tried again, and the disk waited for, so often.
const TICK: Duration = Duration::from_secs(1);

/// Entries that nobody waits for are gathered for so long, or until half of the room is taken: waking a thread for each
/// of them would take the processor away just when the answer is on its way out.
pub(super) const GATHERING: Duration = Duration::from_millis(10);

/// What was lost is told so often.
const TELL_EVERY: Duration = Duration::from_secs(60);

pub(super) type Confirmation = oneshot::Sender<Result<(), AuditError>>;

pub(super) enum Order {
    Write {
        entry: Box<Entry>,
        /// Told when it is written, or not.
        done: Option<Confirmation>,
        /// Bounds the orders under way.
        permit: OwnedSemaphorePermit,
    },
    Close,
}

/// How it goes, for those who ask.
pub(super) struct Health {
    pub(super) written: AtomicU64,
    pub(super) lost: AtomicU64,
    failing: Mutex<Option<String>>,
    begun: Instant,
    /// Milliseconds since `begun` at which the write under way was begun, plus one; 0: none is.
    busy_since: AtomicU64,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            failing: Mutex::new(None),
            begun: Instant::now(),
            busy_since: AtomicU64::new(0),
        }
    }

    /// Why it fails at present, if it does.
    pub(super) fn failing(&self) -> Option<String> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says whether that is new.
    pub(super) fn fail(&self, cause: String) -> bool {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).replace(cause).is_none()
    }

    /// Says whether it had failed.
    fn mend(&self) -> bool {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// How long the write under way has taken so far.
    pub(super) fn busy_for(&self) -> Option<Duration> {
        let since = self.busy_since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.begun.elapsed().saturating_sub(Duration::from_millis(since)))
    }

    fn busy(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.busy_since.store(now + 1, Ordering::Relaxed);
    }

    fn idle(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }
}

type Batch = Vec<(Box<Entry>, Option<Confirmation>, OwnedSemaphorePermit)>;

pub(super) struct Desk {
    pub(super) dir: PathBuf,
    pub(super) config: AuditConfig,
    pub(super) mac: Option<MacKey>,
    /// `None` if the log could not be opened yet.
    pub(super) writer: Option<Writer>,
    pub(super) orders: Receiver<Order>,
    pub(super) health: Arc<Health>,
    pub(super) gathering: Duration,
    /// Of those lost, so many stand in a note of the log.
    noted: u64,
    noted_at: Option<Instant>,
    told: u64,
    told_at: Option<Instant>,
    synced_at: Instant,
}

impl Desk {
    pub(super) fn new(
        dir: PathBuf,
        config: AuditConfig,
        mac: Option<MacKey>,
        orders: Receiver<Order>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            dir,
            config,
            mac,
            writer: None,
            orders,
            health,
            gathering: GATHERING,
            noted: 0,
            noted_at: None,
            told: 0,
            told_at: None,
            synced_at: Instant::now(),
        }
    }

    pub(super) fn open(&mut self) -> Result<(), LogError> {
        let writer = Writer::open(&self.dir, self.config.clone(), self.mac.clone(), opener(), Stamp::now())?;
        self.writer = Some(writer);
        Ok(())
    }

    /// Until it is told to close, or everybody who could give orders has gone.
    pub(super) fn run(mut self) {
        let mut batch = Batch::new();
        loop {
            let goes_on = self.collect(&mut batch);
            if !batch.is_empty() || self.health.failing().is_some() {
                self.work(&mut batch);
            }
            self.sync_if_due();
            self.tell_losses();
            if !goes_on {
                break;
            }
        }
        self.close();
    }

    /// Waits for the first order, and takes what else is there. False: there will be no more.
    fn collect(&self, batch: &mut Batch) -> bool {
        let mut next = match self.orders.recv_timeout(TICK) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        // Whoever takes half of the room, or more, wakes us up: what he has sent by then is seen here, or ends the
        // pause.
        let waiting = self.orders.len() + 1;
        if matches!(next, Some(Order::Write { done: None, .. })) && !self.config.is_half_full(waiting) {
            std::thread::park_timeout(self.gathering);
        }
        while let Some(order) = next {
            match order {
                Order::Close => return false,
                Order::Write { entry, done, permit } => batch.push((entry, done, permit)),
            }
            next = if batch.len() < MAX_BATCH { self.orders.try_recv().ok() } else { None };
        }
        true
    }

    fn work(&mut self, batch: &mut Batch) {
        self.health.busy();
        let written = self.write(batch);
        self.health.idle();
        let count = batch.len() as u64;
        let told = match written {
            Ok(()) => {
                self.health.written.fetch_add(count, Ordering::Relaxed);
                if self.health.mend() {
                    tracing::info!("the audit log can be written to again");
                }
                Ok(())
            }
            Err(error) => {
                self.health.lost.fetch_add(count, Ordering::Relaxed);
                let cause = chain(&error);
                if self.health.fail(cause.clone()) {
                    tracing::error!(error = cause, "the audit log cannot be written to");
                }
                Err(AuditError::Failing { cause })
            }
        };
        for (_, done, _permit) in batch.drain(..) {
            if let Some(done) = done {
                // Who has gone need not be told.
                let _ = done.send(told.clone());
            }
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), LogError> {
        if self.writer.is_none() {
            self.open()?;
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let lost = self.health.lost.load(Ordering::Relaxed);
        let has_failed = self.health.failing().is_some();
        let is_due = self.noted_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) || has_failed;
        let note = (lost > self.noted && is_due).then(|| Note::Lost { entries: lost - self.noted });
        let notes = note.iter().map(What::Note);
        let lines: Vec<What<'_>> = notes.chain(batch.iter().map(|(entry, ..)| What::Entry(entry))).collect();
        writer.write(&lines, Stamp::now())?;
        if note.is_some() {
            self.noted = lost;
            self.noted_at = Some(Instant::now());
        }
        match self.config.fsync {
            Fsync::Batch => writer.sync(),
            // What has failed is not mended by a write that the disk itself has not taken.
            Fsync::EverySecond if has_failed => writer.sync(),
            Fsync::Never | Fsync::EverySecond => Ok(()),
        }
    }

    fn sync_if_due(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        if self.config.fsync != Fsync::EverySecond || self.synced_at.elapsed() < TICK {
            return;
        }
        self.synced_at = Instant::now();
        self.health.busy();
        let synced = writer.sync();
        self.health.idle();
        if let Err(error) = synced
            && self.health.fail(chain(&error))
        {
            tracing::error!(error = chain(&error), "the audit log cannot be written to");
        }
    }

    fn tell_losses(&mut self) {
        let lost = self.health.lost.load(Ordering::Relaxed);
        if lost > self.told && self.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            tracing::error!(lost = lost - self.told, "entries of the audit log were lost");
            self.told = lost;
            self.told_at = Some(Instant::now());
        }
    }

    fn close(mut self) {
        let lost = self.health.lost.load(Ordering::Relaxed);
        let Some(writer) = &mut self.writer else { return };
        let note = (lost > self.noted).then(|| Note::Lost { entries: lost - self.noted });
        let lines: Vec<What<'_>> = note.iter().chain([&Note::Closed]).map(What::Note).collect();
        let written = writer.write(&lines, Stamp::now());
        let synced = match self.config.fsync {
            Fsync::Never => Ok(()),
            Fsync::Batch | Fsync::EverySecond => writer.sync(),
        };
        if let Err(error) = written.and(synced) {
            tracing::error!(error = chain(&error), "the audit log was not closed in good order");
        }
    }
}
