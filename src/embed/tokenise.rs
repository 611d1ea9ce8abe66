//! Text to token ids, bounded by the model's maximum, and how much of the text that was.
//!
//! The truncation and padding that a tokenizer.json may carry are switched off: they describe how the model was
//! exported, not what it can read (all-MiniLM-L6-v2 ships with both set to 128; its maximum is 256).

use std::path::Path;

use tokenizers::{Tokenizer, TruncationParams};

use super::error::EmbedError;

/// Bytes of text a token that are looked at: what lies beyond cannot be among the first tokens of ordinary text, and
/// a megabyte of input costs no more than a page.
const BYTES_PER_TOKEN: usize = 64;

/// A tokenised text.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// At least the model's two special tokens, at most its maximum.
    pub ids: Vec<u32>,
    /// Share of the text (in bytes, white space at its ends aside) that `ids` cover, in [0, 1].
    pub seen: f32,
}

#[derive(Clone)]
pub struct TextTokeniser {
    tokenizer: Tokenizer,
    max_bytes: usize,
}

impl TextTokeniser {
    /// Reads a tokenizer.json. `max_tokens` counts the special tokens too.
    pub fn from_file(path: &Path, max_tokens: usize) -> Result<Self, EmbedError> {
        let bad = |source| EmbedError::BadTokenizer { path: path.to_owned(), source };
        let mut tokenizer = Tokenizer::from_file(path).map_err(bad)?;
        tokenizer.with_padding(None);
        let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(bad)?;
        Ok(Self { tokenizer, max_bytes: max_tokens.saturating_mul(BYTES_PER_TOKEN) })
    }

    pub fn tokenise(&self, text: &str) -> Result<Tokens, EmbedError> {
        let text = text.trim();
        let head = head(text, self.max_bytes);
        let encoding = self.tokenizer.encode(head, true).map_err(EmbedError::Tokenise)?;
        let whole = encoding.get_overflowing().is_empty() && head.len() == text.len();
        let seen = if whole {
            1.0
        } else {
            let last_byte = encoding.get_offsets().iter().map(|(_, end)| *end).max().unwrap_or(0);
            last_byte as f32 / text.len().max(1) as f32
        };
        Ok(Tokens { ids: encoding.get_ids().to_vec(), seen })
    }
}

/// The longest prefix of at most `max_bytes` bytes that ends on a character's boundary.
fn head(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}
