//! Sending when a request is due, whatever became of those before it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::alarm::Alarm;
use super::error::Error;
use super::profile::Extent;
use super::sequence::{Due, Sequence};
use super::tally::Sent;
use super::worker::{OVERDUE, UNREACHABLE, Worker};

/// Arrivals closer together than this are sent in one burst: waking up for each would cost more than the request.
const BURST: Duration = Duration::from_micros(200);

/// Most requests sent before answers get a look-in.
const MOST_AT_ONCE: usize = 128;

impl Worker {
    /// Ends when nothing of the schedule is left; answers may be under way then.
    pub(super) async fn send_when_due(self: &Arc<Self>, epoch: Instant) -> Result<(), Error> {
        let alarm = Alarm::start().map_err(Error::Thread)?;
        let mut sequence = Sequence::new(&self.run.profile, self.thread).enumerate();
        let Some((mut at, mut due)) = sequence.next() else { return Ok(()) };
        let mut measured = 0;
        loop {
            let now = epoch.elapsed();
            for _ in 0..MOST_AT_ONCE {
                if due.at > now {
                    break;
                }
                measured += u64::from(due.at >= self.run.profile.warmup);
                if self.is_over(due.at, measured) {
                    return Ok(());
                }
                self.send(at, due, epoch);
                match sequence.next() {
                    Some(next) => (at, due) = next,
                    None => return Ok(()),
                }
            }
            alarm.until(epoch + due.at.max(now + BURST)).await;
        }
    }

    /// Whether a request that is due at `at`, the `measured`th of this thread, is no part of the run any more.
    fn is_over(&self, at: Duration, measured: u64) -> bool {
        match self.run.profile.extent {
            Extent::Time(_) => self.run.profile.ends().is_some_and(|end| at >= end),
            Extent::Requests(all) => measured > share(all, self.thread, self.run.profile.threads),
        }
    }

    fn send(self: &Arc<Self>, at: usize, due: Due, epoch: Instant) {
        let counters = &self.run.counters;
        if counters.enter() > self.run.profile.max_in_flight {
            counters.leave();
            return self.tally().not_sent(due.at);
        }
        let (body, marked) = self.body(due.pick);
        let sent = Sent { intended: due.at, sent: epoch.elapsed(), pick: due.pick, marked };
        let exchange = self.lane(at).ok_or(UNREACHABLE);
        let exchange = exchange.and_then(|lane| lane.send(self.run.call.method, self.timeout.clone(), body));
        self.tally().sent(&sent, exchange.as_ref().is_ok_and(|exchange| exchange.waits_for_stream()));
        let exchange = match exchange {
            Ok(exchange) => exchange,
            Err(failure) => return self.ended(&sent, epoch, Err(failure)),
        };
        let worker = Arc::clone(self);
        self.calls.spawn(async move {
            let answer = tokio::time::timeout(worker.run.profile.timeout, exchange.answer(epoch)).await;
            worker.ended(&sent, epoch, answer.unwrap_or(Err(OVERDUE)));
        });
    }
}

fn share(all: u64, thread: usize, threads: usize) -> u64 {
    let (thread, threads) = (thread as u64, threads.max(1) as u64);
    all / threads + u64::from(thread < all % threads)
}
