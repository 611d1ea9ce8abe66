//! The body of an answer, watched for the status at its end, which is counted.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, Response};

use super::traced::Traced;
use crate::metrics::Call;

const STATUS: &str = "grpc-status";

/// Dropped before its end, its reader has gone.
pub(super) struct Counted {
    body: Body,
    call: Option<Watched>,
}

/// What is to hear of the end.
pub(super) struct Watched {
    pub(super) call: Call,
    pub(super) traced: Traced,
}

/// A status that stands alone is found in the head, any other at the end of the body.
pub(super) fn counted(mut call: Watched, answer: Response<Body>) -> Response<Counted> {
    let call = if ended(&mut call, answer.headers()) { None } else { Some(call) };
    answer.map(|body| Counted { body, call })
}

fn ended(watched: &mut Watched, headers: &HeaderMap) -> bool {
    let Some(code) = headers.get(STATUS) else { return false };
    watched.call.ended(code.as_bytes());
    watched.traced.ended(code.as_bytes());
    true
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
            && let Some(mut call) = self.call.take()
        {
            ended(&mut call, trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
