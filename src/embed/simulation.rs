//! The queue's rules under load, in virtual time: the real load, admission and batches, simulated callers and workers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::admission::{Refusal, Terms, admit};
use super::batch::{BatchLimits, BatchSize, fair_share};
use super::load::{Load, LoadLimits, PassTokens};
use super::queue::Pace;

const BATCH: BatchLimits = BatchLimits { tokens: 256, rows: 64 };

/// A pass takes so long, and so long for each token: 31,000 tokens a second at full batches.
const PASS: Duration = Duration::from_micros(200);
const TOKEN: Duration = Duration::from_micros(30);

const WORKERS: usize = 2;
const BYTES_PER_TOKEN: usize = 4;

/// Of a text, on average; texts have 5 to 75.
const TOKENS: f64 = 40.0;

#[derive(Clone, Copy)]
struct Scene {
    /// Share of what the workers can do that is asked of them.
    demand: f64,
    /// Time that callers give.
    patience: Option<Duration>,
    max_wait: Duration,
    pace: Option<Pace>,
    lasts: Duration,
    /// One worker stands still from a fifth of the time on, for so long.
    standstill: Duration,
    /// The workers are this much slower in the second half.
    slowdown: f64,
    /// What is thought of the tokens of a text, as a multiple of the truth, until it is tokenised.
    misjudged: f64,
}

const SCENE: Scene = Scene {
    demand: 1.0,
    patience: Some(Duration::from_millis(50)),
    max_wait: Duration::from_secs(1),
    pace: None,
    lasts: Duration::from_secs(20),
    standstill: Duration::ZERO,
    slowdown: 1.0,
    misjudged: 1.0,
};

#[derive(Debug, Default)]
struct Course {
    asked: usize,
    /// Embedded in time.
    good: usize,
    /// Embedded too late.
    late: usize,
    /// Dropped when their turn came.
    expired: usize,
    refused: usize,
    longest_wait: Duration,
    longest_queue: usize,
    shortest_retry: Option<Duration>,
}

impl Course {
    /// Share of the most that the workers can do.
    fn goodput(&self, scene: Scene) -> f64 {
        self.good as f64 / (capacity() * scene.lasts.as_secs_f64())
    }
}

/// Texts a second.
fn capacity() -> f64 {
    let batch = PASS.as_secs_f64() + BATCH.tokens as f64 * TOKEN.as_secs_f64();
    WORKERS as f64 * BATCH.tokens as f64 / TOKENS / batch
}

struct Caller {
    came: Instant,
    deadline: Option<Instant>,
    tokens: usize,
    estimate: usize,
    foretold: Option<Duration>,
}

struct Running {
    began: Instant,
    ends: Instant,
    texts: Vec<Caller>,
}

struct Simulation {
    scene: Scene,
    start: Instant,
    load: Load,
    queue: VecDeque<Caller>,
    running: [Option<Running>; WORKERS],
    course: Course,
    random: StdRng,
    stood_still: bool,
}

fn run(scene: Scene) -> Course {
    let start = Instant::now();
    let limits = LoadLimits { text_tokens: 512, batch_tokens: BATCH.tokens };
    let mut simulation = Simulation {
        scene,
        start,
        load: Load::new(WORKERS, limits, scene.pace, start),
        queue: VecDeque::new(),
        running: [const { None }; WORKERS],
        course: Course::default(),
        random: StdRng::seed_from_u64(7),
        stood_still: false,
    };
    simulation.run();
    simulation.course
}

impl Simulation {
    fn run(&mut self) {
        let mut next = self.start;
        while next < self.start + self.scene.lasts {
            while let Some(worker) = self.first_to_end().filter(|worker| self.ends(*worker) <= Some(next)) {
                self.end(worker);
            }
            self.ask(next);
            let gap = -(1.0 - self.random.random::<f64>()).ln() / (self.scene.demand * capacity());
            next += Duration::from_secs_f64(gap);
        }
        while let Some(worker) = self.first_to_end() {
            self.end(worker);
        }
    }

