//! What is counted while a run goes on, by each thread for itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::call::{Basis, Seen};
use super::code::{Code, Failure};
use super::mix::Pick;
use super::times::Times;

/// A request that was due. Times are from the start of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// When the schedule wanted it sent: latency counts from here, so that a late sender makes nothing look better.
    pub(super) intended: Duration,
    pub(super) sent: Duration,
    pub(super) pick: Pick,
    /// The prompt carries a mark.
    pub(super) marked: bool,
}

/// Latency from the intended time, and the service's part of it from when the request was really sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Timing {
    pub(super) latency: Times,
    pub(super) service: Times,
}

impl Timing {
    fn record(&mut self, sent: &Sent, ended: Duration) {
        self.latency.record(ended.saturating_sub(sent.intended));
        self.service.record(ended.saturating_sub(sent.sent));
    }

    fn add(&mut self, other: Self) {
        self.latency.add(other.latency);
        self.service.add(other.service);
    }
}

/// Counts of the measured part: of requests that were due within it, save for the two that say otherwise.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// The measured part; `to`: `None` until the last request has been sent.
    pub(super) from: Duration,
    pub(super) to: Option<Duration>,
    deadline: Duration,

    /// The first number of a prompt that has not been sent, be it in the warm-up.
    pub(super) next_novel: u64,
    pub(super) sent: u64,
    /// Due while too many were under way.
    pub(super) not_sent: u64,
    pub(super) novel: u64,
    pub(super) repeated: u64,
    pub(super) marked: u64,
    pub(super) waited_for_stream: u64,
    /// How much later than intended.
    pub(super) lag: Times,

    pub(super) ok: Timing,
    /// Answered with OK, but later than the deadline counted from the intended time.
    pub(super) late: u64,
    pub(super) failed: BTreeMap<Code, Timing>,
    /// Of the failed: the server said nothing.
    pub(super) unanswered: BTreeMap<Code, u64>,
    /// Answered within the measured part, whenever it was due.
    pub(super) answered_within: u64,
    pub(super) good_within: u64,
    pub(super) last_ended: Duration,

    pub(super) bases: BTreeMap<Basis, u64>,
    /// Prompts that were novel to the run, but not to the server.
    pub(super) known_novel: u64,
    pub(super) truncated: u64,
    pub(super) tokens: u64,
    pub(super) most_tokens: u32,
    /// Of streams, from the intended time.
    pub(super) first_event: Times,
    pub(super) first_text: Times,
}

impl Tally {
    pub(super) fn new(from: Duration, to: Option<Duration>, deadline: Duration) -> Self {
        Self { from, to, deadline, ..Self::default() }
    }

    pub(super) fn not_sent(&mut self, intended: Duration) {
        self.not_sent += u64::from(intended >= self.from);
    }

    pub(super) fn sent(&mut self, sent: &Sent, waits_for_stream: bool) {
        if let Pick::Novel(number) = sent.pick {
            self.next_novel = self.next_novel.max(number + 1);
        }
        if sent.intended < self.from {
            return;
        }
        self.sent += 1;
        self.waited_for_stream += u64::from(waits_for_stream);
        self.marked += u64::from(sent.marked);
        match sent.pick {
            Pick::Novel(_) => self.novel += 1,
            Pick::Repeat(_) => self.repeated += 1,
        }
        self.lag.record(sent.sent.saturating_sub(sent.intended));
    }

    pub(super) fn ended(&mut self, sent: &Sent, ended: Duration, result: Result<Seen, Failure>) {
        let late = ended.saturating_sub(sent.intended) > self.deadline;
        if ended >= self.from && self.to.is_none_or(|to| ended <= to) {
            self.answered_within += u64::from(result.is_ok() || result.is_err_and(|failure| failure.answered));
            self.good_within += u64::from(result.is_ok() && !late);
        }
        if sent.intended < self.from {
            return;
        }
        self.last_ended = self.last_ended.max(ended);
        match result {
            Ok(seen) => {
                self.ok.record(sent, ended);
                self.late += u64::from(late);
                self.seen(sent, seen);
            }
            Err(Failure { code, answered }) => {
                self.failed.entry(code).or_default().record(sent, ended);
                *self.unanswered.entry(code).or_default() += u64::from(!answered);
            }
        }
    }

    fn seen(&mut self, sent: &Sent, seen: Seen) {
        *self.bases.entry(seen.basis).or_default() += 1;
        self.known_novel += u64::from(seen.basis == Basis::Cached && matches!(sent.pick, Pick::Novel(_)));
        if seen.basis != Basis::Nothing {
            self.truncated += u64::from(seen.input_seen < 1.0);
            self.tokens += u64::from(seen.tokens);
            self.most_tokens = self.most_tokens.max(seen.tokens);
        }
        if let Some(at) = seen.first_event {
            self.first_event.record(at.saturating_sub(sent.intended));
        }
        if let Some(at) = seen.first_text {
            self.first_text.record(at.saturating_sub(sent.intended));
        }
    }

    /// The measured part ends here: somebody stopped the run.
    pub(super) fn cut(&mut self, at: Duration) {
        self.to = Some(self.to.map_or(at, |to| to.min(at)));
    }

