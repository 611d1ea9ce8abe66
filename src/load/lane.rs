//! One connection that is kept up, and calls over it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue};
use tokio::sync::Notify;

use super::call::{Method, Seen};
use super::code::{Code, Failure};
use super::messages::Messages;
use super::target::Target;

/// Between two attempts to connect.
const RECONNECT: Duration = Duration::from_millis(100);

/// Longest wait for a connection before the first request.
const FIRST: Duration = Duration::from_secs(5);

pub(super) struct Lane {
    target: Target,
    /// `None` while there is no connection.
    sender: Mutex<Option<SendRequest<Bytes>>>,
    came_up: Notify,
    /// Calls under way.
    open: AtomicUsize,
    lost: AtomicU64,
}

impl Lane {
    /// The connection is kept up for as long as the runtime runs.
    pub(super) fn open(target: &Target) -> Arc<Self> {
        let lane = Arc::new(Self {
            target: target.clone(),
            sender: Mutex::new(None),
            came_up: Notify::new(),
            open: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        });
        tokio::spawn(Arc::clone(&lane).keep_up());
        lane
    }

    /// Waits for the first connection, though not for ever.
    pub(super) async fn ready(&self) {
        let _ = tokio::time::timeout(FIRST, self.came_up.notified()).await;
    }

    /// How often an established connection ended.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    async fn keep_up(self: Arc<Self>) {
        loop {
            if let Ok((sender, connection)) = self.target.connect().await {
                self.put(Some(sender));
                self.came_up.notify_one();
                // How it ended is told by the calls that were under way.
                let _ = connection.await;
                self.put(None);
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    fn put(&self, sender: Option<SendRequest<Bytes>>) {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = sender;
    }

    /// Sends a call off; its answer is to be waited for with [`Exchange::answer`].
    pub(super) fn send(
        self: &Arc<Self>,
        method: Method,
        timeout: HeaderValue,
        body: Bytes,
    ) -> Result<Exchange, Failure> {
        // A handle of its own: a shared one would refuse calls as long as another waits for a stream.
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut sender = sender.ok_or(Failure::unanswered(Code::UNAVAILABLE))?;
        let place = Place::take(self);
        let waits = place.before >= sender.current_max_send_streams();
        let request = self.target.request(method.path(), timeout);
        let (response, mut stream) = sender.send_request(request, false).map_err(|error| broken_off(&error))?;
        stream.send_data(body, true).map_err(|error| broken_off(&error))?;
        Ok(Exchange { response, method, waits, _place: place })
    }
}

/// A call's place among those under way.
struct Place {
    lane: Arc<Lane>,
    /// How many others there were.
    before: usize,
}

impl Place {
    fn take(lane: &Arc<Lane>) -> Self {
        Self { before: lane.open.fetch_add(1, Ordering::Relaxed), lane: Arc::clone(lane) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call under way. Dropping it cancels the call.
pub(super) struct Exchange {
    response: ResponseFuture,
    method: Method,
    waits: bool,
    _place: Place,
}

impl Exchange {
    /// Whether it waits in this process, since the server allows no more streams on this connection.
    pub(super) fn waits_for_stream(&self) -> bool {
        self.waits
    }

    /// Reads the answer to its end. `epoch`: what the times in it are counted from.
    pub(super) async fn answer(self, epoch: Instant) -> Result<Seen, Failure> {
        let response = self.response.await.map_err(|error| broken_off(&error))?;
        let http = response.status().as_u16();
        let (head, mut body) = response.into_parts();
        if let Some(code) = status_of(&head.headers) {
            return if code == Code::OK { Ok(Seen::default()) } else { Err(Failure::answered(code)) };
        }
        if http != 200 {
            return Err(Failure::answered(Code::of_http(http)));
        }
        let (mut seen, mut messages) = (Seen::default(), Messages::default());
        while let Some(piece) = body.data().await {
            let piece = piece.map_err(|error| broken_off(&error))?;
            // Fails only for more than came.
            let _ = body.flow_control().release_capacity(piece.len());
            let at = epoch.elapsed();
            messages.take_in(piece, |message| seen.take_in(self.method, message, at));
        }
        match trailers(&mut body).await? {
            Some(code) if code != Code::OK => Err(Failure::answered(code)),
            Some(_) if messages.is_broken_off() => Err(Failure::unanswered(Code::INTERNAL)),
            Some(_) => Ok(seen),
            None => Err(Failure::unanswered(Code::UNKNOWN)),
        }
    }
}

async fn trailers(body: &mut RecvStream) -> Result<Option<Code>, Failure> {
    let trailers = body.trailers().await.map_err(|error| broken_off(&error))?;
    Ok(trailers.as_ref().and_then(status_of))
}

fn status_of(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|status| Code::parse(status.as_bytes()))
}

/// As gRPC's libraries report a stream that ended without a status.
fn broken_off(error: &h2::Error) -> Failure {
    let code = match error.reason() {
        _ if error.is_io() || error.is_go_away() => Code::UNAVAILABLE,
        Some(Reason::REFUSED_STREAM | Reason::NO_ERROR) => Code::UNAVAILABLE,
        Some(Reason::CANCEL) => Code::CANCELLED,
        Some(Reason::ENHANCE_YOUR_CALM) => Code::RESOURCE_EXHAUSTED,
        Some(_) => Code::INTERNAL,
        None => Code::UNAVAILABLE,
    };
    Failure::unanswered(code)
}