    fn ends(&self, worker: usize) -> Option<Instant> {
        self.running[worker].as_ref().map(|running| running.ends)
    }

    fn first_to_end(&self) -> Option<usize> {
        (0..WORKERS).filter(|worker| self.running[*worker].is_some()).min_by_key(|worker| self.ends(*worker))
    }

    fn ask(&mut self, now: Instant) {
        self.course.asked += 1;
        let tokens = self.random.random_range(5..=75);
        let bytes = (tokens * BYTES_PER_TOKEN) as f64 * self.scene.misjudged;
        let estimate = self.load.estimate(bytes as usize);
        let deadline = self.scene.patience.map(|patience| now + patience);
        let terms = Terms { deadline, max_wait: self.scene.max_wait };
        let foretold = match admit(&self.load, estimate, terms, now) {
            Ok(foretold) => foretold,
            Err(Refusal::Deadline { retry_after, .. } | Refusal::Wait { retry_after, .. }) => {
                let shortest = self.course.shortest_retry.map_or(retry_after, |shortest| shortest.min(retry_after));
                self.course.shortest_retry = Some(shortest);
                self.course.refused += 1;
                return;
            }
        };
        self.load.join(estimate);
        self.queue.push_back(Caller { came: now, deadline, tokens, estimate, foretold });
        self.course.longest_queue = self.course.longest_queue.max(self.queue.len());
        if let Some(idle) = (0..WORKERS).find(|worker| self.running[*worker].is_none()) {
            self.begin(idle, now);
        }
    }

    fn begin(&mut self, worker: usize, now: Instant) {
        let (mut size, mut estimated, mut texts) = (BatchSize::default(), 0, Vec::new());
        let share = fair_share(self.queue.len().saturating_sub(1), WORKERS);
        while texts.len() < share {
            let Some(grown) = self.queue.front().and_then(|text| size.with(1, text.tokens, BATCH)) else { break };
            let Some(text) = self.queue.pop_front() else { break };
            let needed = text.deadline.and_then(|deadline| self.load.too_late(text.estimate, deadline, now));
            self.load.leave(text.estimate);
            if needed.is_some() || text.deadline.is_some_and(|deadline| deadline <= now) {
                let took = now - text.came + needed.unwrap_or_default();
                text.foretold.inspect(|foretold| self.load.took(*foretold, took));
                self.course.expired += 1;
                continue;
            }
            self.course.longest_wait = self.course.longest_wait.max(now - text.came);
            size = grown;
            estimated += text.estimate;
            texts.push(text);
        }
        if texts.is_empty() {
            return;
        }
        let tokens = PassTokens { estimated, counted: size.tokens() };
        self.load.begin(worker, tokens, now, now);
        self.running[worker] = Some(Running { began: now, ends: now + self.time(size.tokens(), now), texts });
    }

    /// Now and then a pass takes up to half as long again, as on a machine that does other things as well.
    fn time(&mut self, tokens: usize, now: Instant) -> Duration {
        let slow = if now > self.start + self.scene.lasts / 2 { self.scene.slowdown } else { 1.0 };
        let disturbed = if self.random.random_bool(0.1) { self.random.random_range(1.0..1.5) } else { 1.0 };
        let time = (PASS + TOKEN * tokens as u32).mul_f64(slow * disturbed);
        if !self.stood_still && now > self.start + self.scene.lasts / 5 {
            self.stood_still = true;
            return time + self.scene.standstill;
        }
        time
    }

    fn end(&mut self, worker: usize) {
        let Some(Running { began, ends, texts }) = self.running[worker].take() else { return };
        self.load.end(worker, began, true, ends);
        for text in texts {
            self.load.tokenised(text.tokens * BYTES_PER_TOKEN, text.tokens);
            text.foretold.inspect(|foretold| self.load.took(*foretold, ends - text.came));
            let in_time = text.deadline.is_none_or(|deadline| ends <= deadline);
            *(if in_time { &mut self.course.good } else { &mut self.course.late }) += 1;
        }
        self.begin(worker, ends);
    }
}

