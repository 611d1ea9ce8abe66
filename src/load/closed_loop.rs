//! Sending in turn: so many callers, each of whom waits for its answer before it asks again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::mix::Pick;
use super::profile::Extent;
use super::sequence::Sequence;
use super::tally::Sent;
use super::worker::{OVERDUE, UNREACHABLE, Worker};

/// After a call that failed without reaching the server, for callers who would otherwise go round in circles.
const PAUSE: Duration = Duration::from_millis(20);

impl Worker {
    /// Starts the callers; each ends with the run.
    pub(super) fn send_in_turn(self: &Arc<Self>, epoch: Instant, callers: usize) {
        let sequence = Arc::new(Mutex::new(Sequence::new(&self.run.profile, self.thread)));
        for caller in 0..callers {
            let (worker, sequence) = (Arc::clone(self), Arc::clone(&sequence));
            self.calls.spawn(async move {
                loop {
                    let next = sequence.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(due) = next else { return };
                    if !worker.call_once(caller, due.pick, epoch).await {
                        return;
                    }
                }
            });
        }
    }

    /// Whether the caller may go on.
    async fn call_once(&self, caller: usize, pick: Pick, epoch: Instant) -> bool {
        let now = epoch.elapsed();
        let goes_on = match self.run.profile.extent {
            Extent::Time(_) => self.run.profile.ends().is_none_or(|end| now < end),
            Extent::Requests(all) => {
                now < self.run.profile.warmup || self.run.counters.measured.fetch_add(1, Ordering::Relaxed) < all
            }
        };
        if !goes_on {
            return false;
        }
        let (body, marked) = self.body(pick);
        // Nothing was planned: it is due when it is sent.
        let sent = Sent { intended: now, sent: now, pick, marked };
        self.run.counters.enter();
        let exchange = self.lane(caller).ok_or(UNREACHABLE);
        let exchange = exchange.and_then(|lane| lane.send(self.run.call.method, self.timeout.clone(), body));
        self.tally().sent(&sent, exchange.as_ref().is_ok_and(|exchange| exchange.waits_for_stream()));
        let answer = match exchange {
            Ok(exchange) => tokio::time::timeout(self.run.profile.timeout, exchange.answer(epoch)).await,
            Err(failure) => Ok(Err(failure)),
        };
        let answer = answer.unwrap_or(Err(OVERDUE));
        let unreachable = answer == Err(UNREACHABLE);
        self.ended(&sent, epoch, answer);
        if unreachable {
            tokio::time::sleep(PAUSE).await;
        }
        true
    }
}
