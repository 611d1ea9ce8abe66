//! Counting tokens, on threads where it holds nobody up, and only where the number matters.
//!
//! As o200k_base, the vocabulary of OpenAI's models since GPT-4o; with its own tokeniser another model makes some percent
//! more or fewer. `bpe-openai` takes linear time for any text, 0.1 to 0.2 s for the worst megabyte.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::size::{Bulk, Size};

/// Bytes that are counted at one go: some milliseconds, after which a caller who has gone is noticed. Where a text is cut
/// a token may be counted twice.
const PIECE_BYTES: usize = 32 << 10;

/// A cheap handle. The vocabulary (67 MB of memory, 0.1 s) is loaded at the first count.
#[derive(Debug, Clone)]
pub struct TokenCounter(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    /// Counts under way at once: they compete with the encoder for the cores.
    places: Semaphore,
    tasks: TaskTracker,
}

impl TokenCounter {
    /// `at_once`: most counts under way; the others wait for their turn.
    pub fn new(at_once: usize, tasks: TaskTracker) -> Self {
        Self(Arc::new(Parts { places: Semaphore::new(at_once.max(1)), tasks }))
    }

    /// The request's tokens: the bound by bytes if that is at most `enough`, else counted. Should counting fail (which
    /// would be a bug), the bound stands. Dropping the future ends the count.
    pub async fn size(&self, bulk: &Bulk<'_>, enough: u64) -> Size {
        let bound = bulk.bound();
        if bound.input_tokens <= enough {
            return bound;
        }
        match self.count(bulk).await {
            Some(tokens) => bulk.sized(tokens, true),
            None => bound,
        }
    }

    async fn count(&self, bulk: &Bulk<'_>) -> Option<u64> {
        let _place = self.0.places.acquire().await.ok()?;
        let texts: Vec<String> = bulk.texts.iter().map(|text| text.clone().into_owned()).collect();
        let gone = CancellationToken::new();
        let _here = gone.clone().drop_guard();
        let counting = self.0.tasks.spawn_blocking(move || {
            let mut tokens = 0;
            for piece in texts.iter().flat_map(|text| pieces(text)) {
                if gone.is_cancelled() {
                    return None;
                }
                tokens += bpe_openai::o200k_base().count(piece) as u64;
            }
            Some(tokens)
        });
        counting.await.inspect_err(|error| tracing::error!(%error, "tokens could not be counted")).ok().flatten()
    }
}

/// The text in pieces, cut after white space where there is any.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.floor_char_boundary(PIECE_BYTES);
        let (piece, _) = rest.split_at(end);
        // Before the white space: a word's token begins with it.
        let end = match piece.rfind(char::is_whitespace) {
            Some(at) if at > 0 && end < rest.len() => at,
            _ => end,
        };
        let (piece, left) = rest.split_at(end);
        rest = left;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn bulk(text: &str) -> Bulk<'_> {
        Bulk { texts: vec![Cow::Borrowed(text)], ..Bulk::default() }
    }

    fn counter() -> TokenCounter {
        TokenCounter::new(1, TaskTracker::new())
    }

    #[tokio::test]
    async fn only_what_may_not_fit_is_counted() {
        let text = "How many tokens has this sentence, I wonder?";
        let bound = bulk(text).bound();
        assert_eq!(counter().size(&bulk(text), bound.input_tokens).await, bound);
        let counted = counter().size(&bulk(text), bound.input_tokens - 1).await;
        assert_eq!((counted.input_tokens, counted.exact), (10 + 3, true));
    }

    /// A vocabulary that changes under us would be noticed; that it is tiktoken's own is tested where it comes from.
    #[tokio::test]
    async fn tokens_are_those_of_o200k_base() {
        for (text, expected) in
            [("hello world", 2), ("", 0), ("antidisestablishmentarianism", 6), ("お誕生日おめでとう", 8)]
        {
            assert_eq!(counter().count(&bulk(text)).await, Some(expected), "{text}");
        }
    }

    #[tokio::test]
    async fn a_long_text_is_counted_in_pieces_and_hardly_differs() {
        let long = "The quick brown fox jumps over the lazy dog.\n".repeat(5_000);
        let whole = bpe_openai::o200k_base().count(long.as_str()) as u64;
        let counted = counter().count(&bulk(&long)).await.unwrap();
        assert!(counted.abs_diff(whole) <= 2 * pieces(&long).count() as u64, "{counted} {whole}");
        for text in ["é".repeat(PIECE_BYTES), " ".repeat(3 * PIECE_BYTES), long] {
            assert_eq!(pieces(&text).collect::<String>(), text);
            assert!(pieces(&text).all(|piece| !piece.is_empty() && piece.len() <= PIECE_BYTES));
        }
    }

    #[tokio::test]
    async fn a_caller_who_goes_away_frees_the_place() {
        let tasks = TaskTracker::new();
        let counter = TokenCounter::new(1, tasks.clone());
        let long = "word ".repeat(1 << 20);
        let bulk = bulk(&long);
        let mut count = Box::pin(counter.count(&bulk));
        assert!(futures_util::poll!(&mut count).is_pending());
        drop(count);
        tasks.close();
        tasks.wait().await;
        assert_eq!(counter.0.places.available_permits(), 1);
    }
}
