//! Texts made equal that differ in case, punctuation and white space only.

/// Characters that are read: about as far as the 256 tokens that the embedding sees.
const MAX_CHARS: usize = 1024;

/// Lower case, letters and digits only, words apart by one space; apostrophes vanish ("don't" is "dont").
pub(crate) fn normalise(text: &str) -> String {
    let mut normal = String::with_capacity(text.len().min(MAX_CHARS));
    let mut gap = false;
    for character in text.chars().take(MAX_CHARS) {
        if character.is_alphanumeric() {
            if gap && !normal.is_empty() {
                normal.push(' ');
            }
            gap = false;
            if character.is_ascii() {
                normal.push(character.to_ascii_lowercase());
            } else {
                normal.extend(character.to_lowercase());
            }
        } else if !matches!(character, '\'' | '\u{2019}' | '`') {
            gap = true;
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_words_remain() {
        let check = |text: &str, expected: &str| assert_eq!(normalise(text), expected);
        check("  What's UP,\tDoc?? ", "whats up doc");
        check("\"don\u{2019}t\"", "dont");
        check("ÄRGER-Straße", "ärger straße");
        check("...", "");
        check("", "");
    }

    proptest! {
        #[test]
        fn normal_texts_stay(text in "\\PC{0,200}") {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once).split_whitespace().count(), once.split_whitespace().count());
            prop_assert!(!once.starts_with(' ') && !once.ends_with(' ') && !once.contains("  "));
        }
    }
}
