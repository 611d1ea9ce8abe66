//! When a batch is full: pure, so that it can be tested without a model.

/// Bounds of one forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most tokens, padding included: rows x longest row.
    pub tokens: usize,
    /// Most rows.
    pub rows: usize,
}

/// Counts what has been taken into a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchSize {
    rows: usize,
    longest: usize,
}

impl BatchSize {
    /// The size with one more row of `tokens`, or `None` if that would break a limit. The first row always fits.
    pub fn with(self, tokens: usize, limits: BatchLimits) -> Option<Self> {
        let grown = Self { rows: self.rows + 1, longest: self.longest.max(tokens) };
        let fits = grown.rows <= limits.rows && grown.rows * grown.longest <= limits.tokens;
        (self.rows == 0 || fits).then_some(grown)
    }

    pub fn rows(self) -> usize {
        self.rows
    }
}

/// How many of the `waiting` requests (beside the one already taken) a worker may take, so that idle workers find some.
pub fn fair_share(waiting: usize, workers: usize) -> usize {
    (waiting + 1).div_ceil(workers.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_leave_work_for_idle_workers() {
        assert_eq!(fair_share(0, 2), 1);
        assert_eq!(fair_share(1, 2), 1);
        assert_eq!(fair_share(7, 2), 4);
        assert_eq!(fair_share(7, 0), 8);
    }

    proptest! {
        #[test]
        fn a_batch_never_breaks_its_limits_unless_one_row_does(
            lengths in prop::collection::vec(1usize..300, 1..80),
            tokens in 1usize..2000,
            rows in 1usize..40,
        ) {
            let limits = BatchLimits { tokens, rows };
            let mut size = BatchSize::default();
            let mut taken: Vec<usize> = Vec::new();
            for length in lengths {
                let Some(grown) = size.with(length, limits) else { break };
                size = grown;
                taken.push(length);
            }
            let longest = taken.iter().copied().max().unwrap_or(0);
            prop_assert!(taken.len() == 1 || (taken.len() <= rows && taken.len() * longest <= tokens));
            prop_assert!(!taken.is_empty());
            prop_assert_eq!(size.rows(), taken.len());
        }
    }
}
