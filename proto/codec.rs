//! The protobuf codec with small initial buffers, and with messages decoded from one piece of memory.
//!
//! tonic reserves 8 KiB a direction and stream; a stream that waits for a user's next message
//! would hold them for nothing.

use std::marker::PhantomData;

use prost::{Message, bytes::Buf as _};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

/// What a stream reserves at first; it grows as messages need.
const INITIAL_BYTES: usize = 256;
/// How much is gathered before it is handed to the transport.
const YIELD_BYTES: usize = 32 * 1024;
/// Beyond it a message shares the memory that it was received in with its fields of bytes.
const SHARED_BYTES: usize = 16 * 1024;

fn buffers() -> BufferSettings {
    BufferSettings::new(INITIAL_BYTES, YIELD_BYTES)
}

#[derive(Debug, Clone, Copy)]
pub struct SmallBufferCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallBufferCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBufferCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = PieceDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        PieceDecoder(PhantomData)
    }
}

/// Decodes from a slice: through the layers of tonic's buffer each field costs several times as much.
#[derive(Debug, Clone, Copy)]
pub struct PieceDecoder<T>(PhantomData<T>);

impl<T: Message + Default> Decoder for PieceDecoder<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        let length = source.remaining();
        let decoded = if length <= SHARED_BYTES && source.chunk().len() == length {
            let decoded = T::decode(source.chunk());
            source.advance(length);
            decoded
        } else {
            T::decode(source.copy_to_bytes(length))
        };
        decoded.map(Some).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}
