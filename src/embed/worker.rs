//! A thread that owns a model: takes requests off the queue, drops those nobody waits for any more, batches the rest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, select};
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

/// A request whose text is tokenised.
struct Taken {
    tokens: Tokens,
    deadline: Option<Instant>,
    queued_at: Instant,
    reply: oneshot::Sender<Result<Embedded, EmbedError>>,
}

/// Which queue a batch is made of: urgent and patient requests are not mixed, so that a short urgent text never pays
/// for a long patient one.
#[derive(Clone, Copy)]
enum Lane {
    Urgent,
    Patient,
}

/// Requests that no longer fitted into a batch: each begins the next one of its lane.
#[derive(Default)]
struct LeftOver {
    urgent: Option<Taken>,
    patient: Option<Taken>,
}

impl LeftOver {
    fn of(&mut self, lane: Lane) -> &mut Option<Taken> {
        match lane {
            Lane::Urgent => &mut self.urgent,
            Lane::Patient => &mut self.patient,
        }
    }
}

pub(super) struct Worker {
    pub urgent: Receiver<Request>,
    /// Served only when nothing urgent waits.
    pub patient: Receiver<Request>,
    pub tokeniser: TextTokeniser,
    pub embedder: Box<dyn Embedder>,
    pub limits: BatchLimits,
    pub workers: usize,
}

impl Worker {
    /// Runs until every sender is gone and the queues are empty.
    pub(super) fn run(mut self) {
        let mut left = LeftOver::default();
        while let Some((lane, first)) = self.first(&mut left) {
            let (batch, next) = self.fill(lane, first);
            *left.of(lane) = next;
            self.embed(batch);
        }
    }

    /// What the next batch begins with: an urgent request if there is any.
    fn first(&self, left: &mut LeftOver) -> Option<(Lane, Taken)> {
        if let Some(taken) = left.urgent.take() {
            return Some((Lane::Urgent, taken));
        }
        while let Ok(request) = self.urgent.try_recv() {
            if let Some(taken) = self.take(request) {
                return Some((Lane::Urgent, taken));
            }
        }
        if let Some(taken) = left.patient.take() {
            return Some((Lane::Patient, taken));
        }
        loop {
            let (lane, request) = self.next()?;
            if let Some(taken) = self.take(request) {
                return Some((lane, taken));
            }
        }
    }

    /// Waits for a request of either queue; `None` once both are closed and empty.
    fn next(&self) -> Option<(Lane, Request)> {
        select! {
            recv(self.urgent) -> request => match request {
                Ok(request) => Some((Lane::Urgent, request)),
                Err(_) => self.patient.recv().ok().map(|request| (Lane::Patient, request)),
            },
            recv(self.patient) -> request => match request {
                Ok(request) => Some((Lane::Patient, request)),
                Err(_) => self.urgent.recv().ok().map(|request| (Lane::Urgent, request)),
            },
        }
    }

    /// Tokenises a request, unless nobody waits for it any more: then it costs nothing.
    fn take(&self, request: Request) -> Option<Taken> {
        let Request { text, deadline, queued_at, reply, place } = request;
        drop(place);
        let reply = awaited(deadline, reply)?;
        // The tokeniser meets whatever people send; a panic in it must not take the worker, and a core, away.
        let tokens = catch_unwind(AssertUnwindSafe(|| self.tokeniser.tokenise(&text)));
        match tokens.unwrap_or(Err(EmbedError::Panicked { step: "tokenising" })) {
            Ok(tokens) => Some(Taken { tokens, deadline, queued_at, reply }),
            Err(error) => {
                let _ = reply.send(Err(error));
                None
            }
        }
    }

    /// Takes more requests while the batch has room; returns the one that no longer fitted.
    fn fill(&self, lane: Lane, first: Taken) -> (Vec<Taken>, Option<Taken>) {
        let requests = match lane {
            Lane::Urgent => &self.urgent,
            Lane::Patient => &self.patient,
        };
        let rows = self.limits.rows.min(fair_share(requests.len(), self.workers));
        let limits = BatchLimits { rows, ..self.limits };
        let mut size = BatchSize::default().with(first.tokens.ids.len(), limits).unwrap_or_default();
        let mut batch = vec![first];
        while size.rows() < rows {
            let Ok(request) = requests.try_recv() else { break };
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
        // Time has passed since they were taken, above all for one that was left over.
        let batch: Vec<Taken> = batch.into_iter().filter_map(Taken::still_awaited).collect();
        if batch.is_empty() {
            return;
        }
        let begun = Instant::now();
        let ids: Vec<&[u32]> = batch.iter().map(|taken| taken.tokens.ids.as_slice()).collect();
        let result = catch_unwind(AssertUnwindSafe(|| self.embedder.embed(&ids)))
            .unwrap_or(Err(EmbedError::Panicked { step: "the forward pass" }));
        let computed = begun.elapsed();
        match result {
            Ok(embeddings) => {
                for (taken, embedding) in batch.into_iter().zip(embeddings) {
                    let (tokens, queued) = (taken.tokens.ids.len(), begun - taken.queued_at);
                    let embedded = Embedded { embedding, tokens, seen: taken.tokens.seen, queued, computed };
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

impl Taken {
    fn still_awaited(self) -> Option<Self> {
        let reply = awaited(self.deadline, self.reply)?;
        Some(Self { reply, ..self })
    }
}

type Reply = oneshot::Sender<Result<Embedded, EmbedError>>;

/// The way back to the caller, if he is still there and his deadline has not passed.
fn awaited(deadline: Option<Instant>, reply: Reply) -> Option<Reply> {
    if reply.is_closed() {
        return None;
    }
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        let _ = reply.send(Err(EmbedError::DeadlineExceeded));
        return None;
    }
    Some(reply)
}
