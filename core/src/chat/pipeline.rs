//! `SendMessages`: requests are queued in the order they are read, and answered as they are
//! committed.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use netrox_proto::{
    request_id::RequestId,
    v1::{
        self, Failure, send_messages_request::Request as Command,
        send_messages_response::Result as Outcome,
    },
};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::Chat;
use crate::{
    command::{Block, Deletion, Dispatch, Edit, Mark, MarkKind, NewMessage},
    committer::{Dispatched, MAX_AGE, Marked, Returns, Stored, Terms, Verb},
    error::Error,
    metrics::Stream,
    request, trace,
};

/// Requests read and not answered; beyond it the stream is not read.
const MAX_UNANSWERED: usize = 1_024;
/// Answers on their way to the transport.
const RESPONSES: usize = 256;
/// How long a caller that does not read may hold up a shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// `None` where the request is given back.
type Answering = BoxFuture<'static, Option<v1::SendMessagesResponse>>;

/// Answers a stream from a task, which ends with the stream or when its caller has gone.
pub(super) fn spawn(
    chat: Chat,
    requests: Streaming<v1::SendMessagesRequest>,
) -> ReceiverStream<Result<v1::SendMessagesResponse, Status>> {
    let (responses, receiver) = mpsc::channel(RESPONSES);
    let tasks = chat.tasks.clone();
    let run = run(chat, requests, responses, Instant::now());
    tasks.spawn(request::follow(RequestId::current(), run));
    ReceiverStream::new(receiver)
}

