//! One prompt spread over several threads. Each has a part of the tokens; once a layer, all learn each other's keys and
//! values. Everything else is a matter of single rows, so that nothing is computed otherwise than by one thread: the
//! results are the same to the bit.
//!
//! Threads wait for each other at work by spinning, as a layer takes tens of microseconds; without work they sleep.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread::Thread;

use crate::network::{Meeting, Network, Scratch, Sequences};

/// Turns of a waiting loop, each some 20 ns, before a thread that waits for the others lets other threads run.
const PATIENCE: usize = 10_000;

/// And before one without work goes to sleep: another prompt often follows at once.
const ALERTNESS: usize = 2_000;

/// A member will not come any more.
#[derive(Debug)]
pub(super) struct Gone;

/// What the members share.
struct Table {
    members: usize,
    prompt: RwLock<Vec<u32>>,
    /// Prompts until now.
    prompts: AtomicUsize,
    /// How often any member has come to a meeting.
    arrivals: AtomicUsize,
    gone: AtomicBool,
    /// What a member tells the others, [member][parity of the meeting]: while the one is read, the other is written.
    told: Vec<[RwLock<Vec<f32>>; 2]>,
}

/// The part of the thread that asks: it computes too. Dropping it sends the helpers away.
pub(super) struct Team {
    seat: Seat,
    helpers: Vec<Thread>,
}

impl Team {
    /// Starts the threads. Errors: the system's, where there can be no more threads.
    pub fn start(
        network: &Arc<Network>,
        helpers: usize,
        begin: impl Fn() + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let table = Arc::new(Table {
            members: helpers + 1,
            prompt: RwLock::default(),
            prompts: AtomicUsize::new(0),
            arrivals: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
            told: (0..=helpers).map(|_| Default::default()).collect(),
        });
        let seat = |member| Seat { table: Arc::clone(&table), member, meetings: 0 };
        let mut team = Self { seat: seat(0), helpers: Vec::new() };
        for member in 1..=helpers {
            let (network, seat, begin) = (Arc::clone(network), seat(member), begin.clone());
            let thread = std::thread::Builder::new().name(format!("encoder-helper-{member}"));
            team.helpers.push(
                thread
                    .spawn(move || {
                        begin();
                        help(&network, seat);
                    })?
                    .thread()
                    .clone(),
            );
        }
        Ok(team)
    }

    /// The last layer's output, row for row of `prompt`, which has passed [`Network::check`]. `Gone` if a helper has
    /// ended: the team is of no use any more.
    pub fn forward(
        &mut self,
        network: &Network,
        prompt: &Sequences<'_>,
        scratch: &mut Scratch,
        mut row: impl FnMut(&[f32]),
    ) -> Result<(), Gone> {
        let table = Arc::clone(&self.seat.table);
        if table.gone.load(Ordering::Acquire) {
            return Err(Gone);
        }
        let _watch = Watch(&table);
        self.seat.give(prompt);
        self.helpers.iter().for_each(Thread::unpark);
        let own = network.forward(prompt, &mut self.seat, scratch)?;
        let rows = own.chunks_exact(network.hidden());
        rows.for_each(&mut row);
        self.seat.meet()?;
        for member in 1..table.members {
            self.seat.told_by(member).chunks_exact(network.hidden()).for_each(&mut row);
        }
        Ok(())
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.seat.table.gone.store(true, Ordering::Release);
        self.helpers.iter().for_each(Thread::unpark);
    }
}

/// Tells the others if its thread panics.
struct Watch<'a>(&'a Table);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.gone.store(true, Ordering::Release);
        }
    }
}

/// The life of a helper. However it ends, the others are told.
fn help(network: &Network, mut seat: Seat) {
    let table = Arc::clone(&seat.table);
    let _watch = Watch(&table);
    let _: Result<(), Gone> = compute(network, &table, &mut seat);
    table.gone.store(true, Ordering::Release);
}

