//! What the user asks for, without what agents put around it: reminders, environments, attached files, reports of
//! tools. A router that reads those classifies the agent, not the request.

use std::borrow::Cow;

use super::code::Quoting;
use super::envelope::{FENCED_BY_LINES, Kind, NOT_OF_THE_USER, REQUEST_LINE, is_report, kind};
use super::tags::{Element, elements};

/// The user's own words in `text`; `None` if it holds none. Takes time linear in the text.
pub(super) fn ask(text: &str) -> Option<Cow<'_, str>> {
    let clean = without_added(text);
    if let Some(words) = wrapped(&clean).or_else(|| requested(&clean)) {
        return Some(Cow::Owned(words.to_owned()));
    }
    let words = clean.trim();
    let is_of_the_user =
        !words.is_empty() && !is_report(words) && !NOT_OF_THE_USER.iter().any(|s| words.starts_with(s));
    is_of_the_user.then_some(clean)
}

/// The text without what was added and attached, unless that is quoted.
fn without_added(text: &str) -> Cow<'_, str> {
    let mut removed: Vec<(usize, usize)> =
        elements(text, |name| matches!(kind(name), Some(Kind::Added | Kind::Attached)))
            .iter()
            .filter(|found| kind(found.name) == Some(Kind::Added) || stands_alone(text, found))
            .map(|found| (found.begin, found.end))
            .collect();
    removed.extend(between_lines(text));
    removed.sort_unstable();
    let (mut clean, mut quoting, mut copied) = (String::new(), Quoting::default(), 0);
    let mut fed = 0;
    for (begin, end) in removed {
        if begin < fed {
            continue;
        }
        quoting.feed(&text[fed..begin]);
        fed = begin;
        if quoting.holds(&text[begin..]) {
            continue;
        }
        clean.push_str(&text[copied..begin]);
        (copied, fed) = (end, end);
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    clean.push_str(&text[copied..]);
    Cow::Owned(clean)
}

/// Nothing else on the lines of its tags.
fn stands_alone(text: &str, element: &Element) -> bool {
    let before = text[..element.begin].trim_end_matches([' ', '\t']);
    let after = text[element.end..].trim_start_matches([' ', '\t', '\r']);
    (before.is_empty() || before.ends_with(['\n', '>'])) && (after.is_empty() || after.starts_with(['\n', '<']))
}

/// The block between the two lines of [`FENCED_BY_LINES`], to the end of the text if the second is missing.
fn between_lines(text: &str) -> Option<(usize, usize)> {
    let (first, last) = FENCED_BY_LINES;
    let begin = line(text, first)?;
    // A file may hold the closing line as well: the last one counts.
    let end = text[begin..].rfind(last).map_or(text.len(), |at| begin + at + last.len());
    Some((begin, end))
}

/// Where a line begins with `words`.
fn line(text: &str, words: &str) -> Option<usize> {
    text.match_indices(words).map(|(at, _)| at).find(|at| *at == 0 || text[..*at].ends_with('\n'))
}

/// The last words that are marked as the user's.
fn wrapped(text: &str) -> Option<&str> {
    let found = elements(text, |name| matches!(kind(name), Some(Kind::Ask | Kind::MaybeAsk)));
    let report = is_report(text.trim_start());
    let begins = text.len() - text.trim_start().len();
    let (mut quoting, mut fed, mut words) = (Quoting::default(), 0, None);
    for element in found {
        let meant = kind(element.name) == Some(Kind::Ask) || report || element.begin == begins;
        if !meant || element.begin < fed {
            continue;
        }
        quoting.feed(&text[fed..element.begin]);
        fed = element.begin;
        let inner = text[element.inner.0..element.inner.1].trim();
        if !inner.is_empty() && !quoting.holds(&text[element.begin..]) {
            (words, fed) = (Some(inner), element.end);
        }
    }
    words
}

/// What follows the line that announces the request.
fn requested(text: &str) -> Option<&str> {
    let at = line(text, REQUEST_LINE)?;
    Some(text[at + REQUEST_LINE.len()..].trim()).filter(|words| !words.is_empty())
}
