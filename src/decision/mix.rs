//! The channels' weights: those under which the held-out prompts' right routes are likeliest, pulled towards the prior.

use ndarray::{Array1, Array2};
use rayon::prelude::*;

use crate::algebra::invert;
use crate::channels::{Mix, Opinions};

/// How far from the prior a weight is expected to be.
const SPREAD: f64 = 0.25;

/// A head weight of 0 would leave nothing that tells routes without neighbours apart.
const LEAST: [f64; 3] = [0.1, 0.0, 0.0];

const MAX_ITERATIONS: usize = 20;

/// Newton's method on Σ cross-entropy + ½ Σ ((weight - prior) / SPREAD)², convex in the weights.
/// `rows`: opinions of classifiers that have not seen the prompt, and its route.
pub(crate) fn fit(rows: &[(&Opinions, u32)]) -> Mix {
    let prior = [Mix::PRIOR.head, Mix::PRIOR.lexical, Mix::PRIOR.votes].map(f64::from);
    let mut at = prior;
    let mut loss = evaluate(rows, at, prior).loss;
    for _ in 0..MAX_ITERATIONS {
        let sums = evaluate(rows, at, prior);
        let step = invert(sums.hessian.view()).dot(&sums.gradient);
        let mut length = 1.0;
        let next = loop {
            let mut next = at;
            for channel in 0..3 {
                next[channel] = (at[channel] - length * step[channel]).max(LEAST[channel]);
            }
            let next_loss = evaluate(rows, next, prior).loss;
            if next_loss <= loss {
                loss = next_loss;
                break next;
            }
            length /= 2.0;
            if length < 1e-4 {
                break at;
            }
        };
        let moved = (0..3).map(|channel| (next[channel] - at[channel]).abs()).fold(0.0, f64::max);
        at = next;
        if moved < 1e-4 {
            break;
        }
    }
    Mix { head: at[0] as f32, lexical: at[1] as f32, votes: at[2] as f32 }
}

struct Sums {
    loss: f64,
    gradient: Array1<f64>,
    hessian: Array2<f64>,
}

impl Sums {
    fn zero() -> Self {
        Self { loss: 0.0, gradient: Array1::zeros(3), hessian: Array2::zeros((3, 3)) }
    }

    fn add(mut self, other: &Self) -> Self {
        self.loss += other.loss;
        self.gradient += &other.gradient;
        self.hessian += &other.hessian;
        self
    }
}

fn evaluate(rows: &[(&Opinions, u32)], at: [f64; 3], prior: [f64; 3]) -> Sums {
    let mix = Mix { head: at[0] as f32, lexical: at[1] as f32, votes: at[2] as f32 };
    let parts: Vec<Sums> = rows
        .par_chunks(256)
        .map(|rows| {
            let mut posterior = Vec::new();
            rows.iter().fold(Sums::zero(), |mut sums, (opinions, route)| {
                mix.posterior(opinions, &mut posterior);
                add_row(&mut sums, opinions, *route as usize, &posterior);
                sums
            })
        })
        .collect();
    let mut sums = parts.iter().fold(Sums::zero(), Sums::add);
    for channel in 0..3 {
        let away = (at[channel] - prior[channel]) / SPREAD;
        sums.loss += away * away / 2.0;
        sums.gradient[channel] += away / SPREAD;
        sums.hessian[[channel, channel]] += 1.0 / (SPREAD * SPREAD);
    }
    sums
}

/// The gradient is the channels' mean under the posterior less their value for the right route; the Hessian their
/// covariance under the posterior.
fn add_row(sums: &mut Sums, opinions: &Opinions, route: usize, posterior: &[f32]) {
    let channels = [&opinions.head, &opinions.lexical, &opinions.votes];
    let mut mean = [0.0f64; 3];
    let mut products = [[0.0f64; 3]; 3];
    for (class, probability) in posterior.iter().enumerate().filter(|(_, probability)| **probability > 1e-7) {
        let values = channels.map(|channel| f64::from(channel[class]));
        for i in 0..3 {
            mean[i] += f64::from(*probability) * values[i];
            for j in 0..=i {
                products[i][j] += f64::from(*probability) * values[i] * values[j];
            }
        }
    }
    sums.loss -= f64::from(posterior[route].max(1e-30)).ln();
    for i in 0..3 {
        sums.gradient[i] += mean[i] - f64::from(channels[i][route]);
        for j in 0..3 {
            sums.hessian[[i, j]] += products[i.max(j)][i.min(j)] - mean[i] * mean[j];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinion(head: [f32; 2], lexical: [f32; 2]) -> Opinions {
        let log = |p: [f32; 2]| p.map(f32::ln).to_vec();
        Opinions { head: log(head), lexical: log(lexical), votes: log([0.5, 0.5]) }
    }

    #[test]
    fn nothing_known_is_the_prior() {
        assert_eq!(fit(&[]), Mix::PRIOR);
    }

    #[test]
    fn a_channel_that_is_right_gains_weight() {
        let right = opinion([0.4, 0.6], [0.9, 0.1]);
        let rows: Vec<(&Opinions, u32)> = vec![(&right, 0); 200];
        let mix = fit(&rows);
        assert!(mix.lexical > 1.0 && mix.head < 1.0, "{mix:?}");
    }
}
