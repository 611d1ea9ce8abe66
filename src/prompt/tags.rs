//! Tags such as agents put around things: `<name>`, `<name attribute="...">` and `</name>`, and which belong together.
//!
//! No XML parser: what stands between them may be anything, and need not be balanced. Time is linear in the text.

use std::collections::HashMap;

/// A longer tag is none.
const LONGEST_TAG: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag<'t> {
    name: &'t str,
    closes: bool,
    begin: usize,
    end: usize,
}

/// From an opening tag to its closing one, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'t> {
    pub name: &'t str,
    pub begin: usize,
    /// What stands between the tags.
    pub inner: (usize, usize),
    pub end: usize,
}

/// The elements with names that `wanted` wants, by where they begin. A closing tag belongs to the nearest opening one
/// before it that is still open; tags without a partner are not there.
pub(super) fn elements<'t>(text: &'t str, wanted: impl Fn(&str) -> bool) -> Vec<Element<'t>> {
    let mut open: HashMap<&str, Vec<Tag>> = HashMap::new();
    let mut elements = Vec::new();
    for tag in tags(text).filter(|tag| wanted(tag.name)) {
        let others = open.entry(tag.name).or_default();
        if !tag.closes {
            others.push(tag);
        } else if let Some(first) = others.pop() {
            let inner = (first.end, tag.begin);
            elements.push(Element { name: tag.name, begin: first.begin, inner, end: tag.end });
        }
    }
    elements.sort_unstable_by_key(|element| element.begin);
    elements
}

fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    text.match_indices('<').filter_map(|(begin, _)| tag(text, begin))
}

/// The tag whose `<` stands at `begin`.
fn tag(text: &str, begin: usize) -> Option<Tag<'_>> {
    let rest = &text[begin + 1..];
    let (closes, rest) = rest.strip_prefix('/').map_or((false, rest), |rest| (true, rest));
    let length = rest.bytes().position(|byte| !is_of_name(byte))?;
    let (name, after) = rest.split_at(length);
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    // Up to the next `<` or the end of the line, so that no text is looked at twice.
    let stop = after.bytes().take(LONGEST_TAG).position(|byte| matches!(byte, b'<' | b'>' | b'\n'))?;
    let attributes = after.get(..stop).filter(|_| after.as_bytes().get(stop) == Some(&b'>'))?;
    let fits = attributes.is_empty() || (!closes && attributes.starts_with(' ') && !attributes.ends_with('/'));
    let end = begin + 1 + usize::from(closes) + length + stop + 1;
    fits.then_some(Tag { name, closes, begin, end })
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = elements(text, |_| true).iter().map(|found| &text[found.begin..found.end]).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn elements_are_found() {
        check("a <b>c</b> d", &["<b>c</b>"]);
        check("<file path=\"a.rs\" n=1>x</file>", &["<file path=\"a.rs\" n=1>x</file>"]);
        check("<a><a>x</a></a>", &["<a><a>x</a></a>", "<a>x</a>"]);
        check("<a>x</a><a>y</a>", &["<a>x</a>", "<a>y</a>"]);
        check("<a> and <a>x</a>", &["<a>x</a>"]);
        check("<a><b></a></b>", &["<a><b></a>", "<b></a></b>"]);
        for none in ["<a>", "</a>", "</a><a>", "<a/></a>", "1 < 2 </2>", "<a\n></a>", "< a></a>", "<é></é>", "<"] {
            check(none, &[]);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_between_characters(
            parts in prop::collection::vec(prop_oneof!["<a>", "</a>", "<b c='d'>", "</b>", "<", ">", "\\PC{0,6}"], 0..40),
        ) {
            let text = parts.concat();
            for element in elements(&text, |_| true) {
                prop_assert!(text[element.begin..element.end].starts_with('<'));
                prop_assert!(text.get(element.inner.0..element.inner.1).is_some());
            }
        }
    }
}