/// `answered` is when the head of the answer went out.
async fn run(
    chat: Chat,
    mut requests: Streaming<v1::SendMessagesRequest>,
    responses: mpsc::Sender<Result<v1::SendMessagesResponse, Status>>,
    answered: Instant,
) {
    let _open = chat.streams.open(Stream::Send);
    let mut unanswered = FuturesUnordered::new();
    let returns = Returns::default();
    // How the stream ends once all that was read is answered.
    let mut end = None;
    loop {
        let reading = end.is_none() && unanswered.len() < MAX_UNANSWERED;
        let response = tokio::select! {
            biased;
            Some(response) = unanswered.next() => match response {
                Some(response) => response,
                // Whatever ended it: nothing of what is not answered is stored.
                None => {
                    end = Some(Err(Error::HandedBack.into()));
                    continue;
                }
            },
            () = responses.closed(), if end.is_none() || !unanswered.is_empty() => return,
            () = chat.committer.stopped(), if end.is_none() => {
                end = Some(Err(Error::ShuttingDown.into()));
                continue;
            }
            request = requests.next(), if reading => {
                match request {
                    Some(Ok(request)) => match accept(&chat, request, answered.elapsed(), &returns) {
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

/// Queues a request at once, so that the order of reading is the order of effect; `elapsed` is how long the stream has been
/// open. `None` where the core takes no more.
fn accept(
    chat: &Chat,
    request: v1::SendMessagesRequest,
    elapsed: Duration,
    returns: &Returns,
) -> Option<Answering> {
    let (request_id, is_repetition) = (request.request_id, request.is_repetition);
    let (span, id) = trace::piped(&request.log_id, request.trace.as_ref());
    let terms = Terms {
        age: request.sent_after_ms.map_or(Duration::ZERO, |sent| age(elapsed, sent)),
        wait: wait(&request, chat.committer.wait()),
        returns: request.hand_back.then(|| returns.clone()),
        request: id,
    };
    let answering: Option<Answering> = match request.request {
        Some(Command::Message(message)) => {
            let message = NewMessage::parse(message, chat.max_body_bytes)
                .map(|message| NewMessage { is_repetition, ..message });
            let sent = told(|stored: Stored| Outcome::Message(stored.into()));
            queue(chat, request_id, message, terms, sent)
        }
        Some(Command::Attachment(dispatch)) => {
            let dispatch = Dispatch::try_from(dispatch);
            let dispatched = told(|done: Dispatched| Outcome::Attachment(done.into()));
            queue(chat, request_id, dispatch, terms, dispatched)
        }
        Some(Command::Edit(edit)) => {
            let edit = Edit::parse(edit, chat.max_body_bytes, chat.windows.edit);
            queue(chat, request_id, edit, terms, told(edited))
        }
        Some(Command::Delete(deletion)) => {
            let deletion = Deletion::parse(&deletion, chat.windows.delete);
            let deleted = told(|()| Outcome::Delete(v1::DeleteMessageResponse {}));
            queue(chat, request_id, deletion, terms, deleted)
        }
        Some(Command::Seen(seen)) => {
            let v1::MarkSeenRequest { user_id, peer_id, up_to_id } = seen;
            let mark = Mark::parse(&user_id, &peer_id, up_to_id, MarkKind::Seen);
            let state = |state| Outcome::Seen(v1::MarkSeenResponse { state: Some(state) });
            queue(chat, request_id, mark, terms, marked(chat, state))
        }
        Some(Command::Delivered(delivered)) => {
            let v1::MarkDeliveredRequest { user_id, peer_id, up_to_id } = delivered;
            let mark = Mark::parse(&user_id, &peer_id, up_to_id, MarkKind::Delivered);
            let state =
                |state| Outcome::Delivered(v1::MarkDeliveredResponse { state: Some(state) });
            queue(chat, request_id, mark, terms, marked(chat, state))
        }
        Some(Command::Block(v1::BlockUserRequest { user_id, peer_id })) => {
            let block = Block::parse(&user_id, &peer_id, true);
            let blocked = told(|()| Outcome::Block(v1::BlockUserResponse {}));
            queue(chat, request_id, block, terms, blocked)
        }
        Some(Command::Unblock(v1::UnblockUserRequest { user_id, peer_id })) => {
            let block = Block::parse(&user_id, &peer_id, false);
            let unblocked = told(|()| Outcome::Unblock(v1::UnblockUserResponse {}));
            queue(chat, request_id, block, terms, unblocked)
        }
        None => {
            let problem = "missing or unreadable";
            let failure = Failure::from(Error::InvalidField { field: "request", problem });
            let result = Some(Outcome::Failure(failure));
            let response = v1::SendMessagesResponse { request_id, result };
            Some(Box::pin(std::future::ready(Some(response))))
        }
    };
    match (answering, span) {
        (Some(answering), Some(span)) => Some(Box::pin(async move {
            let answer = answering.await;
            drop(span);
            answer
        })),
        (answering, _) => answering,
    }
}

/// `to_wire` is how the verb's answer is told.
fn queue<
    V: Verb<Answer: Send> + 'static,
    Told: Future<Output = Result<Outcome, Error>> + Send + 'static,
>(
    chat: &Chat,
    request_id: u64,
    verb: Result<V, Error>,
    terms: Terms,
    to_wire: impl FnOnce(V::Answer) -> Told + Send + 'static,
) -> Option<Answering> {
    let pending = verb.and_then(|verb| chat.committer.submit_on(verb, terms));
    if let Err(Error::ShuttingDown) = pending {
        return None;
    }
    Some(Box::pin(async move {
        let told = async move { to_wire(pending?.answer().await?).await };
        let result = match told.await {
            Ok(result) => result,
            Err(Error::HandedBack) => return None,
            Err(error) => Outcome::Failure(Failure::from(error)),
        };
        Some(v1::SendMessagesResponse { request_id, result: Some(result) })
    }))
}

/// What is told without asking anybody.
fn told<A>(to_wire: impl FnOnce(A) -> Outcome) -> impl FnOnce(A) -> Ready<Result<Outcome, Error>> {
    |answer| ready(Ok(to_wire(answer)))
}

fn edited(message: Arc<v1::Message>) -> Outcome {
    Outcome::Edit(v1::EditMessageResponse { message: Some(Arc::unwrap_or_clone(message)) })
}

/// The state of the thread, as it is after a mark was stored.
fn marked(
    chat: &Chat,
    to_wire: fn(v1::ThreadState) -> Outcome,
) -> impl FnOnce(Marked) -> BoxFuture<'static, Result<Outcome, Error>> + use<> {
    let chat = chat.clone();
    move |marked| Box::pin(async move { chat.marked_state(marked).await.map(to_wire) })
}

/// How long a request may wait from when it was sent. What is handed back waits with its caller.
fn wait(request: &v1::SendMessagesRequest, longest: Duration) -> Duration {
    let asked = request.wait_ms.map_or(MAX_AGE, |millis| Duration::from_millis(millis.into()));
    if request.hand_back { asked } else { asked.min(longest) }
}

/// How old a request is that was sent `sent_after` milliseconds after the stream was opened, before where that is negative.
fn age(elapsed: Duration, sent_after: i64) -> Duration {
    let millis = Duration::from_millis(sent_after.unsigned_abs());
    if sent_after < 0 { elapsed.saturating_add(millis) } else { elapsed.saturating_sub(millis) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_request_counts_from_when_it_was_sent() {
        let age = |elapsed, sent| age(Duration::from_millis(elapsed), sent).as_millis();
        assert_eq!(age(5_000, 4_990), 10);
        assert_eq!(age(5_000, 0), 5_000);
        assert_eq!(age(100, -2_000), 2_100);
        // The client's clock is a little fast.
        assert_eq!(age(100, 101), 0);
        assert_eq!(age(100, i64::MAX), 0);
        assert!(age(100, i64::MIN) > 3_000);
    }
}
