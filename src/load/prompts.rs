//! The texts that are sent, by number: as they stand while there are new ones, then marked so that none comes twice.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::error::Error;
use super::prompt_file;
use crate::reference::read_set;

/// Endless prompts, no two of them equal.
///
/// A mark is a few letters and digits at the end: the run's own word and a number. It costs the model a few tokens.
#[derive(Debug, Clone)]
pub struct Prompts {
    /// At least one; no two are equal.
    texts: Vec<String>,
    source: PathBuf,
    /// Whether the first text of each line is marked, too.
    always_marked: bool,
    /// Differs from run to run, so that no cache knows a marked prompt from an earlier one.
    word: String,
}

impl Prompts {
    /// Every line of a JSONL file; the order depends on the seed.
    pub fn from_file(path: &Path, seed: u64) -> Result<Self, Error> {
        Ok(Self::new(prompt_file::read(path)?, path, false, seed))
    }

    /// The reference prompts of a set's folder, every one of them marked: a reference prompt itself would be too easy.
    pub fn from_references(folder: &Path, seed: u64) -> Result<Self, Error> {
        let none = || Error::NoPrompts { path: folder.to_owned() };
        let set = read_set(folder).map_err(|_| none())?;
        let texts: Vec<String> = set.prompts.into_iter().map(|prompt| prompt.text).collect();
        if texts.is_empty() {
            return Err(none());
        }
        Ok(Self::new(texts, folder, true, seed))
    }

    fn new(mut texts: Vec<String>, source: &Path, always_marked: bool, seed: u64) -> Self {
        let mut known = HashSet::new();
        texts.retain(|text| known.insert(text.trim().to_owned()));
        // Files tend to be sorted by label; what is sent should be mixed from the beginning.
        texts.shuffle(&mut StdRng::seed_from_u64(seed));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { texts, source: source.to_owned(), always_marked, word: word(since.as_millis() as u64 / 100) }
    }

    /// The prompt of a number, and whether it is marked.
    pub(super) fn text(&self, number: u64) -> (String, bool) {
        let count = self.texts.len().max(1) as u64;
        let text = self.texts.get((number % count) as usize).map_or("", String::as_str);
        let round = number / count;
        if round == 0 && !self.always_marked {
            return (text.to_owned(), false);
        }
        (format!("{text} ({}{round})", self.word), true)
    }

    /// How many differ without a mark.
    pub(super) fn distinct(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn source(&self) -> &Path {
        &self.source
    }
}

/// Five letters of a number: it takes two weeks of tenths of a second to come round.
fn word(mut number: u64) -> String {
    let mut word = String::new();
    for _ in 0..5 {
        word.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
    }
    word
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prompts(texts: &[&str], always_marked: bool, seed: u64) -> Prompts {
        Prompts::new(texts.iter().map(|text| (*text).to_owned()).collect(), Path::new("x"), always_marked, seed)
    }

    #[test]
    fn texts_stand_as_they_are_as_long_as_they_are_new() {
        let prompts = prompts(&["a", "b", "a", " b", "c"], false, 1);
        let (first, marked): (Vec<String>, Vec<bool>) = (0..6).map(|number| prompts.text(number)).unzip();
        let mut sorted = first[..3].to_vec();
        sorted.sort();
        assert_eq!((sorted, prompts.distinct()), (["a", "b", "c"].map(str::to_owned).to_vec(), 3));
        assert_eq!(marked, [false, false, false, true, true, true]);
        assert_eq!(first[3], format!("{} ({}1)", first[0], prompts.word));
    }

    #[test]
    fn reference_prompts_are_always_marked() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference-prompts/assistant");
        let prompts = Prompts::from_references(&folder, 1).unwrap();
        let set = read_set(&folder).unwrap();
        let known: HashSet<String> = set.prompts.into_iter().map(|prompt| prompt.text).collect();
        assert!(prompts.distinct() > 1_000);
        assert!((0..prompts.distinct() as u64 * 2).all(|number| !known.contains(&prompts.text(number).0)));
        assert!(matches!(Prompts::from_references(Path::new("absent"), 1), Err(Error::NoPrompts { .. })));
    }

    #[test]
    fn runs_have_words_of_their_own() {
        let words: HashSet<String> = (0..10_000).map(|at| word(17_950_000_000 + at)).collect();
        assert_eq!(words.len(), 10_000);
    }

    proptest! {
        #[test]
        fn no_two_prompts_are_equal(
            texts in prop::collection::vec("[a-c ]{0,2}x", 1..12), always: bool, seed: u64,
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let prompts = prompts(&texts, always, seed);
            let all: HashSet<String> = (0..60).map(|number| prompts.text(number).0).collect();
            prop_assert_eq!(all.len(), 60);
        }
    }
}
