//! A text that is too long to be read whole, with the middle of its large fenced blocks left out, so that pasted code
//! does not crowd out the words around it.

/// A fenced block of more bytes than this is shortened.
const LARGE: usize = 768;

/// What is kept of it, at its beginning and at its end.
const FIRST: usize = 384;
const LAST: usize = 192;

/// Stands for what is left out.
const GAP: &str = "\n";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub text: String,
    /// Bytes of the whole that it holds.
    pub kept: usize,
}

/// `None` if there is nothing to leave out. Takes time linear in the text.
pub(super) fn excerpt(text: &str) -> Option<Excerpt> {
    let mut short = Excerpt { text: String::new(), kept: 0 };
    let mut copied = 0;
    for block in blocks(text).filter(|block| block.end - block.begin > LARGE) {
        let body = &text[block.begin..block.end];
        let (first, last) = (first_lines(body, FIRST), last_lines(body, LAST));
        short.text.push_str(&text[copied..block.begin + first.len()]);
        short.text.push_str(GAP);
        short.text.push_str(last);
        short.kept += block.begin + first.len() - copied + last.len();
        copied = block.end;
    }
    if copied == 0 {
        return None;
    }
    short.text.push_str(&text[copied..]);
    short.kept += text.len() - copied;
    Some(short)
}

/// The bytes between two fences. A block that is not closed ends with the text, as in Markdown.
struct Block {
    begin: usize,
    end: usize,
}

/// Of <https://spec.commonmark.org/0.31.2/#fenced-code-blocks>, without the rules on lists and quotes.
fn blocks(text: &str) -> impl Iterator<Item = Block> {
    let mut lines = text.split_inclusive('\n').scan(0, |at, line| {
        let begin = *at;
        *at += line.len();
        Some((begin, line))
    });
    std::iter::from_fn(move || {
        let (begin, fence) = lines.by_ref().find_map(|(at, line)| Some((at + line.len(), Fence::of(line)?)))?;
        let end = lines.by_ref().find(|(_, line)| fence.is_closed_by(line)).map_or(text.len(), |(at, _)| at);
        Some(Block { begin, end })
    })
}

struct Fence {
    mark: char,
    length: usize,
}

impl Fence {
    fn of(line: &str) -> Option<Self> {
        let marks = line.trim_start_matches(' ');
        let mark = marks.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
        let length = marks.len() - marks.trim_start_matches(mark).len();
        // A line such as ```x``` is code within a line, not a fence.
        let opens = length >= 3 && (mark == '~' || !marks[length..].contains('`'));
        opens.then_some(Self { mark, length })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim();
        line.len() >= self.length && line.chars().all(|mark| mark == self.mark)
    }
}

/// Whole lines, unless the first is too long.
fn first_lines(text: &str, bytes: usize) -> &str {
    let first = &text[..text.floor_char_boundary(bytes)];
    first.rfind('\n').map_or(first, |at| &first[..at])
}

/// Whole lines, unless the last is too long.
fn last_lines(text: &str, bytes: usize) -> &str {
    let last = &text[text.ceil_char_boundary(text.len().saturating_sub(bytes))..];
    // The newline before the closing fence ends the last line.
    last.trim_end_matches('\n').find('\n').map_or(last, |at| &last[at + 1..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_middle_of_large_blocks_is_left_out() {
        let code: String = (0..200).map(|line| format!("let x{line} = {line};\n")).collect();
        let text = format!("Why is this slow?\n```rust\n{code}```\nIt takes a minute.");
        let short = excerpt(&text).unwrap();
        assert!(short.text.starts_with("Why is this slow?\n```rust\nlet x0 = 0;\n"), "{}", short.text);
        assert!(short.text.ends_with("let x199 = 199;\n```\nIt takes a minute."), "{}", short.text);
        assert!(short.text.len() < 700 && short.kept == short.text.len() - GAP.len());
        assert!(short.text.lines().all(|line| text.contains(line)), "only whole lines");
    }

    #[test]
    fn what_is_not_a_large_block_stays() {
        let code = "x = 1\n".repeat(40);
        for text in [
            "no code".to_owned(),
            format!("```\n{code}```"),
            format!("`{}`", code.repeat(10)),
            format!("~~\n{}~~", code.repeat(10)),
        ] {
            assert_eq!(excerpt(&text), None, "{text}");
        }
        // Not closed, and closed only by a fence of the same kind.
        assert!(excerpt(&format!("~~~\n{}", code.repeat(10))).is_some());
        let nested = format!("````\n{}```\n{}````\nend", code.repeat(4), code.repeat(4));
        assert_eq!(excerpt(&nested).unwrap().text.matches("```").count(), 2);
    }

    proptest! {
        #[test]
        fn any_text_has_an_excerpt_that_is_no_longer(
            parts in prop::collection::vec(prop_oneof!["[`~]{1,5}", "\n", "\\PC{0,300}", "é{0,900}"], 0..30),
        ) {
            let text = parts.concat();
            if let Some(short) = excerpt(&text) {
                prop_assert!(short.kept < text.len() && short.text.len() < text.len());
                prop_assert!(short.kept <= short.text.len());
            }
        }
    }
}
