//! When a batch is full: pure, so that it can be tested without a model.

/// Bounds of one forward pass. Its rows are laid end to end, so that it costs the sum of their tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most tokens.
    pub tokens: usize,
    /// Most rows: a text is one, or two if it does not fit into one window.
    pub rows: usize,
}

/// Counts what has been taken into a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchSize {
    rows: usize,
    tokens: usize,
}

impl BatchSize {
    /// The size with one more text, or `None` if that would break a limit. The first text always fits.
    pub fn with(self, rows: usize, tokens: usize, limits: BatchLimits) -> Option<Self> {
        let grown = Self { rows: self.rows + rows, tokens: self.tokens + tokens };
        let fits = grown.rows <= limits.rows && grown.tokens <= limits.tokens;
        (self.rows == 0 || fits).then_some(grown)
    }

    #[cfg(test)]
    pub fn tokens(self) -> usize {
        self.tokens
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
        fn a_batch_never_breaks_its_limits_unless_one_text_does(
            texts in prop::collection::vec((1usize..3, 1usize..300), 1..80),
            tokens in 1usize..2000,
            rows in 1usize..40,
        ) {
            let limits = BatchLimits { tokens, rows };
            let mut size = BatchSize::default();
            let mut taken: Vec<(usize, usize)> = Vec::new();
            for (windows, length) in texts {
                let Some(grown) = size.with(windows, length, limits) else { break };
                size = grown;
                taken.push((windows, length));
            }
            let all = taken.iter().fold((0, 0), |all, text| (all.0 + text.0, all.1 + text.1));
            prop_assert!(taken.len() == 1 || (all.0 <= rows && all.1 <= tokens));
            prop_assert!(!taken.is_empty());
            prop_assert_eq!(size.tokens(), all.1);
        }
    }
}