#[test]
fn nothing_is_refused_while_there_is_capacity() {
    for demand in [0.05, 0.5, 0.8] {
        let course = run(Scene { demand, ..SCENE });
        assert!(course.refused * 1_000 < course.asked, "{demand}: {course:?}");
        assert!(course.good * 1_000 > course.asked * 997, "{demand}: {course:?}");
    }
}

#[test]
fn goodput_holds_beyond_capacity_and_what_is_taken_in_is_done_in_time() {
    for demand in [1.2, 2.0, 5.0, 20.0] {
        for patience in [30, 50, 200] {
            let scene = Scene { demand, patience: Some(Duration::from_millis(patience)), ..SCENE };
            let course = run(scene);
            assert!(course.goodput(scene) > 0.9, "{demand}, {patience} ms: {} of {course:?}", course.goodput(scene));
            let taken = course.good + course.late + course.expired;
            assert!((course.late + course.expired) * 10_000 < taken, "{demand}, {patience} ms: {course:?}");
            assert!(course.shortest_retry >= Some(Duration::from_millis(10)), "{course:?}");
        }
    }
}

#[test]
fn without_deadlines_the_longest_wait_bounds_the_queue() {
    let max_wait = Duration::from_millis(100);
    for demand in [2.0, 10.0] {
        let scene = Scene { demand, patience: None, max_wait, ..SCENE };
        let course = run(scene);
        assert!(course.goodput(scene) > 0.95, "{course:?}");
        assert!(course.longest_wait < max_wait * 3 / 2, "{demand}: {course:?}");
        assert!(course.longest_queue < (capacity() * 0.2) as usize, "{demand}: {course:?}");
    }
}

#[test]
fn a_worker_that_stands_still_costs_its_own_share_alone() {
    let standstill = Duration::from_secs(5);
    let scene = Scene { demand: 1.5, standstill, ..SCENE };
    let course = run(scene);
    // A quarter of the time at half of the workers.
    assert!(course.goodput(scene) > 0.8, "{} of {course:?}", course.goodput(scene));
    assert!((course.late + course.expired) * 20 < course.good, "{course:?}");
}

#[test]
fn a_rate_thought_far_too_low_recovers() {
    let pace = Some(Pace { tokens: 4_096, time: Duration::from_secs(600) });
    for demand in [0.05, 0.8, 2.0] {
        let scene = Scene { demand, pace, ..SCENE };
        let course = run(scene);
        assert!(course.goodput(scene) > demand.min(1.0) * 0.9, "{demand}: {} of {course:?}", course.goodput(scene));
    }
}

#[test]
fn a_rate_thought_far_too_high_is_corrected() {
    let pace = Some(Pace { tokens: 4_096, time: Duration::from_micros(100) });
    let scene = Scene { demand: 2.0, pace, ..SCENE };
    let course = run(scene);
    assert!(course.goodput(scene) > 0.9, "{} of {course:?}", course.goodput(scene));
}

#[test]
fn workers_that_become_slower_are_followed() {
    let scene = Scene { demand: 2.0, slowdown: 3.0, ..SCENE };
    let course = run(scene);
    // All in the first half, a third in the second.
    assert!(course.goodput(scene) > 0.9 * (0.5 + 0.5 / 3.0), "{} of {course:?}", course.goodput(scene));
    assert!((course.late + course.expired) * 20 < course.good, "{course:?}");
}

#[test]
fn misjudged_lengths_do_little_harm() {
    for misjudged in [0.2, 0.5, 2.0] {
        let scene = Scene { demand: 2.0, misjudged, ..SCENE };
        let course = run(scene);
        assert!(course.goodput(scene) > 0.9, "{misjudged}: {} of {course:?}", course.goodput(scene));
    }
}
