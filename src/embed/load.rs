//! What the workers have before them, and how long that will take: pure, time is an argument.
//!
//! Work is measured in tokens as they are estimated from the bytes of a text, since nobody knows them better before
//! they are counted. What such a token costs is learned from every pass, so that an estimate that is wrong for all
//! texts alike makes no forecast wrong; and the estimate learns too.

use std::time::{Duration, Instant};

use super::busy::Busy;
use super::overrun::Overrun;
use super::queue::Pace;
use super::ratio::RunningRatio;

/// Tokens over which the cost of a token is averaged: some sixty prompts.
const COST_MEMORY: f64 = 4_096.0;

/// Bytes over which tokens a byte are averaged.
const DENSITY_MEMORY: f64 = 16_384.0;

/// Tokens a byte before anything was tokenised: English prose.
const FIRST_DENSITY: f64 = 0.25;

#[derive(Debug)]
pub(super) struct Load {
    /// Seconds of one worker an estimated token, tokenising included.
    cost: RunningRatio,
    /// The same for tokens that were counted: only to be shown.
    counted_cost: RunningRatio,
    density: RunningRatio,
    overrun: Overrun,
    limits: LoadLimits,
    waiting: Waiting,
    /// By worker: the pass under way.
    passes: Vec<Option<Pass>>,
    busy: Busy,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct LoadLimits {
    /// Most tokens of one text that are read.
    pub text_tokens: usize,
    /// Most tokens of a batch.
    pub batch_tokens: usize,
}

/// Requests that wait for a worker; patient ones are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    pub prompts: usize,
    /// As estimated.
    pub tokens: usize,
}

/// The tokens of a pass.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PassTokens {
    pub estimated: usize,
    pub counted: usize,
}

#[derive(Debug, Clone, Copy)]
struct Pass {
    begun: Instant,
    tokens: PassTokens,
}

/// What would become of a prompt that came now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Forecast {
    /// Until a worker turns to it.
    pub wait: Duration,
    /// Until it is embedded, the wait included.
    pub finish: Duration,
    /// Nothing waits and nothing is under way.
    pub alone: bool,
}

impl Load {
    /// `pace`: what one worker was measured to do.
    pub(super) fn new(workers: usize, limits: LoadLimits, pace: Option<Pace>, now: Instant) -> Self {
        let mut cost = RunningRatio::new(COST_MEMORY);
        if let Some(pace) = pace {
            cost.observe(pace.time.as_secs_f64(), pace.tokens as f64);
        }
        Self {
            cost,
            counted_cost: cost,
            density: RunningRatio::new(DENSITY_MEMORY),
            overrun: Overrun::new(),
            limits,
            waiting: Waiting::default(),
            passes: vec![None; workers],
            busy: Busy::new(workers, now),
        }
    }

    /// Tokens that a text of `bytes` bytes will likely have.
    pub(super) fn estimate(&self, bytes: usize) -> usize {
        let tokens = bytes as f64 * self.density.get().unwrap_or(FIRST_DENSITY);
        (tokens.ceil() as usize).clamp(1, self.limits.text_tokens.max(1))
    }

    /// A text that was read whole had so many tokens.
    pub(super) fn tokenised(&mut self, bytes: usize, tokens: usize) {
        self.density.observe(tokens as f64, bytes as f64);
    }

    /// A request of so many tokens, as estimated, joins the queue.
    pub(super) fn join(&mut self, tokens: usize) {
        self.waiting.prompts += 1;
        self.waiting.tokens += tokens;
    }

    /// A request that joined with so many tokens waits no longer.
    pub(super) fn leave(&mut self, tokens: usize) {
        self.waiting.prompts = self.waiting.prompts.saturating_sub(1);
        self.waiting.tokens = self.waiting.tokens.saturating_sub(tokens);
    }

    /// `worker` begins a pass, having prepared it since `since`.
    pub(super) fn begin(&mut self, worker: usize, tokens: PassTokens, since: Instant, now: Instant) {
        self.advance(now);
        self.busy.add(now.saturating_duration_since(since));
        if let Some(pass) = self.passes.get_mut(worker) {
            *pass = Some(Pass { begun: now, tokens });
        }
    }

    /// Nothing waits, and no other worker is at work.
    pub(super) fn is_alone(&self, worker: usize) -> bool {
        let mut others = self.passes.iter().enumerate().filter(|(number, _)| *number != worker);
        self.waiting.prompts == 0 && others.all(|(_, pass)| pass.is_none())
    }

