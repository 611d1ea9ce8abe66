//! Rows in the order of a score. Rows with the same score cannot be told apart by any threshold, so that every curve
//! over scores steps from tie to tie.

/// The rows that share one score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tie {
    pub(super) score: f32,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

/// Highest score first. A score that is no number counts as the lowest there is.
pub(super) fn ties(rows: impl IntoIterator<Item = (f32, bool)>) -> Vec<Tie> {
    // Adding zero makes -0.0 into 0.0, which `total_cmp` would tell apart.
    let clean = |score: f32| if score.is_nan() { f32::NEG_INFINITY } else { score + 0.0 };
    let mut rows: Vec<_> = rows.into_iter().map(|(score, hit)| (clean(score), hit)).collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut ties: Vec<Tie> = Vec::new();
    for (score, hit) in rows {
        let (hits, misses) = (u64::from(hit), u64::from(!hit));
        match ties.last_mut() {
            Some(tie) if tie.score == score => {
                tie.hits += hits;
                tie.misses += misses;
            }
            _ => ties.push(Tie { score, hits, misses }),
        }
    }
    ties
}

/// Hits and misses of all ties.
pub(super) fn totals(ties: &[Tie]) -> (u64, u64) {
    ties.iter().fold((0, 0), |(hits, misses), tie| (hits + tie.hits, misses + tie.misses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_are_one_tie() {
        let rows = [(0.0, true), (0.5, true), (f32::NAN, true), (-0.0, false), (0.5, true), (f32::NEG_INFINITY, false)];
        let expected = [
            Tie { score: 0.5, hits: 2, misses: 0 },
            Tie { score: 0.0, hits: 1, misses: 1 },
            Tie { score: f32::NEG_INFINITY, hits: 1, misses: 1 },
        ];
        assert_eq!(ties(rows), expected);
        assert_eq!(totals(&expected), (4, 2));
    }
}
