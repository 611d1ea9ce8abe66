//! Makes a provider's error message fit to be shown and logged: short, on one line, and without our key or prompt.
//!
//! Providers quote what they were sent. A message that does so is withheld whole, since what surrounds a quotation
//! cannot be told from it.

use std::sync::Arc;

use super::error::MAX_MESSAGE_CHARS;
use super::request::ChatRequest;
use super::secret::Secret;
use crate::prompt::{Image, ImageSource, Message, PartRef};

const WITHHELD_PROMPT: &str = "(message withheld: it quotes the request)";
const WITHHELD_KEY: &str = "(message withheld: it shows a part of the key)";

/// A run of this many characters that message and request have in common is a quotation. Shorter runs are common
/// words; a shorter text of the request counts when the message holds all of it and it has at least `SHORTEST`.
const QUOTED_CHARS: usize = 24;
const SHORTEST: usize = 8;

/// How the bytes of an image stand in a message that quotes them.
const INLINE: &str = ";base64,";

/// Knows what may not be repeated, and looks for it only in what there is to clean: most calls bring no message.
#[derive(Clone)]
pub(super) struct Redactor {
    key: Option<Secret>,
    /// Shared, because an error may come at the end of a stream that outlives the call.
    request: Arc<ChatRequest>,
}

impl Redactor {
    pub(super) fn new(key: Option<&Secret>, request: &Arc<ChatRequest>) -> Self {
        Self { key: key.cloned(), request: Arc::clone(request) }
    }

    /// At most [`MAX_MESSAGE_CHARS`] characters without control characters.
    pub(super) fn clean(&self, message: &str) -> String {
        // More is looked at than is shown, so that what is cut off at the end of a quotation is known as one.
        let looked_at = bounded(message, 2 * MAX_MESSAGE_CHARS);
        if self.key.as_ref().is_some_and(|key| key.shows_in(&looked_at)) {
            return WITHHELD_KEY.to_owned();
        }
        if looked_at.contains(INLINE) || repeats(&looked_at, &self.request) {
            return WITHHELD_PROMPT.to_owned();
        }
        bounded(message, MAX_MESSAGE_CHARS)
    }
}

/// Whether a message quotes anything that a request says of its own: words, tools, schemas, fields of the provider's,
/// addresses of images.
fn repeats(message: &str, request: &ChatRequest) -> bool {
    request.texts().iter().any(|text| quotes(message, text))
        || request.stop.iter().any(|text| quotes(message, text))
        || request.messages.iter().flat_map(addresses).any(|address| quotes(message, address))
}

/// Of the images of a turn.
fn addresses(message: &Message) -> impl Iterator<Item = &str> {
    message.pieces().into_iter().filter_map(|part| match part {
        PartRef::Image(Image { source: ImageSource::Url { url, .. }, .. }) => Some(url.as_str()),
        PartRef::Image(_) | PartRef::Text(_) => None,
    })
}

/// One line of at most `limit` characters; every run of white space and control characters becomes one space.
pub(super) fn bounded(text: &str, limit: usize) -> String {
    // Cut first: an error body may be long, and nothing behind the limit's multiple can matter.
    let head: String = text.chars().take(limit * 4).collect();
    let line = one_line(&head);
    match line.char_indices().nth(limit.saturating_sub(1)) {
        Some((end, last)) if end + last.len_utf8() < line.len() => format!("{}…", &line[..end]),
        _ => line,
    }
}

fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn quotes(message: &str, text: &str) -> bool {
    let text = one_line(text);
    let run = text.chars().count().min(QUOTED_CHARS);
    // A long text is searched for a few half runs first: any whole run holds one that starts at their stride.
    let half = QUOTED_CHARS / 2;
    run >= SHORTEST
        && (run < QUOTED_CHARS || runs(message, half, half).any(|part| text.contains(part)))
        && runs(message, run, 1).any(|part| text.contains(part))
}

/// The pieces of `chars` characters that begin at every `stride`th character.
fn runs(message: &str, chars: usize, stride: usize) -> impl Iterator<Item = &str> {
    let bounds: Vec<usize> = message.char_indices().map(|(at, _)| at).chain([message.len()]).collect();
    (0..bounds.len()).step_by(stride).filter_map(move |first| {
        let (start, end) = (*bounds.get(first)?, *bounds.get(first + chars)?);
        message.get(start..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(key: &str, text: &str) -> Redactor {
        let request = ChatRequest { messages: vec![Message::user(text)], ..ChatRequest::default() };
        Redactor::new(Secret::new(key).as_ref(), &Arc::new(request))
    }

    fn check(text: &str, message: &str, expected: &str) {
        assert_eq!(redactor("sk-very-secret-key", text).clean(message), expected);
    }

    #[test]
    fn messages_are_bounded_and_show_neither_prompt_nor_key() {
        check("hello", "model  not\nfound\u{7}", "model not found");
        check("hello", "bad key sk-very-secret-key", WITHHELD_KEY);
        check("hello", "bad key sk-ver*******", WITHHELD_KEY);
        check("my card number is 4111 1111", "cannot parse 'my card number is 4111 1111'", WITHHELD_PROMPT);
        check("x\ny my card   number is 4111 1111 1111 1111 z", "at: card number is 4111 1111 11", WITHHELD_PROMPT);
        check("swordfish", "the word swordfish is not allowed", WITHHELD_PROMPT);
        check("a", "a message", "a message");
        check("été ".repeat(20).trim(), &format!("voilà: {}", "été ".repeat(20)), WITHHELD_PROMPT);
    }

    #[test]
    fn a_long_message_ends_with_an_ellipsis() {
        let message = bounded(&"é".repeat(5_000), MAX_MESSAGE_CHARS);
        assert_eq!(message.chars().count(), MAX_MESSAGE_CHARS);
        assert!(message.ends_with('…'));
        assert_eq!(bounded("abc", 3), "abc");
        assert_eq!(bounded("abcd", 3), "ab…");
        assert_eq!(bounded("", 3), "");
    }
}
