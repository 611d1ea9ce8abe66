//! From the bytes of an event stream to the items of a completion; each wire format decodes its own events.

use std::collections::VecDeque;
use std::pin::Pin;

use futures_util::stream::{self, Stream, StreamExt};
use reqwest::Response;

use super::CompletionStream;
use super::error::Error;
use super::request::StreamItem;
use super::sse::{Event, MAX_EVENT_BYTES, Parser};

/// Gives the events of one wire format their meaning.
pub(super) trait Decoder: Send + 'static {
    /// Appends what an event says. After a [`StreamItem::End`] no further event is decoded.
    fn decode(&mut self, event: &Event, items: &mut VecDeque<StreamItem>) -> Result<(), Error>;

    /// The end item, if the answer was whole when the bytes ended without an end marker.
    fn end(&mut self) -> Option<StreamItem>;
}

/// Pulls, decodes and hands over; nothing is read ahead of what is asked for, and dropping it closes the connection.
pub(super) fn items(response: Response, decoder: impl Decoder) -> CompletionStream {
    let bytes = response.bytes_stream().map(|piece| piece.map(Vec::from).map_err(Error::from_http));
    from_bytes(bytes, decoder)
}

fn from_bytes(
    bytes: impl Stream<Item = Result<Vec<u8>, Error>> + Send + 'static,
    decoder: impl Decoder,
) -> CompletionStream {
    let reader = Reader {
        bytes: Some(Box::pin(bytes)),
        parser: Parser::new(MAX_EVENT_BYTES),
        decoder,
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
    parser: Parser,
    decoder: D,
    items: VecDeque<StreamItem>,
    /// Reported after the items that came before it.
    fault: Option<Error>,
}

impl<D: Decoder> Reader<D> {
    async fn next(&mut self) -> Option<Result<StreamItem, Error>> {
        loop {
            if let Some(item) = self.items.pop_front() {
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
    use super::*;

    /// Decodes `bytes`, given in pieces of `size`, to the texts and the end or the error.
    pub(in crate::provider) async fn decode(
        bytes: &[u8],
        size: usize,
        decoder: impl Decoder,
    ) -> (Vec<String>, Result<StreamItem, Error>) {
        let pieces: Vec<_> = bytes.chunks(size).map(|piece| Ok(piece.to_vec())).collect();
        let mut items = from_bytes(stream::iter(pieces), decoder);
        let mut texts = Vec::new();
        loop {
            match items.next().await.expect("a stream ends with an end or an error") {
                Ok(StreamItem::Text(text)) => texts.push(text),
                last => {
                    assert!(items.next().await.is_none(), "nothing comes after {last:?}");
                    return (texts, last);
                }
            }
        }
    }
}
