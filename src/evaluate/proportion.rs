//! A share with its uncertainty: on a few hundred prompts a difference of one per cent is mostly noise.

use serde::Serialize;

/// The 97.5 % quantile of the standard normal distribution: two sides make 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// `hits` out of `rows`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Proportion {
    pub hits: u64,
    pub rows: u64,
    /// In [0, 1]; `None` if there are no rows.
    pub share: Option<f64>,
    /// Ends of the 95 % confidence interval of Wilson (1927), "Probable inference, the law of succession, and
    /// statistical inference", JASA 22(158). It stays within [0, 1] and holds at shares near 0 and 1, where the
    /// normal approximation fails. Without rows nothing is known: 0 and 1.
    pub low: f64,
    pub high: f64,
}

impl Proportion {
    /// `hits` must not exceed `rows`; more are taken as `rows`.
    pub fn of(hits: u64, rows: u64) -> Self {
        let hits = hits.min(rows);
        if rows == 0 {
            return Self { hits, rows, share: None, low: 0.0, high: 1.0 };
        }
        let n = rows as f64;
        let share = hits as f64 / n;
        let centre = share + Z * Z / (2.0 * n);
        let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        // The rounding of the last digit must not push an end past the share itself.
        let low = ((centre - spread) / scale).clamp(0.0, share);
        let high = ((centre + spread) / scale).clamp(share, 1.0);
        Self { hits, rows, share: Some(share), low, high }
    }

    /// Of all `rows`, those that are a hit.
    pub(super) fn count(rows: impl IntoIterator<Item = bool>) -> Self {
        let (mut hits, mut total) = (0, 0);
        for hit in rows {
            total += 1;
            hits += u64::from(hit);
        }
        Self::of(hits, total)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // The examples of Newcombe (1998), "Two-sided confidence intervals for the single proportion", method 3.
        for (hits, rows, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let found = Proportion::of(hits, rows);
            assert!((found.low - low).abs() < 5e-5 && (found.high - high).abs() < 5e-5, "{found:?}");
        }
    }

    #[test]
    fn nothing_is_known_without_rows() {
        assert_eq!(Proportion::of(0, 0), Proportion { hits: 0, rows: 0, share: None, low: 0.0, high: 1.0 });
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_share_and_narrows(rows in 1u64..1_000_000, part in 0.0f64..=1.0) {
            let hits = (rows as f64 * part) as u64;
            let found = Proportion::of(hits, rows);
            let share = found.share.unwrap();
            prop_assert!(0.0 <= found.low && found.low <= share && share <= found.high && found.high <= 1.0);
            let more = Proportion::of(hits * 4, rows * 4);
            prop_assert!(more.high - more.low < found.high - found.low);
            let mirrored = Proportion::of(rows - hits, rows);
            prop_assert!((1.0 - mirrored.high - found.low).abs() < 1e-9);
        }
    }
}
