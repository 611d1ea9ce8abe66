//! Text to token ids in windows of at most the model's maximum, and how much of the text that was.
//!
//! A longer text is read at its head and at its tail: people put what they want before or behind what they paste.
//! The truncation and padding that a tokenizer.json may carry are switched off: they describe how the model was
//! exported, not what it can read (all-MiniLM-L6-v2 ships with both set to 128; its maximum is 256).

use std::path::Path;

use tokenizers::{Encoding, Tokenizer};

use super::error::EmbedError;
use super::excerpt::excerpt;
use super::slice::{first_bytes, last_bytes};

/// Bytes of text a token that are looked at: enough for ordinary text at the first try, for odd text (much white
/// space, words of a kilobyte) at the second. So a megabyte of input costs no more than a page.
const BYTES_PER_TOKEN: [usize; 2] = [8, 64];

/// A tokenised text.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// The text, or its head: the model's special tokens and as much as fits between them into its maximum.
    pub ids: Vec<u32>,
    /// The end of a text that does not fit into one window, with special tokens of its own.
    pub tail: Option<Vec<u32>>,
    /// Share of the text (in bytes, white space at its ends aside) that the windows cover, in [0, 1].
    pub seen: f32,
}

impl Tokens {
    /// One or two rows for the model.
    pub fn windows(&self) -> impl Iterator<Item = &[u32]> {
        std::iter::once(self.ids.as_slice()).chain(self.tail.as_deref())
    }

    /// Of all windows, special tokens included.
    pub fn count(&self) -> usize {
        self.windows().map(<[u32]>::len).sum()
    }
}

#[derive(Clone)]
pub struct TextTokeniser {
    tokenizer: Tokenizer,
    /// Special tokens before and behind every window.
    before: Vec<u32>,
    behind: Vec<u32>,
    /// Tokens of text in a window.
    room: usize,
}

/// Tokens of a part of a text.
struct Part {
    ids: Vec<u32>,
    /// The bytes of the text that they cover.
    begin: usize,
    end: usize,
}

impl TextTokeniser {
    /// Reads a tokenizer.json. `max_tokens` counts the special tokens too.
    pub fn from_file(path: &Path, max_tokens: usize) -> Result<Self, EmbedError> {
        let bad = |source| EmbedError::BadTokenizer { path: path.to_owned(), source };
        let mut tokenizer = Tokenizer::from_file(path).map_err(bad)?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(bad)?;
        let sample = tokenizer.encode("a", true).map_err(bad)?;
        let special = sample.get_special_tokens_mask();
        let ids = sample.get_ids();
        let first = special.iter().take_while(|special| **special == 1).count();
        let last = special.iter().skip(first).rev().take_while(|special| **special == 1).count();
        let before = ids.iter().take(first).copied().collect();
        let behind = ids.iter().skip(ids.len() - last).copied().collect();
        Ok(Self { tokenizer, before, behind, room: max_tokens.saturating_sub(first + last).max(1) })
    }

    /// Tokens of the longest window, special ones included.
    pub fn max_tokens(&self) -> usize {
        self.before.len() + self.room + self.behind.len()
    }

    pub fn tokenise(&self, text: &str) -> Result<Tokens, EmbedError> {
        let text = text.trim();
        let head = self.head(text)?;
        if head.end == text.len() {
            return Ok(Tokens { ids: self.window(&head.ids), tail: None, seen: 1.0 });
        }
        match excerpt(text) {
            Some(shorter) => {
                let kept = shorter.kept as f32 / text.len() as f32;
                let tokens = self.windows(&shorter.text, self.head(&shorter.text)?)?;
                Ok(Tokens { seen: tokens.seen * kept, ..tokens })
            }
            None => self.windows(text, head),
        }
    }

    /// The head, and the tail of what it left.
    fn windows(&self, text: &str, head: Part) -> Result<Tokens, EmbedError> {
        let tail = self.tail(text, head.end)?;
        let seen = if tail.begin == head.end {
            1.0
        } else {
            (head.end + (tail.end - tail.begin)) as f32 / text.len().max(1) as f32
        };
        let mut ids = head.ids;
        // A text of little but white space: all of its tokens fit into one window after all.
        if ids.len() + tail.ids.len() <= self.room {
            ids.extend(tail.ids);
            return Ok(Tokens { ids: self.window(&ids), tail: None, seen });
        }
        let tail = (!tail.ids.is_empty()).then(|| self.window(&tail.ids));
        Ok(Tokens { ids: self.window(&ids), tail, seen })
    }

    /// The first tokens that fit into a window.
    fn head(&self, text: &str) -> Result<Part, EmbedError> {
        let mut part = Part { ids: Vec::new(), begin: 0, end: 0 };
        for bytes in BYTES_PER_TOKEN {
            let slice = first_bytes(text, self.room.saturating_mul(bytes));
            let found = self.encode(slice)?;
            let all = found.len() <= self.room;
            let end = if all { slice.len() } else { ends(&found).take(self.room).max().unwrap_or(0) };
            part = Part { ids: found.get_ids().iter().take(self.room).copied().collect(), begin: 0, end };
            if found.len() >= self.room || slice.len() == text.len() {
                break;
            }
        }
        Ok(part)
    }

    /// The last tokens that fit into a window, of the text from byte `from`.
    fn tail(&self, text: &str, from: usize) -> Result<Part, EmbedError> {
        let rest = text.get(from..).unwrap_or_default();
        let mut part = Part { ids: Vec::new(), begin: text.len(), end: text.len() };
        for bytes in BYTES_PER_TOKEN {
            let slice = last_bytes(rest, self.room.saturating_mul(bytes));
            let found = self.encode(slice)?;
            let skipped = found.len().saturating_sub(self.room);
            let begin = if skipped == 0 { 0 } else { begins(&found).skip(skipped).min().unwrap_or(slice.len()) };
            let ids = found.get_ids().iter().skip(skipped).copied().collect();
            part = Part { ids, begin: text.len() - slice.len() + begin, end: text.len() };
            if found.len() >= self.room || slice.len() == rest.len() {
                break;
            }
        }
        Ok(part)
    }

    fn encode(&self, text: &str) -> Result<Encoding, EmbedError> {
        self.tokenizer.encode(text, false).map_err(EmbedError::Tokenise)
    }

    fn window(&self, ids: &[u32]) -> Vec<u32> {
        [self.before.as_slice(), ids, self.behind.as_slice()].concat()
    }
}

fn ends(encoding: &Encoding) -> impl Iterator<Item = usize> {
    encoding.get_offsets().iter().map(|(_, end)| *end)
}

fn begins(encoding: &Encoding) -> impl Iterator<Item = usize> {
    encoding.get_offsets().iter().map(|(begin, _)| *begin)
}
