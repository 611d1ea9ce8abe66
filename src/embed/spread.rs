//! One prompt on several cores: when nothing waits and the other workers are idle, their cores help with it.
//!
//! Whether that is faster depends on the machine and on the tokens (the threads meet once a layer), so it is measured
//! at the start. The embedding is the same to the bit.

use std::time::{Duration, Instant};

use semroute_encoder::{Encoder, EncoderError};

use super::Embedder;
use super::embedding::Embedding;
use super::error::EmbedError;

/// Tokens of the prompts that are tried, fewest first.
const SIZES: [usize; 4] = [8, 16, 32, 64];

/// Of each way and size, in turn; the best counts.
const PASSES: usize = 3;

/// Share of the time of one thread from which on it is worth the other cores' work.
const GAIN: f64 = 0.85;

/// An encoder that may be helped with single prompts.
#[derive(Clone)]
pub struct Spread {
    encoder: Encoder,
    /// Tokens from which on it is faster; `None`: never.
    from: Option<usize>,
}

/// The times of one and of several threads for so many tokens.
struct Trial {
    tokens: usize,
    alone: Duration,
    together: Duration,
}

impl Spread {
    /// One thread for each prompt, always.
    pub fn never(encoder: Encoder) -> Self {
        Self { encoder, from: None }
    }

    /// Starts `helpers` threads, which all clones share, and measures from how many tokens on they are of use.
    pub fn measured(encoder: Encoder, helpers: usize) -> Result<Self, EncoderError> {
        let mut encoder = encoder.with_helpers(helpers)?;
        if helpers == 0 {
            return Ok(Self::never(encoder));
        }
        let begun = Instant::now();
        let trials = SIZES.into_iter().map(|tokens| trial(&mut encoder, tokens)).collect::<Result<Vec<_>, _>>()?;
        let from = choose(&trials);
        let percent = |trial: &Trial| format!("{}: {:.0} %", trial.tokens, 100.0 * trial.share());
        tracing::info!(
            threads = helpers + 1,
            from_tokens = from,
            measured = trials.iter().map(percent).collect::<Vec<_>>().join(", "),
            took = ?begun.elapsed(),
            "a prompt that is alone is spread over the cores, if that is faster"
        );
        // Without use the threads end with the encoder that has them.
        Ok(Self { encoder, from })
    }
}

impl Embedder for Spread {
    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Embedding>, EmbedError> {
        self.encoder.embed(batch)
    }

    fn spreads(&self, tokens: usize) -> bool {
        self.from.is_some_and(|from| tokens >= from)
    }

    fn embed_together(&mut self, row: &[u32]) -> Result<Embedding, EmbedError> {
        Embedding::normalised(self.encoder.encode_together(row)?)
    }
}

impl Trial {
    /// The time together as a share of the time alone.
    fn share(&self) -> f64 {
        self.together.as_secs_f64() / self.alone.as_secs_f64().max(1e-9)
    }
}

/// Every vocabulary has a token 0.
fn trial(encoder: &mut Encoder, tokens: usize) -> Result<Trial, EncoderError> {
    let row = vec![0; tokens];
    let mut trial = Trial { tokens, alone: Duration::MAX, together: Duration::MAX };
    for _ in 0..PASSES {
        let begun = Instant::now();
        encoder.encode(&[&row])?;
        let between = Instant::now();
        encoder.encode_together(&row)?;
        trial.alone = trial.alone.min(between - begun);
        trial.together = trial.together.min(between.elapsed());
    }
    Ok(trial)
}

/// The fewest tokens such that it was faster with them, and with all more that were tried.
fn choose(trials: &[Trial]) -> Option<usize> {
    let gained = trials.iter().rev().take_while(|trial| trial.share() <= GAIN);
    gained.last().map(|trial| trial.tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_spread_from_where_it_is_faster_for_all_longer_ones() {
        let check = |trials: &[(usize, u64, u64)], expected: Option<usize>| {
            let micros = Duration::from_micros;
            let trials: Vec<Trial> = trials
                .iter()
                .map(|(tokens, alone, together)| Trial {
                    tokens: *tokens,
                    alone: micros(*alone),
                    together: micros(*together),
                })
                .collect();
            assert_eq!(choose(&trials), expected);
        };
        check(&[], None);
        check(&[(8, 100, 60), (16, 200, 110)], Some(8));
        check(&[(8, 100, 90), (16, 200, 110)], Some(16));
        check(&[(8, 100, 60), (16, 200, 190), (32, 400, 300)], Some(32));
        check(&[(8, 100, 60), (16, 200, 190)], None);
    }
}
