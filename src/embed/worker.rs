//! A thread that owns a model: takes requests off the queue, drops those nobody waits for any more, batches the rest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::admission::retry;
use super::batch::{BatchLimits, BatchSize, fair_share};
use super::embedding::Embedding;
use super::error::EmbedError;
use super::load::PassTokens;
use super::meter::{Charge, Meter};
use super::pool::pool;
use super::stats::Counters;
use super::tokenise::{TextTokeniser, Tokens};
use super::{Embedded, Embedder};

/// A text on its way to a worker.
pub(super) struct Request {
    pub text: Arc<str>,
    pub deadline: Option<Instant>,
    pub queued_at: Instant,
    pub reply: Reply,
    /// The request's place in the queue, free again as soon as a worker has taken it.
    pub place: OwnedSemaphorePermit,
    /// Its weight in the queue, taken off when its pass begins; patient ones have none.
    pub charge: Option<Arc<Charge>>,
}

/// A request whose text is tokenised.
struct Taken {
    tokens: Tokens,
    deadline: Option<Instant>,
    queued_at: Instant,
    taken_at: Instant,
    reply: Reply,
    charge: Option<Arc<Charge>>,
    /// Tokens that it was thought to have before they were counted.
    estimate: usize,
}

impl Taken {
    /// What was left over by the last batch has cost that one's time so far, not the next one's.
    fn taken_anew(self) -> Self {
        Self { taken_at: Instant::now(), ..self }
    }
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
    /// Of this worker among them, from 0.
    pub number: usize,
    pub meter: Arc<Meter>,
}

impl Worker {
    /// Runs until every sender is gone and the queues are empty.
    pub(super) fn run(mut self) {
        let mut left = LeftOver::default();
        while let Some((lane, first)) = self.first(&mut left) {
            let since = first.taken_at;
            let (batch, next) = self.fill(lane, first);
            *left.of(lane) = next;
            self.embed(batch, since);
        }
    }