/// Prompt after prompt.
fn compute(network: &Network, table: &Table, seat: &mut Seat) -> Result<(), Gone> {
    let mut scratch = network.scratch();
    let mut prompt = Vec::new();
    let mut done = 0;
    loop {
        table.wait_for_prompt(done)?;
        done += 1;
        prompt.clear();
        prompt.extend_from_slice(&table.prompt.read().unwrap_or_else(PoisonError::into_inner));
        let batch = [prompt.as_slice()];
        // The prompt was checked already by the thread that asks.
        let sequences = network.check(&batch).map_err(|_| Gone)?;
        let rows = network.forward(&sequences, seat, &mut scratch)?;
        seat.tell(|told| told.extend_from_slice(rows));
        seat.meet()?;
    }
}

impl Table {
    fn wait_for_prompt(&self, done: usize) -> Result<(), Gone> {
        let mut turn = 0;
        loop {
            if self.gone.load(Ordering::Acquire) {
                return Err(Gone);
            }
            if self.prompts.load(Ordering::Acquire) > done {
                return Ok(());
            }
            match turn {
                ..ALERTNESS => std::hint::spin_loop(),
                _ => std::thread::park(),
            }
            turn += 1;
        }
    }
}

/// A member's place in the team.
pub(super) struct Seat {
    table: Arc<Table>,
    member: usize,
    /// How many there have been.
    meetings: usize,
}

impl Seat {
    fn give(&self, prompt: &Sequences<'_>) {
        let mut shared = self.table.prompt.write().unwrap_or_else(PoisonError::into_inner);
        shared.clear();
        prompt.all().iter().for_each(|tokens| shared.extend_from_slice(tokens));
        drop(shared);
        self.table.prompts.fetch_add(1, Ordering::Release);
    }

    /// Fills what the others can read after the next meeting.
    fn tell(&self, fill: impl FnOnce(&mut Vec<f32>)) {
        let slot = &self.table.told[self.member][(self.meetings + 1) % 2];
        let mut slot = slot.write().unwrap_or_else(PoisonError::into_inner);
        slot.clear();
        fill(&mut slot);
    }

    /// What a member has told before this meeting.
    fn told_by(&self, member: usize) -> RwLockReadGuard<'_, Vec<f32>> {
        self.table.told[member][self.meetings % 2].read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all have come.
    fn meet(&mut self) -> Result<(), Gone> {
        let table = &self.table;
        self.meetings += 1;
        let all = self.meetings * table.members;
        table.arrivals.fetch_add(1, Ordering::AcqRel);
        let mut turn = 0;
        while table.arrivals.load(Ordering::Acquire) < all {
            if table.gone.load(Ordering::Acquire) {
                return Err(Gone);
            }
            match turn {
                ..PATIENCE => std::hint::spin_loop(),
                _ => std::thread::yield_now(),
            }
            turn += 1;
        }
        Ok(())
    }

    fn rows_of(&self, member: usize, tokens: usize) -> Range<usize> {
        let members = self.table.members;
        tokens * member / members..tokens * (member + 1) / members
    }
}

impl Meeting for Seat {
    type Error = Gone;

    fn own(&self, tokens: usize) -> Range<usize> {
        self.rows_of(self.member, tokens)
    }

    fn exchange(&mut self, projected: &mut [f32], hidden: usize) -> Result<(), Gone> {
        let width = 3 * hidden;
        let tokens = projected.len() / width;
        let own = self.own(tokens);
        self.tell(|told| {
            for row in projected[own.start * width..own.end * width].chunks_exact(width) {
                told.extend_from_slice(&row[hidden..]);
            }
        });
        self.meet()?;
        for member in (0..self.table.members).filter(|member| *member != self.member) {
            let rows = self.rows_of(member, tokens);
            let told = self.told_by(member);
            let rows = projected[rows.start * width..rows.end * width].chunks_exact_mut(width);
            for (row, told) in rows.zip(told.chunks_exact(2 * hidden)) {
                row[hidden..].copy_from_slice(told);
            }
        }
        Ok(())
    }
}
