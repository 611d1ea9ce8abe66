//! Which prompt goes next: one that no server has seen, or one of a pool that was sent before the run began.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A prompt by its number, see [`super::Prompts::text`]: those below the pool's size are the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// Sent once, never before.
    Novel(u64),
    /// One of the pool, all of them equally often.
    Repeat(u64),
}

/// Endless picks; they depend on the seed and the shares alone.
#[derive(Debug, Clone)]
pub(super) struct Mix {
    rng: StdRng,
    repeats: f64,
    pool: u64,
    next_novel: u64,
}

impl Mix {
    /// `repeats`: the share of the pool's prompts, 0 to 1; `novel_from`: the first number that no run has sent yet, at
    /// least `pool`.
    pub(super) fn new(repeats: f64, pool: u64, novel_from: u64, seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), repeats, pool, next_novel: novel_from.max(pool) }
    }

    pub(super) fn pick(&mut self) -> Pick {
        if self.pool > 0 && self.rng.random::<f64>() < self.repeats {
            return Pick::Repeat(self.rng.random_range(0..self.pool));
        }
        let number = self.next_novel;
        self.next_novel += 1;
        Pick::Novel(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picks(repeats: f64, pool: u64, from: u64, seed: u64, count: usize) -> Vec<Pick> {
        let mut mix = Mix::new(repeats, pool, from, seed);
        (0..count).map(|_| mix.pick()).collect()
    }

    #[test]
    fn the_share_of_repeats_is_kept() {
        for (repeats, seed) in [(0.0, 1), (0.01, 2), (0.3, 3), (0.95, 4), (1.0, 5)] {
            let picked = picks(repeats, 100, 100, seed, 50_000);
            let repeated = picked.iter().filter(|pick| matches!(pick, Pick::Repeat(_))).count() as f64 / 50_000.0;
            // Five standard errors of a share.
            let room = 5.0 * (repeats * (1.0 - repeats) / 50_000.0_f64).sqrt();
            assert!((repeated - repeats).abs() <= room, "{repeated} of {repeats}");
        }
    }

    #[test]
    fn every_prompt_of_the_pool_gets_its_share() {
        let mut counts = [0u32; 20];
        for pick in picks(1.0, 20, 0, 9, 40_000) {
            let Pick::Repeat(number) = pick else { panic!("{pick:?} is no repeat") };
            counts[number as usize] += 1;
        }
        assert!(counts.iter().all(|count| (1_750..2_250).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn novel_prompts_never_come_again(
            repeats in 0.0f64..=1.0, pool in 0u64..50, from in 0u64..1_000, seed: u64,
        ) {
            let picked = picks(repeats, pool, from, seed, 500);
            let novel: Vec<u64> =
                picked.iter().filter_map(|pick| if let Pick::Novel(at) = pick { Some(*at) } else { None }).collect();
            let first = from.max(pool);
            prop_assert_eq!(&novel, &(first..first + novel.len() as u64).collect::<Vec<_>>());
            prop_assert!(picked.iter().all(|pick| !matches!(pick, Pick::Repeat(at) if *at >= pool)));
            prop_assert_eq!(&picked, &picks(repeats, pool, from, seed, 500));
        }
    }
}
