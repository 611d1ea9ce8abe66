//! Whether a place in a text is quoted: within a fenced block or between backticks. Tags there are talked about, not
//! meant.

/// Follows a text from its beginning. Feed it what is seen, in order; what is taken away is not fed.
#[derive(Debug, Default)]
pub(super) struct Quoting {
    /// The marks of the fence that is open.
    fence: Option<String>,
    /// How the line begins.
    line: String,
    /// Backticks in the line so far.
    ticks: usize,
}

/// Of a line no more is looked at: a fence has no longer line, and code within a line ends near.
const LONGEST_LINE: usize = 1_024;

impl Quoting {
    pub(super) fn feed(&mut self, text: &str) {
        for part in text.split_inclusive('\n') {
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.push_str(&part[..part.floor_char_boundary(room)]);
            self.ticks += part.matches('`').count();
            if part.ends_with('\n') {
                self.end_line();
            }
        }
    }

    /// Whether what follows is quoted; `next` is what follows.
    pub(super) fn holds(&self, next: &str) -> bool {
        let inline = || {
            let rest = &next[..next.floor_char_boundary(LONGEST_LINE)];
            self.ticks % 2 == 1 && rest.lines().next().is_some_and(|line| line.contains('`'))
        };
        self.fence.is_some() || inline()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.ticks = 0;
        let marks = marks(line.trim());
        match &self.fence {
            None if !marks.is_empty() => self.fence = Some(marks.to_owned()),
            Some(fence) if marks.starts_with(fence.as_str()) && line.trim() == marks => self.fence = None,
            _ => {}
        }
    }
}

/// Three or more backticks or tildes at the beginning of a line.
fn marks(line: &str) -> &str {
    for mark in ['`', '~'] {
        let length = line.len() - line.trim_start_matches(mark).len();
        if length >= 3 && !line[length..].contains('`') {
            return &line[..length];
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_code_are_quoted() {
        let check = |before: &str, next: &str, expected: bool| {
            let mut quoting = Quoting::default();
            quoting.feed(before);
            assert_eq!(quoting.holds(next), expected, "{before:?} {next:?}");
        };
        check("", "<a>", false);
        check("see `", "<a>`", true);
        check("see `", "<a>", false);
        check("`x` and ", "<a>`", false);
        check("```xml\n", "<a>\n```", true);
        check("```xml\n<b>\n```\n", "<a>", false);
        check("````\n```\n", "<a>", true);
        check("~~~\n```\n", "<a>", true);
        check("```not a fence```\n", "<a>", false);
        check("'`' is a backtick\n", "<a>`", false);
    }
}
