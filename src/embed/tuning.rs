//! How many tokens a batch should hold, measured at the start on this machine with the model that will run.
//!
//! Large batches use the processor better, up to a point; small ones answer sooner. Where that point lies depends on
//! the caches and on the instructions that the processor has, so it is measured and not assumed.

use std::time::{Duration, Instant};

use super::error::EmbedError;
use super::queue::Pace;
use super::tokenise::TextTokeniser;
use super::{Embedder, Tokens};

/// Sizes that are tried, in tokens, smallest first.
const SIZES: [usize; 6] = [32, 64, 128, 256, 512, 1024];

/// Tokens of the prompts of a batch, over and over: short questions, and now and then a paragraph.
const LENGTHS: [usize; 6] = [12, 20, 32, 16, 48, 96];

/// For all sizes together; one that would not fit into what is left is not tried.
const BUDGET: Duration = Duration::from_millis(200);

/// For each size, so that the large ones get their turn, and so that one disturbance does not decide.
const BUDGET_OF_SIZE: Duration = Duration::from_millis(25);
const MOST_PASSES: usize = 8;

/// Within this share of the best rate the smaller batch is taken: it answers sooner.
const GOOD_ENOUGH: f64 = 0.95;

/// Without a measurement.
const DEFAULT_SIZE: usize = 256;

/// What the batches will be, and what one worker was measured to do with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuned {
    pub batch_tokens: usize,
    pub pace: Option<Pace>,
}

/// `batch_tokens`: what the operator wants, and then nothing is measured; 0: whatever is best.
pub fn tune(batch_tokens: usize, tokeniser: &TextTokeniser, embedder: &mut dyn Embedder) -> Result<Tuned, EmbedError> {
    if batch_tokens > 0 {
        tracing::info!(batch_tokens, "batches have the configured size");
        return Ok(Tuned { batch_tokens, pace: None });
    }
    let begun = Instant::now();
    let paces = measure(&sample(tokeniser)?, tokeniser.max_tokens(), embedder)?;
    let pace = choose(&paces);
    let batch_tokens = pace.map_or(DEFAULT_SIZE, |pace| pace.tokens);
    let measured: Vec<String> = paces.iter().map(|pace| format!("{}: {:.0}", pace.tokens, rate(*pace))).collect();
    tracing::info!(
        batch_tokens,
        measured = measured.join(", "),
        took = ?begun.elapsed(),
        "batch size chosen by tokens a second of one worker"
    );
    Ok(Tuned { batch_tokens, pace })
}

/// The smallest size that is nearly as good as the best.
fn choose(paces: &[Pace]) -> Option<Pace> {
    let best = paces.iter().map(|pace| rate(*pace)).fold(0.0, f64::max);
    paces.iter().filter(|pace| rate(**pace) >= best * GOOD_ENOUGH).min_by_key(|pace| pace.tokens).copied()
}

/// Tokens a second.
fn rate(pace: Pace) -> f64 {
    pace.tokens as f64 / pace.time.as_secs_f64().max(1e-9)
}

/// The best time of a few passes for each size, as far as the budget goes.
fn measure(ids: &[u32], longest: usize, embedder: &mut dyn Embedder) -> Result<Vec<Pace>, EmbedError> {
    let begun = Instant::now();
    let mut paces: Vec<Pace> = Vec::new();
    for size in SIZES {
        let rows = rows(ids, size, longest);
        let left = BUDGET.saturating_sub(begun.elapsed());
        match paces.last() {
            // The first pass of all finds cold caches, and memory that was not touched yet.
            None => drop(embedder.embed(&rows)?),
            Some(last) if last.time.mul_f64(size as f64 / last.tokens as f64) > left => break,
            Some(_) => {}
        }
        let until = Instant::now() + BUDGET_OF_SIZE.min(left);
        let mut best = Duration::MAX;
        for _ in 0..MOST_PASSES {
            let pass = Instant::now();
            embedder.embed(&rows)?;
            best = best.min(pass.elapsed());
            if Instant::now() >= until {
                break;
            }
        }
        paces.push(Pace { tokens: size, time: best });
    }
    Ok(paces)
}

/// Rows of usual lengths with `size` tokens together.
fn rows(ids: &[u32], size: usize, longest: usize) -> Vec<&[u32]> {
    let (mut rows, mut left) = (Vec::new(), size);
    for length in LENGTHS.into_iter().cycle() {
        let row = &ids[..length.min(left).min(longest).min(ids.len())];
        left -= row.len();
        rows.push(row);
        if left == 0 || row.is_empty() {
            return rows;
        }
    }
    rows
}

/// Token ids of plain words, as many as the longest row has.
fn sample(tokeniser: &TextTokeniser) -> Result<Vec<u32>, EmbedError> {
    let text = "Could you tell me why my program is slow when it reads a large file, and what I can do about it? ";
    let Tokens { ids, .. } = tokeniser.tokenise(&text.repeat(8))?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::super::embedding::Embedding;
    use super::*;

    #[test]
    fn the_smallest_size_near_the_best_is_chosen() {
        let pace = |tokens, micros| Pace { tokens, time: Duration::from_micros(micros) };
        let check = |paces: &[Pace], expected: Option<usize>| {
            assert_eq!(choose(paces).map(|pace| pace.tokens), expected, "{paces:?}");
        };
        check(&[], None);
        check(&[pace(64, 1_000)], Some(64));
        check(&[pace(64, 1_280), pace(128, 1_900), pace(256, 3_700), pace(512, 8_000)], Some(128));
        check(&[pace(64, 640), pace(128, 1_280), pace(256, 2_560)], Some(64));
        check(&[pace(64, 2_000), pace(128, 2_000), pace(256, 2_000)], Some(256));
        check(&[pace(64, 0), pace(128, 100)], Some(64));
    }

    #[test]
    fn rows_have_the_wanted_tokens_and_no_row_is_too_long() {
        let ids: Vec<u32> = (0..100).collect();
        for size in SIZES {
            for longest in [1, 20, 256] {
                let rows = rows(&ids, size, longest);
                assert_eq!(rows.iter().map(|row| row.len()).sum::<usize>(), size);
                assert!(rows.iter().all(|row| !row.is_empty() && row.len() <= longest));
            }
        }
        assert_eq!(rows(&[], 64, 256).len(), 1, "ends without any ids");
    }

    /// Takes 0.2 ms a token, and counts its passes.
    struct Slow(usize);

    impl Embedder for Slow {
        fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Embedding>, EmbedError> {
            self.0 += 1;
            let tokens: usize = batch.iter().map(|row| row.len()).sum();
            std::thread::sleep(Duration::from_micros(200) * tokens as u32);
            batch.iter().map(|_| Embedding::normalised(vec![1.0])).collect()
        }
    }

    #[test]
    fn a_slow_model_is_not_measured_for_long() {
        let ids: Vec<u32> = (0..100).collect();
        let mut slow = Slow(0);
        let begun = Instant::now();
        let paces = measure(&ids, 256, &mut slow).unwrap();
        // 32 and 64 tokens take 6 and 13 ms a pass; 1,024 would take 205.
        assert!(!paces.is_empty() && paces.last().unwrap().tokens < 1_024, "{paces:?}");
        assert!(begun.elapsed() < Duration::from_secs(2) && slow.0 > paces.len());
    }
}
