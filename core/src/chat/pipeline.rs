//! `SendMessages`: requests are queued in the order they are read, and answered as they are
//! committed.

use std::time::Duration;

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use netrox_proto::v1::{
    self, Failure, send_messages_request::Request as Command,
    send_messages_response::Result as Outcome,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::Chat;
use crate::{
    command::{Dispatch, NewMessage},
    committer::Write,
    error::Error,
};

/// Requests read and not answered; beyond it the stream is not read.
const MAX_UNANSWERED: usize = 1_024;
/// Answers on their way to the transport.
const RESPONSES: usize = 256;
/// How long a caller that does not read may hold up a shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

type Answer = BoxFuture<'static, v1::SendMessagesResponse>;

/// Answers a stream from a task, which ends with the stream or when its caller has gone.
pub(super) fn spawn(
    chat: Chat,
    requests: Streaming<v1::SendMessagesRequest>,
) -> ReceiverStream<Result<v1::SendMessagesResponse, Status>> {
    let (responses, receiver) = mpsc::channel(RESPONSES);
    let tasks = chat.tasks.clone();
    tasks.spawn(run(chat, requests, responses));
    ReceiverStream::new(receiver)
}

async fn run(
    chat: Chat,
    mut requests: Streaming<v1::SendMessagesRequest>,
    responses: mpsc::Sender<Result<v1::SendMessagesResponse, Status>>,
) {
    let mut unanswered = FuturesUnordered::new();
    // How the stream ends once all that was read is answered.
    let mut end = None;
    loop {
        let reading = end.is_none() && unanswered.len() < MAX_UNANSWERED;
        let response = tokio::select! {
            biased;
            Some(response) = unanswered.next() => response,
            () = responses.closed(), if end.is_none() || !unanswered.is_empty() => return,
            () = chat.committer.stopped(), if end.is_none() => {
                end = Some(Err(Error::ShuttingDown.into()));
                continue;
            }
            request = requests.next(), if reading => {
                match request {
                    Some(Ok(request)) => match accept(&chat, request) {
                        Some(answer) => unanswered.push(answer),
                        // As if it had not been read: another core can take it.
                        None => end = Some(Err(Error::ShuttingDown.into())),
                    },
                    Some(Err(status)) => end = Some(Err(status)),
                    None => end = Some(Ok(())),
                }
                continue;
            }
            else => break,
        };
        if !send(&chat, &responses, Ok(response)).await {
            return;
        }
    }
    if let Some(Err(status)) = end {
        // A caller that has gone does not want to know.
        send(&chat, &responses, Err(status)).await;
    }
}

/// Whether the caller takes it; at shutdown it has a moment to do so.
async fn send(
    chat: &Chat,
    responses: &mpsc::Sender<Result<v1::SendMessagesResponse, Status>>,
    response: Result<v1::SendMessagesResponse, Status>,
) -> bool {
    let too_late = async {
        chat.committer.stopped().await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        sent = responses.send(response) => sent.is_ok(),
        () = too_late => false,
    }
}

/// Queues a request at once, so that the order of reading is the order of effect. `None` where the core takes no
/// more.
fn accept(chat: &Chat, request: v1::SendMessagesRequest) -> Option<Answer> {
    let (request_id, is_repetition) = (request.request_id, request.is_repetition);
    let write = match request.request {
        Some(Command::Message(message)) => NewMessage::parse(message, chat.max_body_bytes)
            .map(|message| Write::Message(NewMessage { is_repetition, ..message })),
        Some(Command::Attachment(dispatch)) => Dispatch::try_from(dispatch).map(Write::Dispatch),
        None => Err(Error::InvalidField { field: "request", problem: "missing" }),
    };
    let is_message = matches!(write, Ok(Write::Message(_)));
    let pending = write.and_then(|write| chat.committer.submit(write));
    if let Err(Error::ShuttingDown) = pending {
        return None;
    }
    Some(Box::pin(async move {
        let outcome = match pending {
            Err(error) => Err(error),
            Ok(pending) if is_message => {
                pending.message().await.map(|stored| Outcome::Message(stored.into()))
            }
            Ok(pending) => pending.dispatched().await.map(|done| Outcome::Attachment(done.into())),
        };
        let result = outcome.unwrap_or_else(|error| Outcome::Failure(Failure::from(error)));
        v1::SendMessagesResponse { request_id, result: Some(result) }
    }))
}
