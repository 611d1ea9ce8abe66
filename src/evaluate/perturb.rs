//! A prompt written a little differently, as people do: its sense stays, and so should its route. Seeded: the same seed
//! and the same words give the same perturbation.

use sha2::{Digest, Sha256};

use super::lots::Lots;

/// One kind of perturbation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Perturbation {
    /// In lower case, in capitals, or with each word capitalised.
    Case,
    /// Without any, or with a sign added at the end.
    Punctuation,
    /// Doubled, around it, or line breaks.
    WhiteSpace,
    /// One in 12 letters, at least one: left out, doubled, swapped with the next, or the key beside it.
    TypingErrors,
    /// A greeting or a polite opening before it.
    Politeness,
    /// The word, before or behind it.
    Please,
    /// Around it.
    Quotes,
}

const OPENINGS: [&str; 8] = [
    "Hi, ",
    "Hello there! ",
    "Good morning. ",
    "Hi, I have a question. ",
    "Hey, can you help me? ",
    "Sorry to bother you, ",
    "Could you tell me: ",
    "I was wondering, ",
];

/// Rows of the American keyboard, for the key beside.
const KEYS: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];

/// Letters to one typing error.
const LETTERS_AN_ERROR: usize = 12;

/// Tries to mistype one letter.
const MAX_TRIES: usize = 8;

impl Perturbation {
    pub const ALL: [Self; 7] = [
        Self::Case,
        Self::Punctuation,
        Self::WhiteSpace,
        Self::TypingErrors,
        Self::Politeness,
        Self::Please,
        Self::Quotes,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Case => "case",
            Self::Punctuation => "punctuation",
            Self::WhiteSpace => "white space",
            Self::TypingErrors => "typing errors",
            Self::Politeness => "politeness",
            Self::Please => "please",
            Self::Quotes => "quotes",
        }
    }

    /// The text in another way; `None` if this kind finds nothing to change in it.
    pub fn apply(self, text: &str, seed: u64) -> Option<String> {
        let text = text.trim();
        let hash =
            Sha256::new_with_prefix(seed.to_le_bytes()).chain_update(self.as_str()).chain_update(text).finalize();
        let mut lots = Lots::new(hash.iter().take(8).fold(0, |lot, byte| lot << 8 | u64::from(*byte)));
        let changed = match self {
            Self::Case => case(text, &mut lots),
            Self::Punctuation => punctuation(text, &mut lots),
            Self::WhiteSpace => white_space(text, &mut lots),
            Self::TypingErrors => typing_errors(text, &mut lots),
            Self::Politeness => chosen(&OPENINGS, &mut lots).to_owned() + text,
            Self::Please => please(text, &mut lots),
            Self::Quotes => {
                let (open, close) =
                    [("\"", "\""), ("'", "'"), ("“", "”")].get(lots.below(3)).copied().unwrap_or_default();
                format!("{open}{text}{close}")
            }
        };
        (changed != text && !changed.trim().is_empty()).then_some(changed)
    }
}

fn chosen<'a>(from: &[&'a str], lots: &mut Lots) -> &'a str {
    from.get(lots.below(from.len())).copied().unwrap_or_default()
}

/// One of the ways that change anything.
fn case(text: &str, lots: &mut Lots) -> String {
    let capitalised = |word: &str| -> String {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters.flat_map(char::to_lowercase)).collect()
    };
    let words: Vec<String> = text.split(' ').map(capitalised).collect();
    let mut ways = vec![text.to_lowercase(), text.to_uppercase(), words.join(" ")];
    ways.retain(|way| way != text);
    ways.get(lots.below(ways.len())).cloned().unwrap_or_else(|| text.to_owned())
}

fn punctuation(text: &str, lots: &mut Lots) -> String {
    let sign = |c: char| matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '"' | '’' | '…');
    let bare: String = text.chars().filter(|c| !sign(*c)).collect();
    if bare != text && lots.below(2) == 0 && !bare.trim().is_empty() {
        return bare;
    }
    let mut ways: Vec<String> =
        ["?", ".", "!", "...", "??", "!!"].map(|end| text.trim_end_matches(sign).to_owned() + end).to_vec();
    ways.retain(|way| way != text);
    ways.get(lots.below(ways.len())).cloned().unwrap_or(bare)
}