    /// `worker` ends its pass, which it has prepared since `since`. `telling`: whether it tells what a token costs one
    /// worker, as a pass that failed, or that several cores computed, does not.
    pub(super) fn end(&mut self, worker: usize, since: Instant, telling: bool, now: Instant) {
        self.advance(now);
        let pass = self.passes.get_mut(worker).and_then(Option::take);
        if let Some(pass) = pass.filter(|_| telling) {
            let took = now.saturating_duration_since(since).as_secs_f64();
            self.cost.observe(took, pass.tokens.estimated as f64);
            self.counted_cost.observe(took, pass.tokens.counted as f64);
        }
    }

    /// `None` before any pass was measured.
    pub(super) fn forecast(&self, tokens: usize, now: Instant) -> Option<Forecast> {
        let cost = self.cost.get()?;
        let wait = level(self.free(cost, now), self.waiting.tokens as f64 * cost);
        let alone = self.waiting.prompts == 0 && self.passes.iter().all(Option::is_none);
        let finish = wait + self.pass_time(tokens, self.waiting.tokens, cost);
        Some(Forecast { wait: seconds(wait), finish: seconds(finish), alone })
    }

    /// What was to be finished after `foretold` took so long, or will at least.
    pub(super) fn took(&mut self, foretold: Duration, took: Duration) {
        self.overrun.observe(foretold, took);
    }

    /// By how much a forecast has to be multiplied so that it is seldom exceeded.
    pub(super) fn overrun(&self) -> f64 {
        self.overrun.factor()
    }

    /// The time that a request takes whose turn has come, and which still counts as waiting, if that is longer than it
    /// has: what the forecast did not foresee. One behind which nothing waits is given its chance.
    pub(super) fn too_late(&self, tokens: usize, deadline: Instant, now: Instant) -> Option<Duration> {
        let cost = self.cost.get().filter(|_| self.waiting.prompts > 1)?;
        let behind = self.waiting.tokens.saturating_sub(tokens);
        let needed = seconds(self.pass_time(tokens, behind, cost));
        (now + needed > deadline).then_some(needed)
    }

    /// A text is answered with its whole batch, in which there may be a worker's share of what is `beside` it in the
    /// queue.
    fn pass_time(&self, tokens: usize, beside: usize, cost: f64) -> f64 {
        let share = beside.div_ceil(self.passes.len().max(1));
        let companions = self.limits.batch_tokens.saturating_sub(tokens).min(share);
        (tokens + companions) as f64 * cost
    }

    /// Until all that waits now is under way.
    pub(super) fn drained_in(&self, now: Instant) -> Option<Duration> {
        self.forecast(0, now).map(|forecast| forecast.wait)
    }

    pub(super) fn waiting(&self) -> Waiting {
        self.waiting
    }

    pub(super) fn under_way_tokens(&self) -> usize {
        self.passes.iter().flatten().map(|pass| pass.tokens.counted).sum()
    }

    /// Tokens a second of all workers together; `None` before any pass was measured.
    pub(super) fn rate(&self) -> Option<f64> {
        self.counted_cost.get().map(|cost| self.passes.len() as f64 / cost)
    }

    pub(super) fn busy(&mut self, now: Instant) -> &Busy {
        self.advance(now);
        &self.busy
    }

    fn advance(&mut self, now: Instant) {
        self.busy.advance(self.passes.iter().flatten().count(), now);
    }

    /// In how many seconds each worker is free. One that takes longer than it should is expected to take as long again
    /// as it is late: one that hangs is soon out of the reckoning.
    fn free(&self, cost: f64, now: Instant) -> Vec<f64> {
        let left = |pass: &Option<Pass>| match pass {
            None => 0.0,
            Some(pass) => {
                let elapsed = now.saturating_duration_since(pass.begun).as_secs_f64();
                (pass.tokens.estimated as f64 * cost - elapsed).abs()
            }
        };
        self.passes.iter().map(left).collect()
    }
}

/// When workers that are free at the times `free` will have done `work` seconds of work between them: as water fills
/// a vessel whose floor has steps, those that are free late take no part until the level reaches them.
fn level(mut free: Vec<f64>, work: f64) -> f64 {
    free.sort_by(f64::total_cmp);
    let (mut level, mut sum) = (0.0, 0.0);
    for (at, free_at) in free.into_iter().enumerate() {
        if at > 0 && level <= free_at {
            break;
        }
        sum += free_at;
        level = (work + sum) / (at + 1) as f64;
    }
    level
}