    /// Takes in what another thread counted of the same run.
    pub(super) fn add(&mut self, other: Self) {
        self.to = self.to.max(other.to);
        self.next_novel = self.next_novel.max(other.next_novel);
        self.sent += other.sent;
        self.not_sent += other.not_sent;
        self.novel += other.novel;
        self.repeated += other.repeated;
        self.marked += other.marked;
        self.waited_for_stream += other.waited_for_stream;
        self.lag.add(other.lag);
        self.ok.add(other.ok);
        self.late += other.late;
        for (code, timing) in other.failed {
            self.failed.entry(code).or_default().add(timing);
        }
        for (code, count) in other.unanswered {
            *self.unanswered.entry(code).or_default() += count;
        }
        self.answered_within += other.answered_within;
        self.good_within += other.good_within;
        self.last_ended = self.last_ended.max(other.last_ended);
        for (basis, count) in other.bases {
            *self.bases.entry(basis).or_default() += count;
        }
        self.known_novel += other.known_novel;
        self.truncated += other.truncated;
        self.tokens += other.tokens;
        self.most_tokens = self.most_tokens.max(other.most_tokens);
        self.first_event.add(other.first_event);
        self.first_text.add(other.first_text);
    }

    /// Length of the measured part: to its end, or to the last answer if only its requests were counted.
    pub(super) fn span(&self) -> Duration {
        self.to.unwrap_or(self.last_ended).saturating_sub(self.from)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failed.values().map(|timing| timing.latency.count()).sum()
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    pub(in crate::load) fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    pub(in crate::load) fn sent(intended: u64, sent: u64) -> Sent {
        Sent { intended: ms(intended), sent: ms(sent), pick: Pick::Novel(0), marked: false }
    }

    pub(in crate::load) fn seen(stage: i32) -> Seen {
        Seen { basis: Basis::Stage(stage), input_seen: 1.0, tokens: 10, ..Seen::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{ms, seen, sent};
    use super::*;

    #[test]
    fn latency_counts_from_the_intended_time() {
        let mut tally = Tally::new(ms(100), Some(ms(1_100)), ms(50));
        let late_sender = sent(200, 260);
        tally.sent(&late_sender, false);
        tally.ended(&late_sender, ms(270), Ok(seen(1)));
        assert_eq!((tally.lag.max(), tally.ok.latency.max(), tally.ok.service.max()), (ms(60), ms(70), ms(10)));
        // Answered with OK, yet past the deadline: no good.
        assert_eq!((tally.late, tally.answered_within, tally.good_within), (1, 1, 0));
    }

    #[test]
    fn only_the_measured_part_counts() {
        let mut tally = Tally::new(ms(100), Some(ms(1_100)), ms(5_000));
        let (warmup, inside, last) = (sent(90, 90), sent(100, 100), sent(1_090, 1_090));
        for request in [&warmup, &inside, &last] {
            tally.sent(request, false);
        }
        tally.not_sent(ms(99));
        tally.not_sent(ms(101));
        tally.ended(&warmup, ms(150), Ok(seen(1)));
        tally.ended(&inside, ms(200), Err(Failure::answered(Code::RESOURCE_EXHAUSTED)));
        tally.ended(&last, ms(1_200), Ok(seen(1)));
        assert_eq!((tally.sent, tally.not_sent), (2, 1));
        // Throughput: what was answered within the second. Latency: what was due within it.
        assert_eq!((tally.answered_within, tally.good_within), (2, 1));
        assert_eq!((tally.ok.latency.count(), tally.failures(), tally.span()), (1, 1, ms(1_000)));
        assert_eq!((tally.ok.latency.max(), tally.failed[&Code::RESOURCE_EXHAUSTED].service.max()), (ms(110), ms(100)));
    }

    #[test]
    fn a_run_that_is_stopped_ends_where_it_was_stopped() {
        let mut tally = Tally::new(ms(0), None, ms(5_000));
        tally.ended(&sent(0, 0), ms(400), Ok(seen(1)));
        assert_eq!(tally.span(), ms(400));
        tally.cut(ms(900));
        tally.ended(&sent(0, 0), ms(1_000), Ok(seen(1)));
        assert_eq!((tally.span(), tally.answered_within, tally.ok.latency.count()), (ms(900), 1, 2));
    }

    #[test]
    fn threads_add_up() {
        let request = sent(5, 6);
        let mut parts: Vec<Tally> = (0..3).map(|_| Tally::new(ms(0), Some(ms(10)), ms(100))).collect();
        for (at, part) in parts.iter_mut().enumerate() {
            part.sent(&request, at == 0);
            let result = if at == 0 { Err(Failure::unanswered(Code::UNAVAILABLE)) } else { Ok(seen(at as i32)) };
            part.ended(&request, ms(7 + at as u64), result);
        }
        let whole = parts.into_iter().reduce(|mut whole, part| {
            whole.add(part);
            whole
        });
        let whole = whole.unwrap();
        assert_eq!((whole.sent, whole.novel, whole.waited_for_stream, whole.failures()), (3, 3, 1, 1));
        assert_eq!((whole.lag.count(), whole.ok.latency.max(), whole.tokens), (3, ms(4), 20));
        assert_eq!(whole.bases, BTreeMap::from([(Basis::Stage(1), 1), (Basis::Stage(2), 1)]));
    }
}
