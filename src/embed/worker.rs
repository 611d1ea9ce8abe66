//! A thread that owns a model: takes requests off the queue, drops those nobody waits for any more, batches the rest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::batch::{BatchLimits, BatchSize, fair_share};
use super::error::EmbedError;
use super::tokenise::{TextTokeniser, Tokens};
use super::{Embedded, Embedder};

/// A text on its way to a worker.
pub(super) struct Request {
    pub text: Arc<str>,
    pub deadline: Option<Instant>,
    pub queued_at: Instant,
    pub reply: oneshot::Sender<Result<Embedded, EmbedError>>,
    /// The request's place in the queue, free again as soon as a worker has taken it.
    pub place: OwnedSemaphorePermit,
}

struct Taken {
    tokens: Tokens,
    queued: Duration,
    reply: oneshot::Sender<Result<Embedded, EmbedError>>,
}

pub(super) struct Worker {
    pub requests: Receiver<Request>,
    pub tokeniser: TextTokeniser,
    pub embedder: Box<dyn Embedder>,
    pub limits: BatchLimits,
    pub workers: usize,
}

impl Worker {
    /// Runs until every sender is gone and the queue is empty.
    pub(super) fn run(mut self) {
        let mut left_over = None;
        loop {
            let first = match left_over.take() {
                Some(taken) => taken,
                None => match self.requests.recv() {
                    Ok(request) => match self.take(request) {
                        Some(taken) => taken,
                        None => continue,
                    },
                    Err(_) => return,
                },
            };
            let (batch, next) = self.fill(first);
            left_over = next;
            self.embed(batch);
        }
    }

    /// Tokenises a request, unless its caller has gone or its deadline has passed: then it costs nothing.
    fn take(&self, request: Request) -> Option<Taken> {
        let Request { text, deadline, queued_at, reply, place } = request;
        drop(place);
        let now = Instant::now();
        if reply.is_closed() {
            return None;
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            let _ = reply.send(Err(EmbedError::DeadlineExceeded));
            return None;
        }
        match self.tokeniser.tokenise(&text) {
            Ok(tokens) => Some(Taken { tokens, queued: now - queued_at, reply }),
            Err(error) => {
                let _ = reply.send(Err(error));
                None
            }
        }
    }

    /// Takes more requests while the batch has room; returns the one that no longer fitted.
    fn fill(&self, first: Taken) -> (Vec<Taken>, Option<Taken>) {
        let rows = self.limits.rows.min(fair_share(self.requests.len(), self.workers));
        let limits = BatchLimits { rows, ..self.limits };
        let mut size = BatchSize::default().with(first.tokens.ids.len(), limits).unwrap_or_default();
        let mut batch = vec![first];
        while size.rows() < rows {
            let Ok(request) = self.requests.try_recv() else { break };
            let Some(taken) = self.take(request) else { continue };
            match size.with(taken.tokens.ids.len(), limits) {
                Some(grown) => {
                    size = grown;
                    batch.push(taken);
                }
                None => return (batch, Some(taken)),
            }
        }
        (batch, None)
    }

    fn embed(&mut self, batch: Vec<Taken>) {
        let begun = Instant::now();
        let ids: Vec<&[u32]> = batch.iter().map(|taken| taken.tokens.ids.as_slice()).collect();
        // A panic in the numeric code must not take the worker, and with it a core, away.
        let result = catch_unwind(AssertUnwindSafe(|| self.embedder.embed(&ids)))
            .unwrap_or_else(|panic| Err(EmbedError::Panicked { what: panic_text(panic.as_ref()) }));
        let computed = begun.elapsed();
        match result {
            Ok(embeddings) => {
                for (taken, embedding) in batch.into_iter().zip(embeddings) {
                    let tokens = taken.tokens.ids.len();
                    let embedded =
                        Embedded { embedding, tokens, seen: taken.tokens.seen, queued: taken.queued, computed };
                    let _ = taken.reply.send(Ok(embedded));
                }
            }
            // One bad row must not fail its neighbours: each is tried by itself.
            Err(_) if batch.len() > 1 => batch.into_iter().for_each(|taken| self.embed(vec![taken])),
            Err(error) => {
                if let Some(taken) = batch.into_iter().next() {
                    let _ = taken.reply.send(Err(error));
                }
            }
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
