//! How sure a share that was counted is.

/// One-sided lower confidence bound of a share (Clopper and Pearson 1934): the share at which so many successes or more
/// would have probability 1 - `level`. Exact, hence never optimistic. 0 of 0 trials.
pub fn lower_bound(successes: usize, trials: usize, level: f64) -> f64 {
    if successes == 0 || trials == 0 {
        return 0.0;
    }
    let failures = trials.saturating_sub(successes);
    let (mut low, mut high) = (0.0, successes as f64 / trials as f64);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        // P(at most `failures` failures), each of probability 1 - middle.
        if at_most(failures, trials, 1.0 - middle) < 1.0 - level {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Whether [`lower_bound`] is `share` or more, at a sixtieth of its price.
pub(crate) fn is_at_least(successes: usize, trials: usize, level: f64, share: f64) -> bool {
    let failures = trials.saturating_sub(successes);
    successes > 0 && share <= successes as f64 / trials as f64 && at_most(failures, trials, 1.0 - share) < 1.0 - level
}

/// P(X <= count) of a binomial variable, summed from the largest term down in logarithms.
fn at_most(count: usize, trials: usize, probability: f64) -> f64 {
    if probability <= 0.0 {
        return 1.0;
    }
    if probability >= 1.0 {
        return if count >= trials { 1.0 } else { 0.0 };
    }
    let odds = (probability / (1.0 - probability)).ln();
    let mut log_term = trials as f64 * (1.0 - probability).ln();
    let (mut largest, mut sum) = (log_term, 1.0);
    for failure in 1..=count.min(trials) {
        log_term += odds + (((trials - failure + 1) as f64) / failure as f64).ln();
        if log_term > largest {
            sum = sum * (largest - log_term).exp() + 1.0;
            largest = log_term;
        } else {
            sum += (log_term - largest).exp();
        }
    }
    (largest + sum.ln()).exp().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_tables() {
        let check = |successes, trials, level, expected: f64| {
            let found = lower_bound(successes, trials, level);
            assert!((found - expected).abs() < 1e-4, "{successes} of {trials}: {found}");
        };
        // All right: (1 - level)^(1/n). The others from R: binom.test(k, n, alternative = "greater").
        check(100, 100, 0.95, 0.05f64.powf(0.01));
        check(9, 10, 0.95, 0.605_84);
        check(50, 100, 0.95, 0.413_62);
        check(0, 10, 0.95, 0.0);
        check(0, 0, 0.95, 0.0);
    }

    #[test]
    fn large_counts_stay_finite() {
        let bound = lower_bound(97_500, 100_000, 0.9);
        assert!((0.974..0.975).contains(&bound), "{bound}");
    }

    #[test]
    fn the_short_cut_agrees() {
        for (right, wrong) in [(0, 0), (0, 3), (1, 0), (45, 0), (90, 10), (970, 30), (3_000, 1)] {
            let bound = lower_bound(right, right + wrong, 0.9);
            for share in [0.01, 0.5, 0.9, 0.949, 0.951, 0.97, 0.999] {
                assert_eq!(is_at_least(right, right + wrong, 0.9, share), bound >= share, "{right} {wrong} {share}");
            }
        }
    }
}
