//! The n-grams of a normalised text, as hashes.

/// Lengths of character n-grams, the word's boundaries counted as characters.
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=5;

/// Which of the two blocks a feature belongs to. Each is of norm 1 by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Block {
    Words,
    Characters,
}

/// Tells every n-gram, as often as it occurs. Equal n-grams of different kinds hash differently.
pub(crate) fn ngrams(normal: &str, mut tell: impl FnMut(Block, u32)) {
    let mut previous: Option<&str> = None;
    let mut padded = String::new();
    let mut starts = Vec::new();
    for word in normal.split(' ').filter(|word| !word.is_empty()) {
        tell(Block::Words, hash(1, &[word]));
        if let Some(previous) = previous {
            tell(Block::Words, hash(2, &[previous, word]));
        }
        previous = Some(word);
        padded.clear();
        padded.push(' ');
        padded.push_str(word);
        padded.push(' ');
        starts.clear();
        starts.extend(padded.char_indices().map(|(start, _)| start));
        starts.push(padded.len());
        for length in LENGTHS {
            for window in starts.windows(length + 1) {
                if let (Some(from), Some(to)) = (window.first(), window.last()) {
                    tell(Block::Characters, hash(3, &[&padded[*from..*to]]));
                }
            }
        }
    }
}

/// FNV-1a of 64 bits, its halves folded together. Stored models depend on it.
fn hash(kind: u8, parts: &[&str]) -> u32 {
    let mut state = 0xCBF2_9CE4_8422_2325u64;
    let mut eat = |byte: u8| state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    eat(kind);
    for part in parts {
        part.bytes().for_each(&mut eat);
        eat(0);
    }
    (state ^ (state >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str, wanted: Block) -> usize {
        let mut count = 0;
        ngrams(text, |block, _| count += usize::from(block == wanted));
        count
    }

    #[test]
    fn counts_are_as_defined() {
        // "a", "bc", "a bc"; " a " has one 3-gram, " bc " two 3-grams and one 4-gram.
        assert_eq!(count("a bc", Block::Words), 3);
        assert_eq!(count("a bc", Block::Characters), 4);
        assert_eq!(count("", Block::Words), 0);
        // Characters, not bytes.
        assert_eq!(count("äö", Block::Characters), 3);
    }

    #[test]
    fn kinds_and_joints_differ() {
        assert_ne!(hash(1, &["ab"]), hash(3, &["ab"]));
        assert_ne!(hash(2, &["a", "bc"]), hash(2, &["ab", "c"]));
    }
}
