//! What a call took whose provider did not say: it was cancelled, or broke off.
//!
//! Four bytes a token is OpenAI's rule of thumb for English (<https://help.openai.com/en/articles/4936856>); other scripts
//! take two or three bytes a character and about a token each, so that it holds for them within a factor of two.

use crate::provider::{ChatRequest, Usage};
use crate::routing::IMAGE_TOKENS;

const BYTES_PER_TOKEN: u64 = 4;

/// Role and separators of a message (the OpenAI cookbook counts three or four).
const TOKENS_PER_MESSAGE: u64 = 4;

pub(super) fn tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

pub(super) fn input_tokens(request: &ChatRequest) -> u64 {
    let texts = request.texts().iter().map(|text| tokens(text.len() as u64)).sum::<u64>();
    texts + TOKENS_PER_MESSAGE * request.messages.len() as u64 + IMAGE_TOKENS * request.images() as u64
}

pub(super) fn usage(input_tokens: u64, delivered_bytes: u64) -> Usage {
    Usage::new(input_tokens, tokens(delivered_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Message;

    #[test]
    fn a_token_is_about_four_bytes() {
        let messages = vec![Message::user("eight by"), Message::user("")];
        let request = ChatRequest { messages, ..ChatRequest::default() };
        assert_eq!(usage(input_tokens(&request), 9), Usage::new(10, 3));
    }
}
