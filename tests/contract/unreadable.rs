//! Bytes that are no protobuf are the fault of whoever sent them, and of nobody else.

use netrox_harness::within;
use netrox_proto::v1::{
    ErrorReason, Failure, SendMessageRequest, SendMessageResponse, SendMessagesRequest,
    SendMessagesResponse, send_messages_request::Request, send_messages_response::Result as Answer,
};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::{
    refusal::assert_failure,
    running::{Connection, Core, text},
};

/// Of a field that is longer than what follows.
const CUT_OFF: [u8; 2] = [0x7a, 0x7f];

/// Sends whatever bytes it is given.
#[derive(Debug)]
struct Raw<T>(std::marker::PhantomData<T>);

impl<T: Message + Default + 'static> Codec for Raw<T> {
    type Encode = Vec<u8>;
    type Decode = T;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(std::marker::PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T> Encoder for Raw<T> {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(buffer, &bytes);
        Ok(())
    }
}

impl<T: Message + Default> Decoder for Raw<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        T::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

fn raw<T>() -> Raw<T> {
    Raw(std::marker::PhantomData)
}

async fn unary(connection: &Connection, bytes: &[u8]) -> Result<SendMessageResponse, Status> {
    let mut client = Grpc::new(connection.service());
    client.ready().await.expect("a connection");
    let path = "/netrox.chat.v1.ChatService/SendMessage".parse().expect("a path");
    let request = tonic::Request::new(bytes.to_vec());
    client.unary(request, path, raw()).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_call_with_bytes_that_are_no_protobuf_is_an_invalid_argument() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let whole = text(&ada, &bob, "hello").encode_to_vec();
    assert!(unary(&core, &whole).await.is_ok());
    let mut no_text = text(&ada, &bob, "").encode_to_vec();
    no_text.extend([0x1a, 1, 0xff]);
    for bytes in [&whole[..whole.len() - 1], &CUT_OFF, &no_text, &[0xff; 40]] {
        let status = unary(&core, bytes).await.expect_err("no protobuf");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(Failure::from(&status).reason(), ErrorReason::InvalidField);
    }
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 1);
}

struct RawPipeline {
    requests: mpsc::Sender<Vec<u8>>,
    answers: Streaming<SendMessagesResponse>,
}

impl RawPipeline {
    async fn open(connection: &Connection) -> Self {
        let mut client = Grpc::new(connection.service());
        client.ready().await.expect("a connection");
        let (requests, receiver) = mpsc::channel(16);
        let path = "/netrox.chat.v1.ChatService/SendMessages".parse().expect("a path");
        let request = tonic::Request::new(ReceiverStream::new(receiver));
        let answers = within("a pipeline", client.streaming(request, path, raw())).await;
        Self { requests, answers: answers.expect("a pipeline").into_inner() }
    }

    async fn ask(&mut self, bytes: Vec<u8>) -> SendMessagesResponse {
        self.requests.send(bytes).await.expect("an open pipeline");
        within("an answer", self.answers.message()).await.expect("an answer").expect("an answer")
    }
}

#[tokio::test]
async fn bytes_that_are_no_protobuf_leave_the_pipeline_to_the_others() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut pipeline = RawPipeline::open(&core).await;
    let request = |request_id, message: SendMessageRequest| {
        let request = Some(Request::Message(message));
        SendMessagesRequest { request_id, request, ..Default::default() }.encode_to_vec()
    };
    let mut request_id = 0;
    let mut stored = 0;
    for (spoilt, has_number) in [
        (
            [request(1_000, text(&ada, &bob, "whole, and then some")), CUT_OFF.to_vec()].concat(),
            true,
        ),
        // The message itself is cut off, in its own bytes.
        (vec![0x08, 0xe8, 0x07, 0x12, 2, 0x0a, 9], true),
        (vec![0x08, 0xe8, 0x07, 0x12, 3, 0x0a, 1, 0xff], true),
        (CUT_OFF.to_vec(), false),
        (vec![0xff; 1_000], false),
    ] {
        let answer = pipeline.ask(spoilt).await;
        assert_eq!(answer.request_id, if has_number { 1_000 } else { 0 });
        let Some(Answer::Failure(failure)) = &answer.result else { panic!("{answer:?}") };
        assert_failure(failure, ErrorReason::InvalidField, "request");
        // Another user's.
        request_id += 1;
        let answer = pipeline.ask(request(request_id, text(&bob, &ada, "hello"))).await;
        assert_eq!(answer.request_id, request_id);
        assert!(matches!(answer.result, Some(Answer::Message(_))), "{answer:?}");
        stored += 1;
    }
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), stored);
}