/// A day at most, so that nothing overflows.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: LoadLimits = LoadLimits { text_tokens: 512, batch_tokens: 256 };

    /// A thousand tokens a second.
    const PACE: Pace = Pace { tokens: 100, time: Duration::from_millis(100) };

    fn pass(tokens: usize) -> PassTokens {
        PassTokens { estimated: tokens, counted: tokens }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn tokens_are_estimated_from_bytes_and_the_estimate_learns() {
        let mut load = Load::new(1, LIMITS, None, Instant::now());
        assert_eq!([0, 40, 1_000_000].map(|bytes| load.estimate(bytes)), [1, 10, 512]);
        // A script with a token a character of three bytes.
        (0..100).for_each(|_| load.tokenised(300, 100));
        assert_eq!(load.estimate(300), 100);
    }

    #[test]
    fn the_wait_is_that_of_the_work_ahead_shared_by_the_workers() {
        let now = Instant::now();
        let mut load = Load::new(2, LIMITS, Some(PACE), now);
        let check = |load: &Load, at: Instant, wait: u64, finish: u64, alone: bool| {
            let expected = Forecast { wait: millis(wait), finish: millis(finish), alone };
            assert_eq!(load.forecast(10, at), Some(expected));
        };
        check(&load, now, 0, 10, true);
        load.begin(0, pass(100), now, now);
        check(&load, now, 0, 10, false);
        assert!(load.is_alone(0) && !load.is_alone(1));
        load.begin(1, pass(50), now, now);
        assert!(!load.is_alone(0) && !load.is_alone(1));
        check(&load, now, 50, 60, false);
        check(&load, now + millis(30), 20, 30, false);
        load.join(90);
        // Free in 100 and in 50, 90 to do: both are at 120. One of them takes half of the 90 along with it.
        check(&load, now, 120, 175, false);
        load.leave(90);
        assert_eq!(load.waiting(), Waiting::default());
    }

    #[test]
    fn a_worker_that_hangs_is_left_out() {
        let now = Instant::now();
        let mut load = Load::new(2, LIMITS, Some(PACE), now);
        load.begin(0, pass(10), now, now);
        load.join(100);
        let forecast = load.forecast(10, now + Duration::from_secs(60)).unwrap();
        assert_eq!(forecast.wait, millis(100));
    }

    #[test]
    fn an_estimate_that_is_always_wrong_makes_no_forecast_wrong() {
        let now = Instant::now();
        let mut load = Load::new(1, LIMITS, None, now);
        // Twice the tokens that were estimated, a millisecond each.
        load.begin(0, PassTokens { estimated: 50, counted: 100 }, now, now);
        load.end(0, now, true, now + millis(100));
        assert!((load.rate().unwrap() - 1_000.0).abs() < 1e-6);
        load.begin(0, PassTokens { estimated: 10, counted: 20 }, now, now);
        load.join(20);
        assert_eq!(load.forecast(5, now).unwrap().wait, millis(60));
    }

    #[test]
    fn what_cannot_be_done_in_time_when_its_turn_comes_is_told() {
        let now = Instant::now();
        let mut load = Load::new(1, LIMITS, Some(PACE), now);
        load.join(50);
        assert_eq!(load.too_late(50, now + millis(1), now), None, "it is alone");
        load.join(20);
        assert_eq!(load.too_late(50, now + millis(69), now), Some(millis(70)));
        assert_eq!(load.too_late(50, now + millis(71), now), None);
    }

    #[test]
    fn nothing_is_foretold_before_a_pass_was_measured() {
        let now = Instant::now();
        let mut load = Load::new(1, LIMITS, None, now);
        assert_eq!((load.forecast(10, now), load.rate()), (None, None));
        load.begin(0, pass(100), now, now);
        load.end(0, now, false, now + millis(1));
        assert_eq!(load.rate(), None);
        load.begin(0, pass(100), now, now + millis(10));
        load.end(0, now, true, now + millis(100));
        assert!((load.rate().unwrap() - 1_000.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn the_level_is_reached_with_all_the_work_done(
            free in prop::collection::vec(0f64..10.0, 1..20),
            work in 0f64..100.0,
        ) {
            let level = level(free.clone(), work);
            let done: f64 = free.iter().map(|free| (level - free).max(0.0)).sum();
            prop_assert!((done - work).abs() < 1e-6, "{done} of {work}");
        }

        #[test]
        fn whoever_joins_leaves_nothing_behind(tokens in prop::collection::vec(1usize..600, 0..50)) {
            let mut load = Load::new(2, LIMITS, None, Instant::now());
            tokens.iter().for_each(|tokens| load.join(*tokens));
            prop_assert_eq!(load.waiting().tokens, tokens.iter().sum::<usize>());
            tokens.iter().rev().for_each(|tokens| load.leave(*tokens));
            prop_assert_eq!(load.waiting(), Waiting::default());
        }
    }
}
