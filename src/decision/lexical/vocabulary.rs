//! The n-grams that a model knows, and their weights.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::ngrams::{Block, ngrams};

/// A known n-gram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Feature {
    pub(crate) hash: u32,
    pub(crate) block: Block,
    /// 1 + ln((1 + N) / (1 + df)) over N texts.
    pub(crate) idf: f32,
}

/// Known n-grams in the order of their columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary {
    features: Vec<Feature>,
    columns: HashMap<u32, u32, BuildHasherDefault<Hashed>>,
}

impl Vocabulary {
    /// The `limit` most frequent n-grams of the texts; ties go to the smaller hash.
    pub(crate) fn learn<'a>(texts: impl Iterator<Item = &'a str>, limit: usize) -> Self {
        let mut frequencies: HashMap<u32, (u32, usize, Block), BuildHasherDefault<Hashed>> = HashMap::default();
        let mut count = 0;
        for (row, text) in texts.enumerate() {
            count += 1;
            ngrams(text, |block, hash| {
                let entry = frequencies.entry(hash).or_insert((0, usize::MAX, block));
                if entry.1 != row {
                    *entry = (entry.0 + 1, row, entry.2);
                }
            });
        }
        let mut kept: Vec<(u32, u32, Block)> =
            frequencies.into_iter().map(|(hash, (frequency, _, block))| (frequency, hash, block)).collect();
        kept.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        kept.truncate(limit);
        let idf = |frequency: u32| 1.0 + ((1.0 + count as f32) / (1.0 + frequency as f32)).ln();
        Self::from_features(
            kept.into_iter().map(|(frequency, hash, block)| Feature { hash, block, idf: idf(frequency) }).collect(),
        )
    }

    pub(crate) fn from_features(features: Vec<Feature>) -> Self {
        let columns = features.iter().enumerate().map(|(column, feature)| (feature.hash, column as u32)).collect();
        Self { features, columns }
    }

    pub(crate) fn features(&self) -> &[Feature] {
        &self.features
    }

    /// What a normalised text has of the vocabulary: (column, weight), each block of norm 1/√2, by column.
    pub(crate) fn bag(&self, normal: &str) -> Vec<(u32, f32)> {
        let mut found: Vec<u32> = Vec::with_capacity(normal.len() * 3);
        ngrams(normal, |_, hash| found.extend(self.columns.get(&hash)));
        found.sort_unstable();
        let mut entries: Vec<(u32, f32)> = Vec::with_capacity(found.len());
        for same in found.chunk_by(|a, b| a == b) {
            let column = same[0];
            entries.push((column, (1.0 + (same.len() as f32).ln()) * self.features[column as usize].idf));
        }
        self.normalise(&mut entries);
        entries
    }

    fn normalise(&self, entries: &mut [(u32, f32)]) {
        let mut squares = [0.0f32; 2];
        let block = |column: u32| self.features[column as usize].block as usize;
        entries.iter().for_each(|(column, value)| squares[block(*column)] += value * value);
        let scale = squares.map(|square| 1.0 / (2.0 * square).sqrt().max(f32::MIN_POSITIVE));
        entries.iter_mut().for_each(|(column, value)| *value *= scale[block(*column)]);
    }
}

/// The keys are hashes already: one multiplication spreads them over the table.
#[derive(Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, value: u32) {
        self.0 = (self.0 ^ u64::from(value)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_equal_norms() {
        let vocabulary = Vocabulary::learn(["lost my card", "lost my phone"].into_iter(), 1000);
        let bag = vocabulary.bag("lost my card");
        let mut squares = [0.0f32; 2];
        for (column, value) in &bag {
            squares[vocabulary.features()[*column as usize].block as usize] += value * value;
        }
        assert!(squares.iter().all(|square| (square - 0.5).abs() < 1e-4), "{squares:?}");
    }

    #[test]
    fn unknown_words_are_left_out() {
        let vocabulary = Vocabulary::learn(["lost my card"].into_iter(), 1000);
        assert!(vocabulary.bag("zzz").is_empty() && vocabulary.bag("").is_empty());
        assert_eq!(vocabulary.bag("zzz card"), vocabulary.bag("card"));
    }

    #[test]
    fn the_most_frequent_stay() {
        let vocabulary = Vocabulary::learn(["a x", "a y", "a z"].into_iter(), 2);
        assert_eq!(vocabulary.features().len(), 2);
        assert!(vocabulary.bag("a").len() == 2, "the word and its 3-gram");
    }
}
