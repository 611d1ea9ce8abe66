//! Takes messages out of the pieces in which a body comes: gRPC puts one byte and a length before each.

use bytes::{Buf, Bytes, BytesMut};

/// One byte that says whether the message is compressed, four that say how long it is.
const HEAD_BYTES: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Messages {
    /// A message that is not whole yet.
    rest: BytesMut,
}

impl Messages {
    /// Hands each message on that is whole now. What comes in one piece is not copied.
    pub(super) fn take_in(&mut self, mut piece: Bytes, mut whole: impl FnMut(Bytes)) {
        if self.rest.is_empty() {
            while let Some(length) = length(&piece) {
                let mut message = piece.split_to(length);
                message.advance(HEAD_BYTES);
                whole(message);
            }
            self.rest.extend_from_slice(&piece);
            return;
        }
        self.rest.extend_from_slice(&piece);
        while let Some(length) = length(&self.rest) {
            let mut message = self.rest.split_to(length).freeze();
            message.advance(HEAD_BYTES);
            whole(message);
        }
    }

    /// Whether the body ended within a message.
    pub(super) fn is_broken_off(&self) -> bool {
        !self.rest.is_empty()
    }
}

/// Bytes of the first message with its head, if it is whole.
fn length(bytes: &[u8]) -> Option<usize> {
    let (head, body) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let [_, length @ ..] = *head;
    let length = u32::from_be_bytes(length) as usize;
    (body.len() >= length).then_some(HEAD_BYTES + length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_survive_any_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(1usize..30, 0..40),
            tail in prop::collection::vec(any::<u8>(), 0..5),
        ) {
            let mut body = BytesMut::new();
            for message in &messages {
                body.extend_from_slice(&[0]);
                body.extend_from_slice(&(message.len() as u32).to_be_bytes());
                body.extend_from_slice(message);
            }
            body.extend_from_slice(&tail);
            let (mut body, mut found, mut reader) = (body.freeze(), Vec::new(), Messages::default());
            for cut in cuts {
                let piece = body.split_to(cut.min(body.len()));
                reader.take_in(piece, |message| found.push(message.to_vec()));
            }
            reader.take_in(body, |message| found.push(message.to_vec()));
            // Fewer than five bytes are never a message.
            prop_assert_eq!(found, messages);
            prop_assert_eq!(reader.is_broken_off(), !tail.is_empty());
        }
    }
}