fn white_space(text: &str, lots: &mut Lots) -> String {
    let mut changed = chosen(&["", " ", "\n", "\t"], lots).to_owned();
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            changed.push_str(chosen(&[" ", " ", "  ", "\n", "   "], lots));
        }
        changed.push_str(word);
    }
    changed + chosen(&[" ", "  ", "\n"], lots)
}

fn typing_errors(text: &str, lots: &mut Lots) -> String {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let mut changed: Vec<char> = text.chars().collect();
    for _ in 0..letters.div_ceil(LETTERS_AN_ERROR) {
        // First letters of words are seldom mistyped, and everything hangs on them.
        let letter = |at: usize| changed.get(at).is_some_and(|c| c.is_alphabetic());
        let places: Vec<usize> = (1..changed.len()).filter(|at| letter(*at) && letter(at - 1)).collect();
        let Some(&at) = places.get(lots.below(places.len())) else { break };
        // Two equal letters that are swapped are no error, and an alphabet may have no keys here.
        let before = changed.clone();
        for _ in 0..MAX_TRIES {
            mistype(&mut changed, at, lots);
            if changed != before {
                break;
            }
        }
    }
    changed.into_iter().collect()
}

fn mistype(letters: &mut Vec<char>, at: usize, lots: &mut Lots) {
    let Some(&letter) = letters.get(at) else { return };
    match lots.below(4) {
        0 => {
            letters.remove(at);
        }
        1 => letters.insert(at, letter),
        2 if letters.get(at + 1).is_some_and(|next| next.is_alphabetic()) => letters.swap(at, at + 1),
        _ => {
            let row = KEYS.iter().find_map(|row| Some((row, row.find(letter.to_ascii_lowercase())?)));
            let Some((row, key)) = row else { return };
            let beside = if key == 0 || lots.below(2) == 0 && key + 1 < row.len() { key + 1 } else { key - 1 };
            if let (Some(key), Some(slot)) = (row.chars().nth(beside), letters.get_mut(at)) {
                *slot = key;
            }
        }
    }
}

/// Before it the first letter becomes small, unless the word is all capitals or the pronoun.
fn please(text: &str, lots: &mut Lots) -> String {
    let end = text.trim_end_matches(['.', '!', '?']);
    match lots.below(3) {
        0 => format!("{end} please{}", text.get(end.len()..).unwrap_or_default()),
        1 => format!("{end}, please{}", text.get(end.len()..).unwrap_or_default()),
        _ => {
            let mut letters = text.chars();
            let first = letters.next().into_iter();
            let keeps = text.chars().nth(1).is_none_or(|second| !second.is_lowercase());
            let first: String = if keeps { first.collect() } else { first.flat_map(char::to_lowercase).collect() };
            format!("Please {first}{}", letters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_does_what_it_says() {
        let text = "What's my balance, and why?";
        for (kind, seed) in Perturbation::ALL.into_iter().flat_map(|kind| (0..40).map(move |seed| (kind, seed))) {
            // Rarely a typing error undoes the one before it.
            let Some(changed) = kind.apply(text, seed) else {
                assert_eq!(kind, Perturbation::TypingErrors);
                continue;
            };
            let letters = |text: &str| -> String {
                text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
            };
            assert_ne!(changed, text);
            match kind {
                Perturbation::Case | Perturbation::Punctuation | Perturbation::WhiteSpace | Perturbation::Quotes => {
                    assert_eq!(letters(&changed), letters(text), "{kind:?}");
                }
                Perturbation::Politeness => assert!(changed.ends_with(text), "{changed}"),
                Perturbation::Please => assert_eq!(letters(&changed).replace("please", ""), letters(text)),
                Perturbation::TypingErrors => {
                    let difference = changed.chars().count().abs_diff(text.chars().count());
                    assert!(difference <= 2 && changed.starts_with('W'), "{changed}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_changed_is_left() {
        for (kind, text) in
            [(Perturbation::Case, "1 + 2"), (Perturbation::TypingErrors, "7 8"), (Perturbation::Case, "漢字")]
        {
            assert_eq!(kind.apply(text, 3), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_seed_decides_and_no_text_is_too_odd(text in "\\PC{1,60}", seed in any::<u64>()) {
            for kind in Perturbation::ALL {
                let once = kind.apply(&text, seed);
                prop_assert_eq!(&once, &kind.apply(&text, seed));
                prop_assert!(once.is_none_or(|changed| !changed.trim().is_empty() && changed != text.trim()));
            }
        }
    }
}
