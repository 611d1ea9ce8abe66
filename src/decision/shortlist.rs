//! The shortlist: the smallest set of routes that holds the right one with a given probability.
//!
//! Split conformal prediction with the least ambiguous sets (Sadinle, Lei, Wasserman 2019): all routes whose posterior
//! is at least a bound, and the bound is the quantile of held-out prompts' posteriors of their right route, with the
//! finite-sample correction. Of all rules with that coverage it has the fewest routes on average.

/// Routes to choose from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ShortlistRule {
    /// Least posterior; 0 lists as many as the limit allows.
    pub(crate) bound: f32,
    pub(crate) limit: u32,
}

impl ShortlistRule {
    /// `right`: held-out posteriors of the right routes. Too few for the coverage: no bound but the limit.
    pub(crate) fn fit(mut right: Vec<f32>, coverage: f64, limit: usize) -> Self {
        let count = right.len();
        // The k-th smallest leaves at most k - 1 of n + 1 exchangeable prompts below it.
        let rank = ((count as f64 + 1.0) * (1.0 - coverage)).floor() as usize;
        right.sort_unstable_by(f32::total_cmp);
        let bound = rank.checked_sub(1).and_then(|index| right.get(index).copied()).unwrap_or(0.0);
        Self { bound, limit: limit as u32 }
    }

    /// Length of the shortlist, given all posteriors from the largest on. At least 1, unless there are none.
    pub(crate) fn length(&self, ranked: impl Iterator<Item = f32>) -> usize {
        ranked
            .take(self.limit as usize)
            .enumerate()
            .take_while(|(rank, probability)| *rank == 0 || *probability >= self.bound)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_what_it_promises() {
        let right: Vec<f32> = (1..=999).map(|index| index as f32 / 1000.0).collect();
        let rule = ShortlistRule::fit(right, 0.99, 20);
        assert_eq!(rule.bound, 0.01);
        assert_eq!(rule.length([0.9, 0.05, 0.02, 0.005].into_iter()), 3);
    }

    #[test]
    fn with_little_data_the_limit_decides() {
        let rule = ShortlistRule::fit(vec![0.9; 50], 0.99, 3);
        assert_eq!(rule.bound, 0.0);
        assert_eq!(rule.length([0.5, 0.2, 0.1, 0.1].into_iter()), 3);
        assert_eq!(rule.length([].into_iter()), 0);
        assert_eq!(ShortlistRule { bound: 0.9, limit: 5 }.length([0.5].into_iter()), 1);
    }
}
