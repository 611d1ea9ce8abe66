//! Protocol Buffers with small first buffers. Tonic's own codec takes 8 KiB for each side of a call, and those of an
//! answer stay as long as its stream lasts, which brings a few words a second: a tenth of its memory.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// Most events of a stream have less than a hundred bytes, most requests and answers less than this; longer ones grow.
const FIRST_BYTES: usize = 1_024;

/// Messages that are ready are sent together up to so many bytes, as tonic has it.
const YIELD_BYTES: usize = 32 * 1_024;

/// What the generated services and clients speak.
pub(crate) struct Lean<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Lean<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Lean<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(FIRST_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(FIRST_BYTES, YIELD_BYTES))
    }
}
