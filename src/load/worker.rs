//! One sending thread: its connections, its part of the sequence, its tally.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use tokio_util::task::TaskTracker;

use super::call::Seen;
use super::code::{Code, Failure};
use super::error::Error;
use super::generator::Run;
use super::lane::Lane;
use super::mix::Pick;
use super::profile::Pace;
use super::tally::{Sent, Tally};

/// How often a prompt of the pool is tried, with [`PRIME_PAUSE`] between.
const PRIME_TRIES: usize = 50;
const PRIME_PAUSE: Duration = Duration::from_millis(200);

/// Prompts of the pool that one thread has under way before the run.
const PRIME_IN_FLIGHT: usize = 4;

pub(super) const UNREACHABLE: Failure = Failure { code: Code::UNAVAILABLE, answered: false };
pub(super) const OVERDUE: Failure = Failure { code: Code::DEADLINE_EXCEEDED, answered: false };

pub(super) struct Worker {
    pub(super) run: Arc<Run>,
    pub(super) thread: usize,
    lanes: Vec<Arc<Lane>>,
    pub(super) timeout: HeaderValue,
    /// The pool's prompts as they are sent.
    pool: Vec<Bytes>,
    tally: Mutex<Tally>,
    /// Those under way.
    pub(super) calls: TaskTracker,
}

impl Worker {
    /// Connects. To be called within the thread's own runtime.
    pub(super) async fn connect(run: Arc<Run>, thread: usize) -> Arc<Self> {
        let profile = &run.profile;
        let lanes: Vec<_> = (0..profile.connections_of(thread)).map(|_| Lane::open(&run.target)).collect();
        for lane in &lanes {
            lane.ready().await;
        }
        let pool = (0..profile.pool).map(|number| run.call.body(run.prompts.text(number).0)).collect();
        let tally = Mutex::new(Tally::new(profile.warmup, profile.ends(), profile.timeout));
        let timeout = grpc_timeout(profile.timeout);
        Arc::new(Self { thread, lanes, timeout, pool, tally, calls: TaskTracker::new(), run })
    }

    /// Sends this thread's part of the pool once, so that every repeat in the run repeats something. How many could not
    /// be sent.
    pub(super) async fn prime(self: &Arc<Self>) -> u64 {
        use futures_util::{StreamExt, stream};
        let mine = self.pool.iter().enumerate().skip(self.thread).step_by(self.run.profile.threads);
        let primed = stream::iter(mine).map(|(at, body)| self.prime_one(at, body.clone()));
        primed.buffer_unordered(PRIME_IN_FLIGHT).filter(|done| std::future::ready(!done)).count().await as u64
    }

    async fn prime_one(&self, at: usize, body: Bytes) -> bool {
        for _ in 0..PRIME_TRIES {
            if self.run.stop.is_cancelled() {
                return false;
            }
            match self.exchange(at, body.clone()).await {
                Ok(()) => {
                    self.run.counters.primed.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                Err(Failure { code: Code::RESOURCE_EXHAUSTED | Code::UNAVAILABLE, .. }) => {
                    tokio::time::sleep(PRIME_PAUSE).await
                }
                Err(_) => return false,
            }
        }
        false
    }

    async fn exchange(&self, at: usize, body: Bytes) -> Result<(), Failure> {
        let exchange = self.lane(at).ok_or(UNREACHABLE)?.send(self.run.call.method, self.timeout.clone(), body)?;
        let answer = tokio::time::timeout(self.run.profile.timeout, exchange.answer(Instant::now())).await;
        answer.map_err(|_| OVERDUE)?.map(drop)
    }

    /// Sends until the run's end, and waits for the last answer.
    pub(super) async fn work(self: &Arc<Self>, epoch: Instant) -> Result<Tally, Error> {
        let sending = async {
            match self.run.profile.pace {
                Pace::Open { .. } => self.send_when_due(epoch).await,
                Pace::Closed { concurrency } => {
                    self.send_in_turn(epoch, self.run.profile.share_of(self.thread, concurrency));
                    Ok(())
                }
            }?;
            self.calls.close();
            self.calls.wait().await;
            Ok(())
        };
        tokio::select! {
            sent = sending => sent?,
            () = self.run.stop.cancelled() => self.tally().cut(epoch.elapsed()),
        }
        Ok(std::mem::take(&mut *self.tally()))
    }

    pub(super) fn ended(&self, sent: &Sent, epoch: Instant, answer: Result<Seen, Failure>) {
        self.tally().ended(sent, epoch.elapsed(), answer);
        self.run.counters.leave();
        self.run.counters.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn body(&self, pick: Pick) -> (Bytes, bool) {
        match pick {
            Pick::Repeat(number) => (self.pool.get(number as usize).cloned().unwrap_or_default(), false),
            Pick::Novel(number) => {
                let (text, marked) = self.run.prompts.text(number);
                (self.run.call.body(text), marked)
            }
        }
    }

    pub(super) fn lane(&self, at: usize) -> Option<&Arc<Lane>> {
        self.lanes.get(at % self.lanes.len().max(1))
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Established connections that ended during the run.
    pub(super) fn lost(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.lost()).sum()
    }
}

/// The value of the `grpc-timeout` header: at most eight digits and a unit.
fn grpc_timeout(timeout: Duration) -> HeaderValue {
    let (micros, millis) = (timeout.as_micros(), timeout.as_millis());
    let text = match (micros, millis) {
        (0..=99_999_999, _) => format!("{micros}u"),
        (_, 0..=99_999_999) => format!("{millis}m"),
        _ => format!("{}S", timeout.as_secs().min(99_999_999)),
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("99999999S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_fit_the_header() {
        let table = [
            (Duration::from_micros(1), "1u"),
            (Duration::from_secs(10), "10000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(1_000_000), "1000000S"),
            (Duration::MAX, "99999999S"),
        ];
        for (timeout, expected) in table {
            assert_eq!(grpc_timeout(timeout), expected);
        }
    }
}
