//! A whole run: threads that send, each with a runtime of its own, and the report of what they counted together.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Barrier, oneshot};
use tokio_util::sync::CancellationToken;

use super::call::Call;
use super::error::Error;
use super::profile::Profile;
use super::prompts::Prompts;
use super::report::Report;
use super::summary::Ends;
use super::tally::Tally;
use super::target::Target;
use super::worker::Worker;

/// From the moment that all threads are ready to the start of the schedule.
const RUN_UP: Duration = Duration::from_millis(10);

/// What all threads of a run share.
pub(super) struct Run {
    pub(super) target: Target,
    pub(super) call: Call,
    pub(super) prompts: Prompts,
    pub(super) profile: Profile,
    pub(super) counters: Counters,
    pub(super) stop: CancellationToken,
    ready: Barrier,
    epoch: OnceLock<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    under_way: AtomicUsize,
    peak: AtomicUsize,
    /// Answered or failed, in the warm-up too.
    pub(super) ended: AtomicU64,
    /// Prompts of the pool that were sent before the run.
    pub(super) primed: AtomicU64,
    /// Taken by callers of a closed loop after the warm-up.
    pub(super) measured: AtomicU64,
    running: AtomicBool,
}

impl Counters {
    /// How many are under way, this one included.
    pub(super) fn enter(&self) -> usize {
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(under_way, Ordering::Relaxed);
        under_way
    }

    pub(super) fn leave(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Sends the pool before the run: so many of it are done.
    Priming(u64),
    /// So many requests have ended.
    Running(u64),
}

/// A run that can be watched.
pub struct Generator {
    run: Arc<Run>,
}

impl Generator {
    /// `stop` ends the run early; what was measured until then is reported.
    pub fn new(target: &Target, call: &Call, prompts: &Prompts, profile: Profile, stop: CancellationToken) -> Self {
        let profile = Profile { threads: profile.threads.max(1), ..profile };
        let ready = Barrier::new(profile.threads);
        let run = Run {
            target: target.clone(),
            call: call.clone(),
            prompts: prompts.clone(),
            profile,
            counters: Counters::default(),
            stop,
            ready,
            epoch: OnceLock::new(),
        };
        Self { run: Arc::new(run) }
    }

    pub fn progress(&self) -> Progress {
        let counters = &self.run.counters;
        if counters.running.load(Ordering::Relaxed) {
            Progress::Running(counters.ended.load(Ordering::Relaxed))
        } else {
            Progress::Priming(counters.primed.load(Ordering::Relaxed))
        }
    }

    /// Runs to the end. Fails if the server does not answer a single request.
    pub async fn run(&self) -> Result<Report, Error> {
        tokio::select! {
            checked = self.run.target.check() => checked?,
            () = self.run.stop.cancelled() => return Err(Error::Stopped),
        }
        let threads: Vec<_> =
            (0..self.run.profile.threads).map(|thread| start(&self.run, thread)).collect::<Result<_, _>>()?;
        let mut whole: Option<Part> = None;
        for thread in threads {
            let part = thread.await.map_err(|_| Error::Panicked)??;
            whole = Some(match whole {
                None => part,
                Some(mut whole) => {
                    whole.tally.add(part.tally);
                    whole.lost += part.lost;
                    whole.not_primed += part.not_primed;
                    whole
                }
            });
        }
        let Part { tally, lost, not_primed } = whole.ok_or(Error::Panicked)?;
        let interrupted = self.run.stop.is_cancelled();
        if interrupted && tally.ok.latency.count() + tally.failures() == 0 {
            return Err(Error::Stopped);
        }
        let in_flight_peak = self.run.counters.peak.load(Ordering::Relaxed).min(self.run.profile.max_in_flight);
        let ends = Ends { in_flight_peak, lost, not_primed, interrupted };
        Report::of(&tally, &self.run, ends)
    }
}

/// What one thread brings home.
struct Part {
    tally: Tally,
    lost: u64,
    not_primed: u64,
}

fn start(run: &Arc<Run>, thread: usize) -> Result<oneshot::Receiver<Result<Part, Error>>, Error> {
    let (done, part) = oneshot::channel();
    let run = Arc::clone(run);
    let named = thread::Builder::new().name(format!("load-{thread}"));
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let part = match runtime {
            Ok(runtime) => runtime.block_on(take_part(run, thread)),
            Err(error) => Err(Error::Thread(error)),
        };
        // Nobody waits any more if the command was given up.
        let _ = done.send(part);
    };
    named.spawn(work).map_err(Error::Thread)?;
    Ok(part)
}

async fn take_part(run: Arc<Run>, thread: usize) -> Result<Part, Error> {
    let worker = Worker::connect(Arc::clone(&run), thread).await;
    let not_primed = worker.prime().await;
    run.ready.wait().await;
    let epoch = *run.epoch.get_or_init(|| Instant::now() + RUN_UP);
    tokio::time::sleep_until(epoch.into()).await;
    run.counters.running.store(true, Ordering::Relaxed);
    let tally = worker.work(epoch).await?;
    Ok(Part { tally, lost: worker.lost(), not_primed })
}
