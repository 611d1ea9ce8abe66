//! Held-out prompts, counted by their weights: those that say nearly the same are one question that was asked many
//! times, and tell no more than it would.

use crate::binomial;
use crate::metrics::Outcome;

/// Weights are in single precision: a hundred thousand of them add up to a whole number within this.
const ROUNDING: f64 = 1e-3;

/// Sums over outcomes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    prompts: usize,
    weight: f64,
    right: f64,
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
        if outcome.right {
            self.right += weight;
        }
    }

    /// How many there are, whatever they weigh.
    pub(crate) fn prompts(self) -> usize {
        self.prompts
    }

    /// The part of the weight of `all` that this is; 0 of nothing.
    pub(crate) fn share_of(self, all: Self) -> f64 {
        per(self.weight, all.weight)
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

    /// Successes and trials of one weight that would tell as much. Trials are the sum of the weights, rounded down: of
    /// prompts that weigh 1 / (1 + paraphrases) each, at least so many say different things (Caro 1979, Wei 1981: a
    /// graph has as many vertices without an edge between them). Failures are rounded up.
    fn trials(self) -> (usize, usize) {
        let trials = (self.weight + ROUNDING).floor();
        let failures = (per(self.weight - self.right, self.weight) * trials - ROUNDING).ceil().max(0.0);
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
    fn paraphrases_are_questions() {
        // 49 questions in so many words each, 4 of them wrong.
        for words in [1, 3, 5, 7, 25] {
            let rows: Vec<Outcome> = (0..49 * words).map(|row| outcome(1.0 / words as f32, row >= 4 * words)).collect();
            assert_eq!(Tally::of(&rows).trials(), (45, 49), "{words}");
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
        assert_eq!(tally.trials(), (50, 51));
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
