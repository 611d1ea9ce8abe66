//! Logistic regression for yes or no on a few features, by Newton's method, pulled towards coefficients known before.

use ndarray::{Array1, Array2};

use crate::algebra::invert;

const MAX_ITERATIONS: usize = 30;

/// A linear function of features, as log-odds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Logistic {
    /// One a feature; the last is the intercept.
    pub(crate) coefficients: Vec<f64>,
}

/// What to fit to.
pub(crate) struct LogisticInput<'a> {
    /// (rows, features).
    pub(crate) features: &'a [Vec<f64>],
    pub(crate) right: &'a [bool],
    pub(crate) weights: &'a [f64],
    /// Coefficients where the data says nothing; one a feature and the intercept.
    pub(crate) prior: &'a [f64],
    /// How firmly each is held: the penalty is ½ strength (coefficient - prior)².
    pub(crate) strengths: &'a [f64],
}

impl Logistic {
    pub(crate) fn fit(input: &LogisticInput) -> Self {
        let size = input.prior.len();
        let prior = Array1::from_vec(input.prior.to_vec());
        let mut at = prior.clone();
        let mut loss = penalised(input, &at);
        for _ in 0..MAX_ITERATIONS {
            let (gradient, hessian) = derivatives(input, &at, size);
            let step = invert(hessian.view()).dot(&gradient);
            let mut length = 1.0;
            let next = loop {
                let next = &at - &(&step * length);
                let next_loss = penalised(input, &next);
                if next_loss <= loss {
                    loss = next_loss;
                    break next;
                }
                length /= 2.0;
                if length < 1e-6 {
                    return Self { coefficients: at.to_vec() };
                }
            };
            let moved = (&next - &at).iter().fold(0.0f64, |most, value| most.max(value.abs()));
            at = next;
            if moved < 1e-7 {
                break;
            }
        }
        Self { coefficients: at.to_vec() }
    }

    pub(crate) fn log_odds(&self, features: &[f64]) -> f64 {
        linear(&self.coefficients, features)
    }

    pub(crate) fn probability(&self, features: &[f64]) -> f64 {
        sigmoid(self.log_odds(features))
    }
}

pub(crate) fn sigmoid(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// log(p / (1 - p)), with p kept `margin` away from 0 and 1.
pub(crate) fn logit(probability: f64, margin: f64) -> f64 {
    let kept = probability.clamp(margin, 1.0 - margin);
    (kept / (1.0 - kept)).ln()
}

fn linear(coefficients: &[f64], features: &[f64]) -> f64 {
    let intercept = coefficients.get(features.len()).copied().unwrap_or(0.0);
    intercept + coefficients.iter().zip(features).map(|(coefficient, feature)| coefficient * feature).sum::<f64>()
}

/// log(1 + e^x), stable.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn penalised(input: &LogisticInput, at: &Array1<f64>) -> f64 {
    let coefficients = at.as_slice().unwrap_or_default();
    let rows = input.features.iter().zip(input.right).zip(input.weights);
    let loss: f64 = rows
        .map(|((features, right), weight)| {
            let odds = linear(coefficients, features);
            weight * softplus(if *right { -odds } else { odds })
        })
        .sum();
    let pulled = coefficients.iter().zip(input.prior).zip(input.strengths);
    loss + pulled.map(|((value, prior), strength)| 0.5 * strength * (value - prior).powi(2)).sum::<f64>()
}

fn derivatives(input: &LogisticInput, at: &Array1<f64>, size: usize) -> (Array1<f64>, Array2<f64>) {
    let coefficients = at.as_slice().unwrap_or_default();
    let mut gradient = Array1::zeros(size);
    let mut hessian = Array2::zeros((size, size));
    for ((features, right), weight) in input.features.iter().zip(input.right).zip(input.weights) {
        let probability = sigmoid(linear(coefficients, features));
        let residual = weight * (probability - f64::from(u8::from(*right)));
        let curvature = weight * probability * (1.0 - probability);
        let value = |index: usize| features.get(index).copied().unwrap_or(1.0);
        for i in 0..size {
            gradient[i] += residual * value(i);
            for j in 0..=i {
                hessian[[i, j]] += curvature * value(i) * value(j);
            }
        }
    }
    for i in 0..size {
        gradient[i] += input.strengths[i] * (at[i] - input.prior[i]);
        hessian[[i, i]] += input.strengths[i];
        for j in 0..i {
            hessian[[j, i]] = hessian[[i, j]];
        }
    }
    (gradient, hessian)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(features: &[Vec<f64>], right: &[bool], strength: f64) -> Logistic {
        Logistic::fit(&LogisticInput {
            features,
            right,
            weights: &vec![1.0; right.len()],
            prior: &[1.0, 0.0],
            strengths: &[strength, strength],
        })
    }

    #[test]
    fn finds_the_rate() {
        let features = vec![vec![0.0]; 100];
        let right: Vec<bool> = (0..100).map(|row| row < 80).collect();
        assert!((fit(&features, &right, 1e-6).probability(&[0.0]) - 0.8).abs() < 1e-3);
    }

    #[test]
    fn without_data_the_prior_stands() {
        assert_eq!(fit(&[], &[], 1.0).coefficients, [1.0, 0.0]);
    }

    #[test]
    fn separable_data_stays_finite() {
        let features: Vec<Vec<f64>> = (0..50).map(|row| vec![f64::from(row) - 24.5]).collect();
        let right: Vec<bool> = (0..50).map(|row| row >= 25).collect();
        assert!(fit(&features, &right, 1.0).coefficients.iter().all(|value| value.is_finite()));
    }
}
