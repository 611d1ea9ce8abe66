//! Hands the events of a stream to its caller from a task of its own: whoever does not read holds up the provider, but
//! holds neither a place nor a connection beyond his deadline or the server's end.
//!
//! Without the task nothing would look at the clock, since the transport asks for no event while the caller's window
//! is full.

use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tracing::Instrument;

use super::ending::Ending;
use super::govern::Place;
use super::status;
use crate::govern::Caller;
use crate::telemetry::step;

/// For events that themselves end at the deadline, with a status that says more than ours: they have this long for it.
pub(super) const LATE: Duration = Duration::from_millis(500);

/// Delivers streams. Clone it freely.
#[derive(Clone)]
pub(super) struct Courier {
    pub(super) tasks: TaskTracker,
    /// Ends the streams that are still under way when the drain time is over.
    pub(super) cut_off: CancellationToken,
}

/// What ends a delivery early, and what it holds.
pub(super) struct Terms {
    /// `None`: the caller set no deadline, and needs none.
    pub(super) until: Option<Instant>,
    /// How long after that the events may still end by themselves.
    pub(super) late: Duration,
    /// The stream does not outlive his key.
    pub(super) caller: Caller,
    /// Told how we ended the stream, before it is dropped.
    pub(super) ending: Ending,
    pub(super) place: Option<Place>,
}

impl Courier {
    /// Starts at once. At most two events are read ahead; dropping the result drops `events`.
    pub(super) fn deliver<T: Send + 'static>(
        &self,
        events: impl Stream<Item = Result<T, Status>> + Send + 'static,
        terms: Terms,
    ) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
        // In boxes: a channel has room for 32 messages whatever its capacity, and these may have half a kilobyte each.
        let (sender, receiver) = mpsc::channel::<Box<Result<T, Status>>>(1);
        let (ended, end) = oneshot::channel();
        // What a task moves about within itself it has room for several times.
        let mut events = Box::pin(events);
        let cut_off = self.cut_off.clone();
        let delivering = async move {
            let Terms { until, late, caller, ending, place: _place } = terms;
            let forward = async {
                while let Some(event) = events.next().await {
                    if sender.send(Box::new(event)).await.is_err() {
                        return;
                    }
                }
            };
            let outside = async {
                ending.set(tokio::select! {
                    () = overdue(until, late) => status::deadline("the answer was on its way"),
                    () = cut_off.cancelled() => status::shutting_down(),
                    why = caller.ended() => status::unauthenticated(why),
                })
            };
            let status = tokio::select! {
                () = forward => return,
                () = sender.closed() => return,
                status = outside => status,
            };
            // The caller may have gone meanwhile.
            let _ = ended.send(status);
        };
        self.tasks.spawn(delivering.instrument(step!("deliver")).in_current_span());
        let last = stream::once(end).filter_map(|end| std::future::ready(end.ok().map(Err)));
        ReceiverStream::new(receiver).map(|event| *event).chain(last)
    }
}

/// Never, without a deadline.
async fn overdue(until: Option<Instant>, late: Duration) {
    match until {
        Some(until) => tokio::time::sleep_until((until + late).into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_says_nothing_ends_when_its_time_is_over() {
        for late in [Duration::ZERO, LATE] {
            let courier = Courier { tasks: TaskTracker::new(), cut_off: CancellationToken::new() };
            let until = tokio::time::Instant::now() + Duration::from_secs(1);
            let terms = Terms {
                until: Some(until.into_std()),
                late,
                caller: Caller::anyone(),
                ending: Ending::default(),
                place: None,
            };
            let mut events = Box::pin(courier.deliver(stream::pending::<Result<(), Status>>(), terms));
            let end = events.next().await.unwrap().unwrap_err();
            assert_eq!(end.code(), Code::DeadlineExceeded);
            let passed = tokio::time::Instant::now() - until;
            assert!(passed >= late && passed < late + Duration::from_millis(10), "{passed:?}");
        }
    }
}
