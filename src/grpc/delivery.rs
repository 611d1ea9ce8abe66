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

use super::govern::Place;
use super::pb;
use super::status;
use crate::govern::Caller;
use crate::telemetry::step;

pub(super) type Event = Result<pb::CompleteEvent, Status>;

/// The events themselves end at the deadline with a status that says more than ours: they have this long for it.
const LATE: Duration = Duration::from_millis(500);

/// What ends a delivery early, and what it holds.
pub(super) struct Terms {
    pub(super) until: Instant,
    pub(super) cut_off: CancellationToken,
    pub(super) place: Place,
    /// The stream does not outlive his key.
    pub(super) caller: Caller,
}

/// Starts at once. At most two events are read ahead; dropping the result drops `events`.
pub(super) fn deliver(
    events: impl Stream<Item = Event> + Send + 'static,
    terms: Terms,
    tasks: &TaskTracker,
) -> impl Stream<Item = Event> + Send + 'static {
    // In boxes: a channel has room for 32 messages whatever its capacity, and these may have half a kilobyte each.
    let (sender, receiver) = mpsc::channel::<Box<Event>>(1);
    let (ended, end) = oneshot::channel();
    // What a task moves about within itself it has room for several times.
    let mut events = Box::pin(events);
    let delivering = async move {
        let Terms { until, cut_off, place: _place, caller } = terms;
        let forward = async {
            while let Some(event) = events.next().await {
                if sender.send(Box::new(event)).await.is_err() {
                    return;
                }
            }
        };
        let status = tokio::select! {
            () = forward => return,
            () = sender.closed() => return,
            () = tokio::time::sleep_until((until + LATE).into()) => status::deadline("the answer was not being read"),
            () = cut_off.cancelled() => status::shutting_down(),
            why = caller.ended() => status::unauthenticated(why),
        };
        // The caller may have gone meanwhile.
        let _ = ended.send(status);
    };
    tasks.spawn(delivering.instrument(step!("deliver")).in_current_span());
    let last = stream::once(end).filter_map(|end| std::future::ready(end.ok().map(Err)));
    ReceiverStream::new(receiver).map(|event| *event).chain(last)
}
