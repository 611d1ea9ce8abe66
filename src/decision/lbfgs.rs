//! Limited-memory BFGS with a preconditioner (Nocedal and Wright, Numerical Optimization, 2nd ed., algorithms 7.4, 7.5).

use std::collections::VecDeque;

use crate::algebra::Kernels;

/// Pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 8;

/// Decrease demanded of a step, as a share of what the slope promises (Armijo).
const SUFFICIENT: f64 = 1e-4;

/// Halvings of a step before the search gives up: the point is then as good as single precision gets.
const MAX_HALVINGS: usize = 12;

/// A smooth convex function.
pub(crate) trait Objective {
    /// The value at `point`; writes the gradient there.
    fn evaluate(&mut self, point: &[f32], gradient: &mut [f32]) -> f64;

    /// Multiplies `direction` by an approximation of the inverse Hessian, symmetric and positive definite.
    fn precondition(&self, direction: &mut [f32]);
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) max_iterations: usize,
    /// Ends where the next step promises to lower the value by less.
    pub(crate) least_gain: f64,
}

/// A step s and the change y of the gradient along it.
struct Pair {
    step: Vec<f32>,
    change: Vec<f32>,
    /// 1 / (s · y).
    inverse: f64,
    /// (s · y) / (y · P y), which corrects the size of the preconditioner P (formula 7.20).
    scale: f32,
}

/// Moves `point` to the minimum. Returns the iterations, or `None` where `cancelled` said so.
pub(crate) fn minimise(
    objective: &mut impl Objective,
    point: &mut Vec<f32>,
    stop: Stop,
    cancelled: &dyn Fn() -> bool,
) -> Option<usize> {
    let kernels = Kernels::new();
    let mut gradient = vec![0.0; point.len()];
    let mut value = objective.evaluate(point, &mut gradient);
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    let (mut next_point, mut next_gradient) = (point.clone(), gradient.clone());
    for iteration in 0..stop.max_iterations {
        if cancelled() {
            return None;
        }
        let direction = descent(objective, &gradient, &pairs, kernels);
        let slope = kernels.dot_wide(&gradient, &direction);
        if slope.is_nan() || -slope / 2.0 <= stop.least_gain {
            return Some(iteration);
        }
        let mut length = 1.0f32;
        let mut halvings = 0;
        let next_value = loop {
            for ((next, old), along) in next_point.iter_mut().zip(&*point).zip(&direction) {
                *next = old + length * along;
            }
            let next_value = objective.evaluate(&next_point, &mut next_gradient);
            if next_value <= value + SUFFICIENT * f64::from(length) * slope {
                break next_value;
            }
            halvings += 1;
            if halvings > MAX_HALVINGS {
                return Some(iteration);
            }
            length /= 2.0;
        };
        remember(objective, &mut pairs, (&next_point, &*point), (&next_gradient, &gradient));
        std::mem::swap(point, &mut next_point);
        std::mem::swap(&mut gradient, &mut next_gradient);
        value = next_value;
    }
    Some(stop.max_iterations)
}

/// The two-loop recursion: minus the approximate inverse Hessian times the gradient.
fn descent(objective: &impl Objective, gradient: &[f32], pairs: &VecDeque<Pair>, kernels: Kernels) -> Vec<f32> {
    let mut direction: Vec<f32> = gradient.iter().map(|value| -value).collect();
    let mut shares = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let share = pair.inverse * kernels.dot_wide(&pair.step, &direction);
        kernels.add_scaled(&mut direction, std::iter::once((-share as f32, pair.change.as_slice())));
        shares.push(share);
    }
    objective.precondition(&mut direction);
    if let Some(last) = pairs.back() {
        kernels.scale(&mut direction, last.scale);
    }
    for (pair, share) in pairs.iter().zip(shares.into_iter().rev()) {
        let other = pair.inverse * kernels.dot_wide(&pair.change, &direction);
        kernels.add_scaled(&mut direction, std::iter::once(((share - other) as f32, pair.step.as_slice())));
    }
    direction
}

/// Keeps the pair if the curvature along it is positive, as it is but for rounding.
fn remember(
    objective: &impl Objective,
    pairs: &mut VecDeque<Pair>,
    points: (&[f32], &[f32]),
    gradients: (&[f32], &[f32]),
) {
    let kernels = Kernels::new();
    let difference = |(new, old): (&[f32], &[f32])| new.iter().zip(old).map(|(new, old)| new - old).collect::<Vec<_>>();
    let (step, change) = (difference(points), difference(gradients));
    let curvature = kernels.dot_wide(&step, &change);
    if curvature > f64::from(f32::MIN_POSITIVE) {
        if pairs.len() == MEMORY {
            pairs.pop_front();
        }
        let mut preconditioned = change.clone();
        objective.precondition(&mut preconditioned);
        let scale = (curvature / kernels.dot_wide(&change, &preconditioned)) as f32;
        pairs.push_back(Pair { step, change, inverse: 1.0 / curvature, scale });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Σ cᵢ (xᵢ - i)² / 2, badly scaled.
    struct Bowl {
        scales: Vec<f32>,
        known: bool,
    }

    impl Objective for Bowl {
        fn evaluate(&mut self, point: &[f32], gradient: &mut [f32]) -> f64 {
            let mut value = 0.0;
            for (index, (x, scale)) in point.iter().zip(&self.scales).enumerate() {
                let away = x - index as f32;
                gradient[index] = scale * away;
                value += f64::from(scale * away * away / 2.0);
            }
            value
        }

        fn precondition(&self, direction: &mut [f32]) {
            if self.known {
                direction.iter_mut().zip(&self.scales).for_each(|(along, scale)| *along /= scale);
            }
        }
    }

    fn check(known: bool, at_most: usize) {
        let mut bowl = Bowl { scales: vec![0.01, 1.0, 10.0, 100.0, 0.1], known };
        let mut point = vec![5.0; 5];
        let stop = Stop { max_iterations: 200, least_gain: 1e-10 };
        let iterations = minimise(&mut bowl, &mut point, stop, &|| false).unwrap();
        assert!(iterations <= at_most, "{iterations} iterations");
        for (index, x) in point.iter().enumerate() {
            assert!((x - index as f32).abs() < 1e-2, "{point:?}");
        }
    }

    #[test]
    fn finds_the_minimum_and_a_preconditioner_helps() {
        check(false, 60);
        check(true, 2);
    }

    #[test]
    fn stops_when_told() {
        let mut bowl = Bowl { scales: vec![1.0], known: false };
        let stop = Stop { max_iterations: 200, least_gain: 1e-10 };
        assert_eq!(minimise(&mut bowl, &mut vec![5.0], stop, &|| true), None);
    }
}
