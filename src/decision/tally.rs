//! Held-out prompts, counted by their weights: those that say nearly the same are one question that was asked many times,
//! and tell no more than it would.

use crate::binomial;
use crate::metrics::Outcome;

/// Sums over outcomes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    prompts: usize,
    weight: f64,
    right: f64,
    squares: f64,
}

impl Tally {
    pub(crate) fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut tally = Self::default();
        outcomes.into_iter().for_each(|outcome| tally.add(outcome));
        tally
    }

    pub(crate) fn add(&mut self, outcome: &Outcome) {
        let weight = f64::from(outcome.weight);
        self.prompts += 1;
        self.weight += weight;
        self.squares += weight * weight;
        if outcome.right {
            self.right += weight;
        }
    }

    /// How many there are, whatever they weigh.
    pub(crate) fn prompts(self) -> usize {
        self.prompts
    }

    /// Share that is right; 0 of nothing.
    pub(crate) fn accuracy(self) -> f64 {
        per(self.right, self.weight)
    }

    /// Lower confidence bound of the accuracy.
    pub(crate) fn lower_bound(self, level: f64) -> f64 {
        let (right, trials) = self.trials();
        binomial::lower_bound(right, trials, level)
    }

    /// Whether the lower bound is `share` or more.
    pub(crate) fn is_at_least(self, share: f64, level: f64) -> bool {
        let (right, trials) = self.trials();
        binomial::is_at_least(right, trials, level, share)
    }

    /// The lower bound, were all of them right.
    pub(crate) fn best_bound(self, level: f64) -> f64 {
        Self { right: self.weight, ..self }.lower_bound(level)
    }

    /// Successes and trials of one weight that would tell as much: their number is the effective sample size (Kish 1965),
    /// rounded down, and failures are rounded up.
    fn trials(self) -> (usize, usize) {
        let trials = per(self.weight * self.weight, self.squares).floor();
        let failures = (per(self.weight - self.right, self.weight) * trials - 1e-9).ceil().max(0.0);
        ((trials - failures).max(0.0) as usize, trials as usize)
    }
}

fn per(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome(weight: f32, right: bool) -> Outcome {
        Outcome { route: 0, confidence: 0.5, in_scope: 1.0, weight, right }
    }

    #[test]
    fn equal_weights_are_counts() {
        for weight in [1.0, 0.25] {
            let rows: Vec<Outcome> = (0..97).map(|row| outcome(weight, row >= 7)).collect();
            assert_eq!(Tally::of(&rows).trials(), (90, 97));
        }
        assert_eq!(Tally::default().trials(), (0, 0));
        assert_eq!(Tally::default().accuracy(), 0.0);
    }

    #[test]
    fn one_question_in_many_words_counts_once() {
        // 50 questions, right; and one that was asked a hundred times, wrong each time.
        let mut rows: Vec<Outcome> = (0..50).map(|_| outcome(1.0, true)).collect();
        rows.extend((0..100).map(|_| outcome(0.01, false)));
        let tally = Tally::of(&rows);
        assert!((tally.accuracy() - 50.0 / 51.0).abs() < 1e-6, "{tally:?}");
        // Kish's number is 52.01 here, of which a 51st is rounded up to two.
        assert_eq!(tally.trials(), (50, 52));
    }

    proptest! {
        #[test]
        fn bounds_are_below(rows in prop::collection::vec((0.01f32..=1.0, any::<bool>()), 0..60)) {
            let rows: Vec<Outcome> = rows.into_iter().map(|(weight, right)| outcome(weight, right)).collect();
            let tally = Tally::of(&rows);
            let bound = tally.lower_bound(0.9);
            prop_assert!((0.0..=1.0).contains(&bound) && bound <= tally.accuracy() + 1e-9);
            prop_assert!(tally.best_bound(0.9) >= bound);
            prop_assert!(tally.trials().1 <= rows.len());
        }
    }
}
