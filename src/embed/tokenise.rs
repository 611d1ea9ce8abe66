//! Text to token ids in windows of at most the model's maximum, and how much of the text that was.
//!
//! A longer text is read at its head and at its tail, a little of each: people put what they want before or behind what
//! they paste, and the more of that is read, the less the words around it count.
//! The truncation and padding that a tokenizer.json may carry are switched off: they describe how the model was
//! exported, not what it can read (all-MiniLM-L6-v2 ships with both set to 128; its maximum is 256).

use std::collections::HashSet;
use std::path::Path;

use tokenizers::{Encoding, ModelWrapper, Tokenizer};

use super::error::EmbedError;
use super::excerpt::excerpt;
use super::slice::{first_bytes, last_bytes};

/// Bytes of text a token that are looked at: enough for ordinary text at the first try, for odd text (much white
/// space, words of a kilobyte) at the second. So a megabyte of input costs no more than a page.
const BYTES_PER_TOKEN: [usize; 2] = [8, 64];

/// Tokens of text in each window of a text that needs two. Measured on the starter set's held-out prompts with 4 KB of
/// prose or code before or behind them: a vote is right for 55 % with 48 tokens, 41 % with 64, 13 % with 254.
const WINDOW: usize = 48;

/// A tokenised text.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// The text, or the head of one that is longer than the model's maximum, with the model's special tokens.
    pub ids: Vec<u32>,
    /// The end of such a text, with special tokens of its own.
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

    /// Words that are one token, of letters only. `None`: which tokens are words is not known of this kind of
    /// vocabulary.
    pub fn words(&self) -> Option<HashSet<Box<str>>> {
        // Pieces of WordPiece that continue a word begin with `##`; those of Unigram that begin one, with U+2581.
        let mark = match self.tokenizer.get_model() {
            ModelWrapper::WordPiece(_) | ModelWrapper::WordLevel(_) => "",
            ModelWrapper::Unigram(_) => "\u{2581}",
            ModelWrapper::BPE(_) => return None,
        };
        let vocabulary = self.tokenizer.get_vocab(false);
        let words = vocabulary.keys().filter_map(|token| token.strip_prefix(mark));
        Some(words.filter(|word| word.chars().all(char::is_alphabetic)).map(Box::from).collect())
    }

    /// Tokens of the longest window, special ones included.
    pub fn max_tokens(&self) -> usize {
        self.before.len() + self.room + self.behind.len()
    }

    pub fn tokenise(&self, text: &str) -> Result<Tokens, EmbedError> {
        let text = text.trim();
        let Some(short) = excerpt(text) else { return self.read(text) };
        let tokens = self.read(short.text.trim())?;
        Ok(Tokens { seen: tokens.seen * short.kept as f32 / text.len() as f32, ..tokens })
    }

    /// The text as a whole if it fits into a window; else its head, and the tail of what that leaves.
    fn read(&self, text: &str) -> Result<Tokens, EmbedError> {
        let whole = self.head(text, self.room)?;
        if whole.end == text.len() {
            return Ok(Tokens { ids: self.window(&whole.ids), tail: None, seen: 1.0 });
        }
        let room = WINDOW.min(self.room);
        let head = self.head(text, room)?;
        let tail = self.tail(text, head.end, room)?;
        let seen = (head.end + (tail.end - tail.begin)) as f32 / text.len() as f32;
        let tail = (!tail.ids.is_empty()).then(|| self.window(&tail.ids));
        Ok(Tokens { ids: self.window(&head.ids), tail, seen })
    }

    /// The first tokens, as many as there is room for.
    fn head(&self, text: &str, room: usize) -> Result<Part, EmbedError> {
        let mut part = Part { ids: Vec::new(), begin: 0, end: 0 };
        for bytes in BYTES_PER_TOKEN {
            let slice = first_bytes(text, room.saturating_mul(bytes));
            let found = self.encode(slice)?;
            let all = found.len() <= room;
            let end = if all { slice.len() } else { ends(&found).take(room).max().unwrap_or(0) };
            part = Part { ids: found.get_ids().iter().take(room).copied().collect(), begin: 0, end };
            if found.len() >= room || slice.len() == text.len() {
                break;
            }
        }
        Ok(part)
    }

    /// The last tokens of the text from byte `from`, as many as there is room for.
    fn tail(&self, text: &str, from: usize, room: usize) -> Result<Part, EmbedError> {
        let rest = text.get(from..).unwrap_or_default();
        let mut part = Part { ids: Vec::new(), begin: text.len(), end: text.len() };
        for bytes in BYTES_PER_TOKEN {
            let slice = last_bytes(rest, room.saturating_mul(bytes));
            let found = self.encode(slice)?;
            let skipped = found.len().saturating_sub(room);
            let begin = if skipped == 0 { 0 } else { begins(&found).skip(skipped).min().unwrap_or(slice.len()) };
            let ids = found.get_ids().iter().skip(skipped).copied().collect();
            part = Part { ids, begin: text.len() - slice.len() + begin, end: text.len() };
            if found.len() >= room || slice.len() == rest.len() {
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
