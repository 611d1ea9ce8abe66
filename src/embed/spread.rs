//! One prompt on several cores: when nothing waits and the other workers are idle, their cores help with it.
//!
//! Whether that is faster depends on the machine, on the tokens (the threads meet once a layer) and on who else wants
//! the cores at the time. So both ways are timed while prompts are answered, and the faster one is taken; now and then
//! the other is tried again. The embedding is the same to the bit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use semroute_encoder::{Encoder, EncoderError};

use super::embedding::Embedding;
use super::error::EmbedError;
use super::priority::step_back;
use super::ratio::RunningRatio;
use super::{Embedder, Single};

/// Share of the time of one thread from which on it is worth the other cores' work.
const GAIN: f64 = 0.85;

/// Prompts of either way by which the two are first compared, and over which times are averaged.
const FIRST: usize = 8;
const MEMORY: f64 = 8.0;

/// After so many prompts the way that seemed slower is tried again.
const TRY_EVERY: usize = 64;

/// Prompts are told apart by their length: from 8 tokens on, each class twice as long as the one before.
const SHORTEST: usize = 8;
const CLASSES: usize = 6;

/// An encoder that may be helped with single prompts.
#[derive(Clone)]
pub struct Spread {
    encoder: Encoder,
    /// Without helpers there is nothing to choose.
    habits: Option<Arc<Mutex<[Habit; CLASSES]>>>,
}

/// What was seen of prompts of one length.
#[derive(Debug, Clone, Copy)]
struct Habit {
    /// Seconds a prompt.
    alone: RunningRatio,
    together: RunningRatio,
    turns: usize,
}

impl Spread {
    /// One thread for each prompt, always.
    pub fn never(encoder: Encoder) -> Self {
        Self { encoder, habits: None }
    }

    /// Starts `helpers` threads, which all clones share, `niceness` steps nicer than the process.
    pub fn helped(encoder: Encoder, helpers: usize, niceness: u8) -> Result<Self, EncoderError> {
        if helpers == 0 {
            return Ok(Self::never(encoder));
        }
        let encoder = encoder.with_helpers(helpers, move || step_back(niceness))?;
        tracing::info!(threads = helpers + 1, "a prompt that is alone is spread over the cores, where that is faster");
        Ok(Self { encoder, habits: Some(Arc::new(Mutex::new([Habit::new(); CLASSES]))) })
    }

    fn habit<T>(&self, tokens: usize, look: impl FnOnce(&mut Habit) -> T) -> Option<T> {
        let mut habits = self.habits.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        habits.get_mut(class(tokens)?).map(look)
    }
}

impl Embedder for Spread {
    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Embedding>, EmbedError> {
        self.encoder.embed(batch)
    }

    fn embed_single(&mut self, row: &[u32]) -> Result<Single, EmbedError> {
        let wanted = self.habit(row.len(), Habit::choose).unwrap_or(false);
        let begun = Instant::now();
        let (embedding, spread) = match wanted {
            true => {
                let together = self.encoder.encode_together(row)?;
                (Embedding::normalised(together.vector)?, together.helped)
            }
            false => (self.encoder.embed_single(row)?.embedding, false),
        };
        let took = begun.elapsed();
        self.habit(row.len(), |habit| habit.learn(spread, took));
        Ok(Single { embedding, spread })
    }
}

/// `None`: too short to be worth a second thread anywhere.
fn class(tokens: usize) -> Option<usize> {
    let doublings = (tokens / SHORTEST).checked_ilog2()?;
    Some((doublings as usize).min(CLASSES - 1))
}

impl Habit {
    fn new() -> Self {
        let times = RunningRatio::new(MEMORY);
        Self { alone: times, together: times, turns: 0 }
    }

    /// Whether the next prompt is spread.
    fn choose(&mut self) -> bool {
        self.turns += 1;
        let (Some(alone), Some(together)) = (self.alone.get(), self.together.get()) else {
            return self.alone.get().is_some();
        };
        if self.turns <= 2 * FIRST {
            return self.turns.is_multiple_of(2);
        }
        (together <= GAIN * alone) != self.turns.is_multiple_of(TRY_EVERY)
    }

    fn learn(&mut self, spread: bool, took: Duration) {
        let times = if spread { &mut self.together } else { &mut self.alone };
        times.observe(took.as_secs_f64(), 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the last 640 of so many prompts were spread.
    fn spread(habit: &mut Habit, prompts: usize, alone_us: u64, together_us: u64) -> usize {
        let chosen: Vec<bool> = (0..prompts)
            .map(|_| {
                let spread = habit.choose();
                habit.learn(spread, Duration::from_micros(if spread { together_us } else { alone_us }));
                spread
            })
            .collect();
        chosen.iter().rev().take(640).filter(|spread| **spread).count()
    }

    #[test]
    fn the_faster_way_is_taken_and_the_other_tried_now_and_then() {
        assert_eq!(spread(&mut Habit::new(), 2_000, 2_000, 1_200), 630);
        assert_eq!(spread(&mut Habit::new(), 2_000, 2_000, 1_900), 10, "not worth the other core");
        assert_eq!(spread(&mut Habit::new(), 2_000, 2_000, 50_000), 10);
    }

    #[test]
    fn what_changes_is_noticed() {
        let mut habit = Habit::new();
        assert_eq!(spread(&mut habit, 2_000, 2_000, 1_200), 630);
        // Somebody else has the second core.
        assert_eq!(spread(&mut habit, 700, 2_000, 9_000), 10);
        assert_eq!(spread(&mut habit, 4_000, 2_000, 1_200), 630);
    }

    #[test]
    fn lengths_are_told_apart() {
        let classes = [0, 7, 8, 15, 16, 31, 64, 255, 256, 512, 8_192].map(class);
        let expected = [None, None, Some(0), Some(0), Some(1), Some(1), Some(3), Some(4), Some(5), Some(5), Some(5)];
        assert_eq!(classes, expected);
    }
}
