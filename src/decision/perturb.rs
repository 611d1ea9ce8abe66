//! Small changes that leave a prompt's meaning alone: what a decision should hold under. Pure and seeded.

use crate::random::SplitMix64;

/// A kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Perturbation {
    /// All in upper case.
    UpperCase,
    /// All in lower case.
    LowerCase,
    /// The final mark taken away, or one put there where there is none.
    Punctuation,
    /// Blanks doubled, and some at both ends.
    WhiteSpace,
    /// One typing error in every ten words, at least one: two letters swapped, one left out or one doubled, in a word
    /// of four letters or more.
    TypingErrors,
    /// "Hi, could you help me?" and the like before it.
    Greeting,
    /// "please" behind it.
    Please,
    /// In quotation marks.
    Quotes,
}

/// Every kind.
pub const PERTURBATIONS: [Perturbation; 8] = [
    Perturbation::UpperCase,
    Perturbation::LowerCase,
    Perturbation::Punctuation,
    Perturbation::WhiteSpace,
    Perturbation::TypingErrors,
    Perturbation::Greeting,
    Perturbation::Please,
    Perturbation::Quotes,
];

const GREETINGS: [&str; 6] =
    ["Hi, ", "Hello, ", "Hey there, ", "Good morning, ", "Excuse me, ", "Hi, quick question: "];

/// A word with fewer letters has no typing errors: they would make another word of it.
const LEAST_LETTERS: usize = 4;

impl Perturbation {
    /// The changed text. Equal for equal seeds; a text that the change does not apply to stays as it is.
    pub fn apply(self, text: &str, seed: u64) -> String {
        let mut random = SplitMix64::new(seed ^ text.len() as u64);
        match self {
            Self::UpperCase => text.to_uppercase(),
            Self::LowerCase => text.to_lowercase(),
            Self::Punctuation => other_end(text),
            Self::WhiteSpace => format!("  {} ", text.replace(' ', "  ")),
            Self::TypingErrors => mistype(text, &mut random),
            Self::Greeting => format!("{}{text}", GREETINGS[random.below(GREETINGS.len())]),
            Self::Please => please(text),
            Self::Quotes => format!("\"{text}\""),
        }
    }
}

fn other_end(text: &str) -> String {
    let bare = text.trim_end_matches(['.', '?', '!']);
    if bare.len() < text.len() { bare.to_owned() } else { format!("{text}?") }
}

fn please(text: &str) -> String {
    let bare = text.trim_end_matches(['.', '?', '!']);
    format!("{bare}, please{}", &text[bare.len()..])
}

fn mistype(text: &str, random: &mut SplitMix64) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let long = |word: &String| word.chars().filter(|letter| letter.is_alphabetic()).count() >= LEAST_LETTERS;
    let mut candidates: Vec<usize> = (0..words.len()).filter(|word| long(&words[*word])).collect();
    random.shuffle(&mut candidates);
    for word in candidates.into_iter().take(words.len().div_ceil(10)) {
        words[word] = mistype_word(&words[word], random);
    }
    words.join(" ")
}

/// The first letter stays, as it mostly does when people type.
fn mistype_word(word: &str, random: &mut SplitMix64) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let at = 1 + random.below(letters.len() - 2);
    match random.below(3) {
        0 => letters.swap(at, at + 1),
        1 => {
            letters.remove(at);
        }
        _ => letters.insert(at, letters[at]),
    }
    letters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn changes_are_as_described() {
        let check = |kind: Perturbation, text: &str, expected: &str| assert_eq!(kind.apply(text, 1), expected);
        check(Perturbation::UpperCase, "Where is it?", "WHERE IS IT?");
        check(Perturbation::Punctuation, "Where is it?", "Where is it");
        check(Perturbation::Punctuation, "Where is it", "Where is it?");
        check(Perturbation::WhiteSpace, "a b", "  a  b ");
        check(Perturbation::Please, "Help me!", "Help me, please!");
        check(Perturbation::Quotes, "x", "\"x\"");
        check(Perturbation::TypingErrors, "a b c", "a b c");
    }

    #[test]
    fn typing_errors_are_few() {
        let text = "where is the card that you sent me last week";
        let changed = Perturbation::TypingErrors.apply(text, 3);
        assert_ne!(changed, text);
        let differ = text.split(' ').zip(changed.split(' ')).filter(|(a, b)| a != b).count();
        assert_eq!(differ, 1);
    }

    proptest! {
        #[test]
        fn any_text_will_do(text in "\\PC{0,100}", seed in any::<u64>()) {
            for kind in PERTURBATIONS {
                prop_assert_eq!(kind.apply(&text, seed), kind.apply(&text, seed));
            }
        }
    }
}
