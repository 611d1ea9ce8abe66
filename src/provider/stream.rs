//! From the bytes of an event stream to the items of a completion; each wire format decodes its own events.

use std::collections::VecDeque;
use std::pin::Pin;

use futures_util::stream::{self, Stream, StreamExt};
use reqwest::Response;

use super::CompletionStream;
use super::answer::StreamItem;
use super::error::Error;
use super::sse::{Event, MAX_EVENT_BYTES, Parser};

/// Longest stream in bytes, its frame of JSON included: an endless one ends here, a long answer does not come near.
/// A token takes some 300 bytes, the longest answers have 128,000.
pub(super) const MAX_STREAM_BYTES: usize = 128 * 1024 * 1024;

/// Gives the events of one wire format their meaning.
pub(super) trait Decoder: Send + 'static {
    /// Appends what an event says. After a [`StreamItem::End`] no further event is decoded.
    fn decode(&mut self, event: &Event, items: &mut VecDeque<StreamItem>) -> Result<(), Error>;

    /// The end item, if the answer was whole when the bytes ended without an end marker.
    fn end(&mut self) -> Option<StreamItem>;
}

/// Pulls, decodes and hands over; nothing is read ahead of what is asked for, and dropping it closes the connection.
/// The end item carries `dropped`.
pub(super) fn items(response: Response, decoder: impl Decoder, dropped: Vec<String>) -> CompletionStream {
    let bytes = response.bytes_stream().map(|piece| piece.map(Vec::from).map_err(Error::from_http));
    from_bytes(bytes, decoder, dropped, MAX_STREAM_BYTES)
}

fn from_bytes(
    bytes: impl Stream<Item = Result<Vec<u8>, Error>> + Send + 'static,
    decoder: impl Decoder,
    dropped: Vec<String>,
    limit_bytes: usize,
) -> CompletionStream {
    let reader = Reader {
        bytes: Some(Box::pin(bytes)),
        limit_bytes,
        read_bytes: 0,
        parser: Parser::new(MAX_EVENT_BYTES),
        decoder,
        dropped,
        items: VecDeque::new(),
        fault: None,
    };
    Box::pin(stream::unfold(reader, |mut reader| async move {
        let item = reader.next().await?;
        Some((item, reader))
    }))
}

type Bytes = Pin<Box<dyn Stream<Item = Result<Vec<u8>, Error>> + Send>>;

struct Reader<D> {
    /// `None` once nothing more is to be read.
    bytes: Option<Bytes>,
    limit_bytes: usize,
    read_bytes: usize,
    parser: Parser,
    decoder: D,
    /// For the end item.
    dropped: Vec<String>,
    items: VecDeque<StreamItem>,
    /// Reported after the items that came before it.
    fault: Option<Error>,
}

impl<D: Decoder> Reader<D> {
    async fn next(&mut self) -> Option<Result<StreamItem, Error>> {
        loop {
            if let Some(mut item) = self.items.pop_front() {
                if let StreamItem::End { dropped, .. } = &mut item {
                    *dropped = std::mem::take(&mut self.dropped);
                }
                return Some(Ok(item));
            }
            if let Some(fault) = self.fault.take() {
                return Some(Err(fault));
            }
            let piece = self.bytes.as_mut()?.next().await;
            if let Err(fault) = self.take(piece) {
                self.bytes = None;
                self.fault = Some(fault);
            }
        }
    }

    fn take(&mut self, piece: Option<Result<Vec<u8>, Error>>) -> Result<(), Error> {
        let piece = match piece {
            Some(Ok(piece)) => piece,
            Some(Err(fault)) => return self.finish(fault),
            None => return self.finish(Error::Truncated),
        };
        self.read_bytes = self.read_bytes.saturating_add(piece.len());
        if self.read_bytes > self.limit_bytes {
            return Err(Error::TooLarge { limit_bytes: self.limit_bytes });
        }
        let mut events = VecDeque::new();
        let parsed = self.parser.push(&piece, &mut events);
        for event in events {
            self.decoder.decode(&event, &mut self.items)?;
            if matches!(self.items.back(), Some(StreamItem::End { .. })) {
                self.bytes = None;
                return Ok(());
            }
        }
        parsed
    }

    /// The bytes ended, one way or another: that is the answer's end only if the decoder has seen it whole.
    fn finish(&mut self, otherwise: Error) -> Result<(), Error> {
        self.bytes = None;
        let end = self.decoder.end().ok_or(otherwise)?;
        self.items.push_back(end);
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// What comes before the end or the error, and that.
    pub(in crate::provider) type Read = (Vec<StreamItem>, Result<StreamItem, Error>);

    /// Decodes `bytes`, given in pieces of `size`.
    pub(in crate::provider) async fn decode_all(bytes: &[u8], size: usize, decoder: impl Decoder) -> Read {
        let pieces: Vec<_> = bytes.chunks(size).map(|piece| Ok(piece.to_vec())).collect();
        read(from_bytes(stream::iter(pieces), decoder, Vec::new(), MAX_STREAM_BYTES)).await
    }

    /// Reads a stream to its end.
    pub(in crate::provider) async fn read(mut items: CompletionStream) -> Read {
        let mut before = Vec::new();
        loop {
            match items.next().await.expect("a stream ends with an end or an error") {
                Ok(item) if !matches!(item, StreamItem::End { .. }) => before.push(item),
                last => {
                    assert!(items.next().await.is_none(), "nothing comes after {last:?}");
                    return (before, last);
                }
            }
        }
    }

    /// The same of its texts alone.
    pub(in crate::provider) async fn decode(
        bytes: &[u8],
        size: usize,
        decoder: impl Decoder,
    ) -> (Vec<String>, Result<StreamItem, Error>) {
        let (items, last) = decode_all(bytes, size, decoder).await;
        let texts = items.into_iter().filter_map(|item| match item {
            StreamItem::Text(text) => Some(text),
            _ => None,
        });
        (texts.collect(), last)
    }

    struct Deaf;

    impl Decoder for Deaf {
        fn decode(&mut self, _: &Event, _: &mut VecDeque<StreamItem>) -> Result<(), Error> {
            Ok(())
        }

        fn end(&mut self) -> Option<StreamItem> {
            None
        }
    }

    #[tokio::test]
    async fn an_endless_stream_is_ended() {
        let limit_bytes = 100_000;
        let piece = b": keep-alive\n\ndata: {}\n\n".repeat(10);
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let bytes = stream::repeat_with(move || {
            counted.fetch_add(piece.len(), Ordering::Relaxed);
            Ok(piece.clone())
        });
        let mut items = from_bytes(bytes, Deaf, Vec::new(), limit_bytes);
        assert_eq!(items.next().await, Some(Err(Error::TooLarge { limit_bytes })));
        assert!(items.next().await.is_none());
        assert!(read.load(Ordering::Relaxed) < limit_bytes + 1000);
    }
}
