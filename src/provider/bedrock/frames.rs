//! The frames of an event stream, followed without being decoded: the SDK would buffer one of any length.

use super::super::error::Error;
use super::super::sse::MAX_EVENT_BYTES;

const LENGTH_BYTES: usize = 4;

/// Where in which frame the stream is. A frame begins with its length, its own four bytes included, as a big-endian
/// number (<https://smithy.io/2.0/aws/amazon-eventstream.html>).
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The bytes seen of a length that is not whole.
    length: Vec<u8>,
    /// What is left of a frame whose length is known.
    left: usize,
}

impl Frames {
    /// Takes the next bytes; fails at a frame that is longer than an event may be.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let within = self.left.min(bytes.len());
            self.left -= within;
            bytes = bytes.get(within..).unwrap_or_default();
            let missing = LENGTH_BYTES - self.length.len();
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.length.extend_from_slice(head);
            bytes = rest;
            if let Ok(length) = <[u8; LENGTH_BYTES]>::try_from(self.length.as_slice()) {
                self.length.clear();
                let length = u32::from_be_bytes(length) as usize;
                if length > MAX_EVENT_BYTES {
                    return Err(Error::TooLarge { limit_bytes: MAX_EVENT_BYTES });
                }
                // A length that is less than its own bytes is for the decoder to refuse.
                self.left = length.saturating_sub(LENGTH_BYTES);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of a long frame only the beginning.
    fn frame(length: usize) -> Vec<u8> {
        let mut bytes = (length as u32).to_be_bytes().to_vec();
        bytes.resize(length.clamp(LENGTH_BYTES, 64), 0xff);
        bytes
    }

    proptest! {
        #[test]
        fn only_a_frame_that_is_too_long_is_refused(
            before in proptest::collection::vec(4_usize..40, 0..5),
            last in prop_oneof![Just(MAX_EVENT_BYTES), Just(MAX_EVENT_BYTES + 1), Just(u32::MAX as usize)],
            size in 1_usize..50,
        ) {
            let bytes: Vec<u8> = before.into_iter().map(frame).chain([frame(last)]).flatten().collect();
            let mut frames = Frames::default();
            let refused = bytes.chunks(size).any(|piece| frames.follow(piece).is_err());
            prop_assert_eq!(refused, last > MAX_EVENT_BYTES);
        }
    }
}
