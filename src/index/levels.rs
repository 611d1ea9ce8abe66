//! In how many layers each row is: drawn from its number, so that the same rows always give the same graph.

use super::links::MAX_LAYERS;

/// The rows of each level, the bottom's first. A row of level 2 is in the layers 0, 1 and 2. The top level has a row.
pub(super) fn rows_by_level(rows: usize, m: usize) -> Vec<Vec<u32>> {
    let mut levels: Vec<Vec<u32>> = vec![Vec::new()];
    for row in 0..rows as u32 {
        let level = level_of(row, m);
        if level >= levels.len() {
            levels.resize(level + 1, Vec::new());
        }
        if let Some(rows) = levels.get_mut(level) {
            rows.push(row);
        }
    }
    levels
}

/// One row in `m` is of level 1 or above, one in `m` of those of level 2, and so on: section 4.1 of Malkov and Yashunin,
/// <https://arxiv.org/abs/1603.09320>.
fn level_of(row: u32, m: usize) -> usize {
    // Of (0, 1], in steps of 2^-53.
    let uniform = ((mixed(u64::from(row)) >> 11) + 1) as f64 / (1u64 << 53) as f64;
    ((-uniform.ln() / (m as f64).ln()) as usize).min(MAX_LAYERS - 1)
}

/// A number that looks drawn at random: the finaliser of SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
pub(super) fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_has_about_one_in_m_of_the_one_below() {
        let levels = rows_by_level(100_000, 16);
        let sizes: Vec<usize> = (0..levels.len()).map(|level| levels[level..].iter().map(Vec::len).sum()).collect();
        assert_eq!(sizes[0], 100_000);
        assert!((5_800..6_700).contains(&sizes[1]) && (320..470).contains(&sizes[2]), "{sizes:?}");
        assert!(levels.len() <= 8 && !levels.last().unwrap().is_empty());
        assert_eq!(rows_by_level(0, 4), [vec![0u32; 0]]);
    }
}