    /// What the next batch begins with: an urgent request if there is any.
    fn first(&self, left: &mut LeftOver) -> Option<(Lane, Taken)> {
        if let Some(taken) = left.urgent.take() {
            return Some((Lane::Urgent, taken.taken_anew()));
        }
        while let Ok(request) = self.urgent.try_recv() {
            if let Some(taken) = self.take(request) {
                return Some((Lane::Urgent, taken));
            }
        }
        if let Some(taken) = left.patient.take() {
            return Some((Lane::Patient, taken.taken_anew()));
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
        let charge = request.charge.clone();
        let taken = self.tokenised(request);
        // Its caller holds the charge too, and may not be told for a while.
        if let (None, Some(charge)) = (&taken, charge) {
            charge.lift();
        }
        taken
    }

    fn tokenised(&self, request: Request) -> Option<Taken> {
        let Request { text, deadline, queued_at, reply, place, charge } = request;
        drop(place);
        let estimate = charge.as_ref().map_or_else(|| self.meter.load().estimate(text.len()), |charge| charge.tokens());
        let reply = self.awaited(deadline, reply, charge.as_deref())?;
        let taken_at = Instant::now();
        let late = deadline.and_then(|deadline| self.would_expire(estimate, deadline, taken_at, charge.as_deref()));
        if let Some(error) = late {
            self.counters().refused_deadline.add(1);
            let _ = reply.send(Err(error));
            return None;
        }
        // The tokeniser meets whatever people send; a panic in it must not take the worker, and a core, away.
        let tokens = catch_unwind(AssertUnwindSafe(|| self.tokeniser.tokenise(&text)));
        match tokens.unwrap_or_else(|_| Err(self.panicked("tokenising"))) {
            Ok(tokens) => {
                // Of a text that is read in part, or is mostly white space, nothing can be learned about others.
                if tokens.tail.is_none() && tokens.seen >= 1.0 {
                    self.meter.load().tokenised(text.trim().len(), tokens.count());
                }
                Some(Taken { tokens, deadline, queued_at, taken_at, reply, charge, estimate })
            }
            Err(error) => {
                self.counters().failed.add(1);
                let _ = reply.send(Err(error));
                None
            }
        }
    }

    /// The refusal of a request whose turn has come too late, which was not foreseen.
    fn would_expire(
        &self,
        tokens: usize,
        deadline: Instant,
        now: Instant,
        charge: Option<&Charge>,
    ) -> Option<EmbedError> {
        let mut load = self.meter.load();
        let needed = load.too_late(tokens, deadline, now)?;
        charge.inspect(|charge| charge.finish(&mut load, now + needed));
        let left = deadline.saturating_duration_since(now);
        let retry_after = retry(load.drained_in(now).unwrap_or_default());
        Some(EmbedError::WouldExpire { needed, left, retry_after })
    }

    /// Adds what else may go with the first; also returns one that was taken and did not fit.
    fn fill(&self, lane: Lane, first: Taken) -> (Vec<Taken>, Option<Taken>) {
        let requests = match lane {
            Lane::Urgent => &self.urgent,
            Lane::Patient => &self.patient,
        };
        let share = fair_share(requests.len(), self.workers);
        let size = |size: BatchSize, taken: &Taken| {
            size.with(taken.tokens.windows().count(), taken.tokens.count(), self.limits)
        };
        let mut filled = size(BatchSize::default(), &first).unwrap_or_default();
        let mut batch = vec![first];
        while batch.len() < share {
            let Ok(request) = requests.try_recv() else { break };
            let Some(taken) = self.take(request) else { continue };
            match size(filled, &taken) {
                Some(grown) => {
                    filled = grown;
                    batch.push(taken);
                }
                None => return (batch, Some(taken)),
            }
        }
        (batch, None)
    }

    /// `since`: when the worker began to prepare the batch.
    fn embed(&mut self, batch: Vec<Taken>, since: Instant) {
        // Time has passed since they were taken, above all for one that was left over.
        let batch: Vec<Taken> = batch.into_iter().filter_map(|taken| self.still_awaited(taken)).collect();
        if batch.is_empty() {
            return;
        }
        let begun = Instant::now();
        match self.pass(&batch, since, begun) {
            Ok(embeddings) => {
                let computed = begun.elapsed();
                for (taken, embedding) in batch.into_iter().zip(embeddings) {
                    self.answer(taken, embedding, begun, computed);
                }
            }
            // One bad row must not fail its neighbours: each is tried by itself.
            Err(_) if batch.len() > 1 => batch.into_iter().for_each(|taken| self.embed(vec![taken], Instant::now())),
            Err(error) => {
                if let Some(taken) = batch.into_iter().next() {
                    self.counters().failed.add(1);
                    let _ = taken.reply.send(Err(error));
                }
            }
        }
    }

    /// One embedding for each text, of its windows.
    fn pass(&mut self, batch: &[Taken], since: Instant, begun: Instant) -> Result<Vec<Embedding>, EmbedError> {
        let rows: Vec<&[u32]> = batch.iter().flat_map(|taken| taken.tokens.windows()).collect();
        let tokens = PassTokens {
            estimated: batch.iter().map(|taken| taken.estimate).sum(),
            counted: rows.iter().map(|row| row.len()).sum(),
        };
        let alone = self.begin(batch, tokens, since, begun);
        let single = match rows.as_slice() {
            [row] if alone => Some(*row),
            _ => None,
        };
        let mut spread = false;
        let compute = || match single {
            Some(row) => self.embedder.embed_single(row).map(|single| {
                spread = single.spread;
                vec![single.embedding]
            }),
            None => self.embedder.embed(&rows),
        };
        let result = catch_unwind(AssertUnwindSafe(compute)).unwrap_or_else(|_| Err(self.panicked("the forward pass")));
        // Of several that fail, each is tried again by itself.
        let last = result.is_ok() || batch.len() == 1;
        self.end(batch, since, result.is_ok() && !spread, last);
        let embeddings = result?;
        if embeddings.len() != rows.len() {
            return Err(EmbedError::WrongCount { expected: rows.len(), found: embeddings.len() });
        }
        self.counters().batches.add(1);
        self.counters().tokens.add(tokens.counted);
        let mut embeddings = embeddings.into_iter();
        let pooled = |taken: &Taken| {
            let tokens = taken.tokens.windows().map(<[u32]>::len);
            pool(&tokens.zip(embeddings.by_ref()).collect::<Vec<_>>())
        };
        batch.iter().map(pooled).collect()
    }

    /// At one stroke its requests no longer wait and are under way: whoever asks in between must find them. Whether
    /// nothing else waits or is under way.
    fn begin(&self, batch: &[Taken], tokens: PassTokens, since: Instant, begun: Instant) -> bool {
        let mut load = self.meter.load();
        batch.iter().filter_map(|taken| taken.charge.as_ref()).for_each(|charge| charge.lift_from(&mut load));
        load.begin(self.number, tokens, since, begun);
        load.is_alone(self.number)
    }

    /// `telling`: as for [`Load::end`]. `last`: no other pass follows for the same requests.
    fn end(&self, batch: &[Taken], since: Instant, telling: bool, last: bool) {
        let (mut load, now) = (self.meter.load(), Instant::now());
        load.end(self.number, since, telling, now);
        let charges = batch.iter().filter(|_| last).filter_map(|taken| taken.charge.as_ref());
        charges.for_each(|charge| charge.finish(&mut load, now));
    }

    fn answer(&self, taken: Taken, embedding: Embedding, begun: Instant, computed: Duration) {
        let (tokens, seen) = (taken.tokens.count(), taken.tokens.seen);
        let counters = self.counters();
        counters.embedded.add(1);
        counters.truncated.add(usize::from(seen < 1.0));
        let queued = begun.saturating_duration_since(taken.queued_at);
        if taken.reply.send(Ok(Embedded { embedding, tokens, seen, queued, computed })).is_err() {
            counters.late.add(1);
        }
    }

    /// A request that nobody waits for any more is taken out of the reckoning of what waits.
    fn still_awaited(&self, taken: Taken) -> Option<Taken> {
        let Taken { reply, charge, .. } = taken;
        let Some(reply) = self.awaited(taken.deadline, reply, charge.as_deref()) else {
            charge.inspect(|charge| charge.lift());
            return None;
        };
        Some(Taken { reply, charge, ..taken })
    }

    /// The way back to the caller, if he is still there and his deadline has not passed.
    fn awaited(&self, deadline: Option<Instant>, reply: Reply, charge: Option<&Charge>) -> Option<Reply> {
        // Whoever waits no longer because his deadline has passed has expired, not left.
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.counters().expired.add(1);
            // It would have taken this long at least.
            charge.inspect(|charge| charge.finish(&mut self.meter.load(), now));
            let _ = reply.send(Err(EmbedError::DeadlineExceeded));
            return None;
        }
        if reply.is_closed() {
            self.counters().cancelled.add(1);
            return None;
        }
        Some(reply)
    }

    fn panicked(&self, step: &'static str) -> EmbedError {
        self.counters().panics.add(1);
        EmbedError::Panicked { step }
    }

    fn counters(&self) -> &Counters {
        &self.meter.counters
    }
}

type Reply = oneshot::Sender<Result<Embedded, EmbedError>>;
