//! The protobuf codec with small initial buffers, and with messages decoded from one piece of memory.
//!
//! tonic reserves 8 KiB a direction and stream; a stream that waits for a user's next message
//! would hold them for nothing.

use std::{any::Any, marker::PhantomData};

use prost::{DecodeError, Message, bytes::Buf};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use crate::{
    health,
    v1::{self, ErrorReason, Failure, SendMessagesRequest},
};

/// What a stream reserves at first; it grows as messages need.
const INITIAL_BYTES: usize = 256;
/// How much is gathered before it is handed to the transport: a piece of a file is more. A stream that its reader holds
/// up keeps twice that at most.
const YIELD_BYTES: usize = 8 * 1000;
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

/// What a method takes or gives.
pub trait OnWire: Message + Default + 'static {
    const IS_REQUEST: bool;
}

include!(concat!(env!("OUT_DIR"), "/directions.rs"));

impl<T, U> Codec for SmallBufferCodec<T, U>
where
    T: Message + Send + 'static,
    U: OnWire + Send,
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

impl<T: OnWire> Decoder for PieceDecoder<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        let length = source.remaining();
        let message = if length <= SHARED_BYTES && source.chunk().len() == length {
            let message = read(source.chunk());
            source.advance(length);
            message
        } else {
            read(source.copy_to_bytes(length))
        };
        message.map(Some)
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

fn read<T: OnWire>(bytes: impl Buf) -> Result<T, Status> {
    let mut message = T::default();
    match message.merge(bytes) {
        Ok(()) => Ok(message),
        Err(error) => unreadable(message, &error),
    }
}

/// What becomes of bytes that are no protobuf. A decoder's error ends the stream, and that of sends is shared by many
/// users: there the request stays, with nothing to do in it, for the core to refuse it alone.
fn unreadable<T: OnWire>(mut begun: T, error: &DecodeError) -> Result<T, Status> {
    if !T::IS_REQUEST {
        return Err(Status::internal(error.to_string()));
    }
    let any: &mut dyn Any = &mut begun;
    if let Some(request) = any.downcast_mut::<SendMessagesRequest>() {
        *request = SendMessagesRequest { request_id: request.request_id, ..Default::default() };
        return Ok(begun);
    }
    Err(Failure::new(ErrorReason::InvalidField, format!("no protobuf: {error}")).into())
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::v1::{
        SendMessageRequest, SendMessageResponse, SendMessagesResponse, TraceContext,
        send_messages_request::Request,
    };

    /// Of a field that is longer than what follows.
    const CUT_OFF: [u8; 2] = [0x7a, 0x7f];

    fn spoilt(message: &impl Message) -> Vec<u8> {
        [&message.encode_to_vec()[..], &CUT_OFF].concat()
    }

    fn code<T: OnWire>(bytes: &[u8]) -> Code {
        read::<T>(bytes).map(drop).expect_err("no protobuf").code()
    }

    #[test]
    fn bytes_that_are_no_protobuf_are_the_callers_fault_in_a_request_alone() {
        let status = read::<SendMessageRequest>(&CUT_OFF[..]).expect_err("no protobuf");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(Failure::from(&status).reason(), ErrorReason::InvalidField);
        // No UTF-8 in a string.
        assert_eq!(code::<SendMessageRequest>(&[0x0a, 1, 0xff]), Code::InvalidArgument);
        assert_eq!(code::<SendMessageResponse>(&CUT_OFF), Code::Internal);
        assert_eq!(code::<SendMessagesResponse>(&CUT_OFF), Code::Internal);
    }

    #[test]
    fn an_unreadable_request_of_a_pipeline_keeps_its_number_and_nothing_else() {
        let request = Some(Request::Message(SendMessageRequest::default()));
        let whole = SendMessagesRequest {
            request_id: 7,
            request,
            is_repetition: true,
            sent_after_ms: Some(-1),
            wait_ms: Some(9),
            hand_back: true,
            log_id: "mine".into(),
            trace: Some(TraceContext::default()),
        };
        let unreadable = SendMessagesRequest { request_id: 7, ..Default::default() };
        let read = |bytes: &[u8]| read::<SendMessagesRequest>(bytes).expect("a request");
        assert_eq!(read(&spoilt(&whole)), unreadable);
        assert_eq!(read(&whole.encode_to_vec()), whole);
        assert_eq!(read(&CUT_OFF), SendMessagesRequest::default());
    }
}
