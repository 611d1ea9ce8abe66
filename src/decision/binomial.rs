//! How sure a share that was counted is.

/// One-sided lower confidence bound of a share: the share at which more successes, and half of the chance of just so
/// many, would have probability 1 - `level` (mid-P, Lancaster 1961). The bound of Clopper and Pearson, which takes all
/// of that chance, is surer than its level says, most where trials are few or nearly all succeed (Agresti and Coull
/// 1998). In 16 draws of ten prompts a route from BANKING77's and CLINC150's training files, what was decided alone on
/// 3,000 others of them met targets of 95 and 97 % every time, as with that bound; up to 4 points more were. 0 of 0
/// trials.
pub fn lower_bound(successes: usize, trials: usize, level: f64) -> f64 {
    if successes == 0 || trials == 0 {
        return 0.0;
    }
    let failures = trials.saturating_sub(successes);
    let (mut low, mut high) = (0.0, successes as f64 / trials as f64);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if fewer_or_half(failures, trials, 1.0 - middle) < 1.0 - level {
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
    successes > 0
        && share <= successes as f64 / trials as f64
        && fewer_or_half(failures, trials, 1.0 - share) < 1.0 - level
}

/// P(X < count) + P(X = count) / 2 of a binomial variable.
fn fewer_or_half(count: usize, trials: usize, probability: f64) -> f64 {
    let fewer = count.checked_sub(1).map_or(0.0, |fewer| at_most(fewer, trials, probability));
    (fewer + at_most(count, trials, probability)) / 2.0
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
        // All right: half of share^n is 1 - level.
        check(100, 100, 0.95, 0.1f64.powf(0.01));
        // One of two: share² + share (1 - share) is the share itself.
        check(1, 2, 0.95, 0.05);
        // From scipy: binom.sf(k, n, share) + binom.pmf(k, n, share) / 2 is 0.05.
        check(9, 10, 0.95, 0.650_48);
        check(50, 100, 0.95, 0.418_11);
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
