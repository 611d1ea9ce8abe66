//! The first and the last bytes of a text: cut between characters, and between words if a word ends near.

/// How far from the wanted place a cut may be to fall on white space.
const NEAR: usize = 64;

/// At most `bytes` bytes.
pub(super) fn first_bytes(text: &str, bytes: usize) -> &str {
    let (first, rest) = text.split_at(text.floor_char_boundary(bytes));
    if rest.is_empty() || rest.starts_with(char::is_whitespace) {
        return first;
    }
    let near = first.ceil_char_boundary(first.len().saturating_sub(NEAR));
    match first[near..].rfind(char::is_whitespace) {
        Some(at) => &first[..near + at],
        None => first,
    }
}

/// At most `bytes` bytes.
pub(super) fn last_bytes(text: &str, bytes: usize) -> &str {
    let (rest, last) = text.split_at(text.ceil_char_boundary(text.len().saturating_sub(bytes)));
    if rest.is_empty() || rest.ends_with(char::is_whitespace) {
        return last;
    }
    let near = last.floor_char_boundary(NEAR);
    match last[..near].find(char::is_whitespace) {
        Some(at) => &last[at..],
        None => last,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts_fall_on_white_space_if_there_is_some_near() {
        assert_eq!(first_bytes("one two three", 9), "one two");
        assert_eq!(first_bytes("one two three", 7), "one two");
        assert_eq!(first_bytes("one two three", 100), "one two three");
        assert_eq!(last_bytes("one two three", 7), " three");
        assert_eq!(last_bytes("one two three", 100), "one two three");
        let word = "x".repeat(500);
        assert_eq!((first_bytes(&word, 200).len(), last_bytes(&word, 200).len()), (200, 200));
    }

    proptest! {
        #[test]
        fn what_is_cut_is_an_end_of_the_text(text in "(?s).{0,200}", bytes in 0usize..400) {
            let (first, last) = (first_bytes(&text, bytes), last_bytes(&text, bytes));
            prop_assert!(first.len() <= bytes && text.starts_with(first));
            prop_assert!(last.len() <= bytes && text.ends_with(last));
            if bytes >= text.len() {
                prop_assert_eq!((first, last), (text.as_str(), text.as_str()));
            }
        }
    }
}
